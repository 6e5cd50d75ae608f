/** Before a deploy: whether the image is for another architecture than the node, or would be stopped by Secure Boot
 *  because its boot loader carries no signature. Pure. */
import type { Architecture } from '../../../kit/architecture.ts'
import { Fault } from '../../../kit/fault.ts'
import type { ImageIndex } from '../../../images/index.ts'
import type { NodeRecord } from '../record.ts'
import type { NodeArchitecture } from './architecture.ts'
import { verifiesInstance } from './firmware-target.ts'

/** `provision.unsignedImages`. */
export type UnsignedImages = 'refuse' | 'warn'

/** An image that the processor of the node cannot run. */
export interface ForeignImage {
  readonly image: Architecture
  readonly node: NodeArchitecture
}

/** What is known of the loader of an image, where the firmware of its node verifies it. `absent`: the image is not in
 *  the store yet. */
export type LoaderVerdict = 'signed' | 'unsigned' | 'unknown' | 'absent' | ForeignImage

/** Undefined: nothing is verified at the start of the instance, or what is booted is no image of a disk. */
export function loaderVerdict(
  node: Pick<NodeRecord, 'secureBoot' | 'driver' | 'interfaces' | 'properties' | 'instanceInfo'>,
  image: Pick<ImageIndex, 'signedLoader' | 'architecture'> | undefined,
  own?: NodeArchitecture,
): LoaderVerdict | undefined {
  if (node.interfaces.deploy === 'ramdisk') return undefined
  if (own && image?.architecture && image.architecture !== own.architecture)
    return { image: image.architecture, node: own }
  if (!verifiesInstance(node)) return undefined
  if (image === undefined) return 'absent'
  return image.signedLoader === undefined ? 'unknown' : image.signedLoader ? 'signed' : 'unsigned'
}

const WORDS: Readonly<Record<Exclude<LoaderVerdict, 'signed' | ForeignImage>, string>> = {
  unsigned: 'the boot loader of the image carries no signature, and Secure Boot is on: the firmware will stop it',
  unknown: 'Secure Boot is on, and it is not known whether the boot loader of the image is signed',
  absent: 'Secure Boot is on, and whether the boot loader of the image is signed is known once the image was fetched',
}

export const isForeign = (verdict: LoaderVerdict | undefined): verdict is ForeignImage => typeof verdict === 'object'

/** Undefined where there is nothing to say. */
export function loaderWords(verdict: LoaderVerdict | undefined): string | undefined {
  if (isForeign(verdict))
    return `the image is for ${verdict.image}, and the node is ${verdict.node.architecture} (${verdict.node.from})`
  return verdict === undefined || verdict === 'signed' ? undefined : WORDS[verdict]
}

/** Throws `image.architecture` for what the node cannot run, and `image.unsigned` for what would be stopped. */
export function checkLoader(verdict: LoaderVerdict | undefined, rule: UnsignedImages): void {
  if (isForeign(verdict)) throw new Fault('image.architecture', `instance_info/image_source: ${loaderWords(verdict)}`)
  if (verdict === 'unsigned' && rule === 'refuse')
    throw new Fault('image.unsigned', `instance_info/image_source: ${WORDS.unsigned}`)
}
