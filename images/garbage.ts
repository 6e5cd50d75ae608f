/** Which images of the store nobody needs any more. Pure: what is in doubt stays. */

export interface StoredImage {
  readonly id: string
  readonly names: readonly string[]
  readonly storedBytes: number
  /** When it was last written, named or asked for by a deploy. */
  readonly usedAtMs: number
}

export interface References {
  /** Id or name of an image -> who refers to it. */
  readonly by: ReadonlyMap<string, string>
  /** Images that were fetched for a deploy may be meant by somebody, who cannot be asked which; undefined: nobody. */
  readonly anyFetched: string | undefined
}

export interface Sorted {
  readonly remove: readonly StoredImage[]
  readonly keep: readonly { readonly image: StoredImage; readonly why: string }[]
}

/** Given to an image by a deploy from a URL: a digest of URL and checksum. */
const FETCHED = /^url-[0-9a-f]{32}$/
/** Of one build of a recipe; the recipe's own name moves on to the next build. */
const BUILT = /^debian-\d+[a-z0-9-]*-[0-9a-f]{20}$/

/** Whether a program, and nobody else, gave this name. */
export const isMadeName = (name: string): boolean => FETCHED.test(name) || BUILT.test(name)

export function sortImages(
  images: readonly StoredImage[],
  { references, unusedSinceMs }: { references: References; unusedSinceMs: number },
): Sorted {
  const remove: StoredImage[] = []
  const keep: { image: StoredImage; why: string }[] = []
  for (const image of images) {
    const why = whyKept(image, references, unusedSinceMs)
    if (why === undefined) remove.push(image)
    else keep.push({ image, why })
  }
  return { remove, keep }
}

function whyKept(image: StoredImage, { by, anyFetched }: References, unusedSinceMs: number): string | undefined {
  for (const word of [image.id, ...image.names]) {
    const user = by.get(word)
    if (user !== undefined) return user
  }
  const given = image.names.find((name) => !isMadeName(name))
  if (given !== undefined) return `it has the name ${given}; rackward image rm removes it`
  if (image.usedAtMs > unusedSinceMs) return 'it was used a short time ago'
  if (anyFetched !== undefined && image.names.some((name) => FETCHED.test(name))) return anyFetched
  return undefined
}
