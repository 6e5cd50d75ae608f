/** Files as bodies of requests: as they are, or in a form (RFC 7578). Never whole in memory, and with a length, since
 *  BMCs refuse chunked bodies. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Dict } from '../../../kit/json.ts'

export interface FileToSend {
  readonly name: string
  readonly sizeBytes: number
  readonly open: () => Readable
}

export interface Form {
  /** JSON in fields before the file. */
  readonly parameters?: Readonly<Record<string, Dict>>
  readonly field: string
  readonly file: FileToSend
}

/** The body of a request, which is read anew for each try. */
export interface Upload {
  readonly type: string
  readonly sizeBytes: number
  readonly open: () => Readable
}

export const fileUpload = ({ sizeBytes, open }: FileToSend): Upload => ({
  type: 'application/octet-stream',
  sizeBytes,
  open,
})

export function formUpload({ parameters = {}, field, file }: Form): Upload {
  const { sizeBytes, open } = file
  const name = file.name.replaceAll(/[^A-Za-z0-9._-]/g, '_')
  // Long enough that no file holds it by chance.
  const boundary = `rackward-${createHash('sha256')
    .update(JSON.stringify([parameters, field, name, sizeBytes]))
    .digest('hex')
    .slice(0, 40)}`
  const part = (head: string, rest = '') => `--${boundary}\r\nContent-Disposition: form-data; ${head}\r\n\r\n${rest}`
  const fields = Object.entries(parameters).map(([key, value]) =>
    part(`name="${key}"\r\nContent-Type: application/json`, `${JSON.stringify(value)}\r\n`),
  )
  const first = part(`name="${field}"; filename="${name}"\r\nContent-Type: application/octet-stream`)
  const before = Buffer.from([...fields, first].join(''))
  const after = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    sizeBytes: before.length + sizeBytes + after.length,
    open: () => Readable.from(joined(before, open, after), { objectMode: false }),
  }
}

/** The file is opened when its turn comes: a request that ends before leaves none open. */
async function* joined(before: Buffer, open: () => Readable, after: Buffer): AsyncGenerator<Buffer> {
  yield before
  for await (const chunk of open()) yield chunk as Buffer
  yield after
}
