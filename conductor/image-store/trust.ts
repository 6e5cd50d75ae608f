/** Whether a key that the operator trusts signed an image (`images.trustedKeys`). */
import type { ImageIndex } from '../../images/index.ts'
import { keyOf, publicKeyId, signatureFlaw } from '../../images/signature.ts'
import type { ImageStore } from '../../images/store.ts'
import { Fault } from '../../kit/fault.ts'

const SHORT = 16

export class ImageTrust {
  private readonly images: Pick<ImageStore, 'beside'>
  private readonly publicPems: readonly string[]

  constructor(images: Pick<ImageStore, 'beside'>, publicPems: readonly string[]) {
    this.images = images
    this.publicPems = publicPems
  }

  /** Of the index as it was read: what is handed on is what was checked. Throws `image.untrusted`. */
  async check(image: ImageIndex): Promise<void> {
    const [text, sbom] = await Promise.all([
      this.images.beside(image.id, 'signature.json'),
      this.images.beside(image.id, 'sbom.cdx.json'),
    ])
    const signed = text === undefined ? undefined : jsonOf(text)
    const flaw = signatureFlaw(image, { signed, sbom, publicPems: this.publicPems })
    if (flaw === undefined) return
    const key = keyOf(signed)
    const by = key === undefined ? '' : ` (signed with key ${key.slice(0, SHORT)})`
    throw this.refusal(`${image.names[0] ?? '(no name)'} ${image.id.slice(0, SHORT)}`, `${flaw}${by}`)
  }

  refusal(image: string, why: string): Fault {
    const keys = this.publicPems.map((pem) => publicKeyId(pem).slice(0, SHORT)).join(', ')
    return new Fault('image.untrusted', `image ${image}: ${why}; images.trustedKeys has ${keys}`)
  }
}

/** Undefined: there are no trusted keys, and every image may be deployed. */
export const trustOf = (
  { trustedKeys }: { readonly trustedKeys: readonly string[] },
  images: Pick<ImageStore, 'beside'>,
): ImageTrust | undefined => (trustedKeys.length === 0 ? undefined : new ImageTrust(images, trustedKeys))

/** Null: it is there, and cannot be read. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
