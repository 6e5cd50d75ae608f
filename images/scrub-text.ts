/** What is said of an image with damaged pieces. Pure. */

export function damageText(
  image: { readonly id: string; readonly names: readonly string[]; readonly pieces: number },
  damaged: readonly number[],
): string | undefined {
  if (damaged.length === 0) return undefined
  const name = image.names[0] ?? image.id.slice(0, 16)
  return `${damaged.length} of the ${image.pieces} pieces of image ${name} are damaged`
}
