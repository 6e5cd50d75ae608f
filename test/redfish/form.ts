/** The parts of a multipart/form-data body (RFC 7578), as a BMC reads them. */

export interface Part {
  readonly name: string
  readonly fileName: string | undefined
  readonly type: string | undefined
  readonly bytes: Buffer
}

/** Throws for a body that is not exactly what its boundary says. */
export function formOf(contentType: string, bytes: Buffer): Part[] {
  const boundary = /^multipart\/form-data; ?boundary="?([^";]+)"?$/.exec(contentType)?.[1]
  if (!boundary) throw new Error(`not a form: ${contentType}`)
  const text = bytes.toString('latin1')
  const pieces = text.split(`--${boundary}`)
  if (pieces[0] !== '' || pieces.at(-1)?.trim() !== '--') throw new Error('the form does not begin or end as it should')
  return pieces.slice(1, -1).map((piece) => {
    const split = piece.indexOf('\r\n\r\n')
    if (!piece.startsWith('\r\n') || !piece.endsWith('\r\n') || split < 0) throw new Error('a part is broken')
    const head = piece.slice(2, split)
    return {
      name: /name="([^"]*)"/.exec(head)?.[1] ?? '',
      fileName: /filename="([^"]*)"/.exec(head)?.[1],
      type: /^content-type: *(.+)$/im.exec(head)?.[1]?.trim(),
      bytes: Buffer.from(piece.slice(split + 4, -2), 'latin1'),
    }
  })
}
