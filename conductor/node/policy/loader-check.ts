/** Before a deploy: whether the image would be stopped by Secure Boot, because its boot loader carries no signature.
 *  Pure. */
import { Fault } from '../../../kit/fault.ts'
import type { ImageIndex } from '../../../images/index.ts'
import type { NodeRecord } from '../record.ts'
import { verifiesInstance } from './firmware-target.ts'

/** `provision.unsignedImages`. */
export type UnsignedImages = 'refuse' | 'warn'

/** What is known of the image of a node whose firmware verifies it. `absent`: it is not in the store yet. */
export type LoaderVerdict = 'signed' | 'unsigned' | 'unknown' | 'absent'

/** Undefined: nothing is verified at the start of the instance, or what is booted is no image of a disk. */
export function loaderVerdict(
  node: Pick<NodeRecord, 'secureBoot' | 'driver' | 'interfaces' | 'properties' | 'instanceInfo'>,
  image: Pick<ImageIndex, 'signedLoader'> | undefined,
): LoaderVerdict | undefined {
  if (!verifiesInstance(node) || node.interfaces.deploy === 'ramdisk') return undefined
  if (image === undefined) return 'absent'
  return image.signedLoader === undefined ? 'unknown' : image.signedLoader ? 'signed' : 'unsigned'
}

const WORDS: Readonly<Record<Exclude<LoaderVerdict, 'signed'>, string>> = {
  unsigned: 'the boot loader of the image carries no signature, and Secure Boot is on: the firmware will stop it',
  unknown: 'Secure Boot is on, and it is not known whether the boot loader of the image is signed',
  absent: 'Secure Boot is on, and whether the boot loader of the image is signed is known once the image was fetched',
}

/** Undefined where there is nothing to say. */
export const loaderWords = (verdict: LoaderVerdict | undefined): string | undefined =>
  verdict === undefined || verdict === 'signed' ? undefined : WORDS[verdict]

/** Throws `image.unsigned` for what would be stopped. */
export function checkLoader(verdict: LoaderVerdict | undefined, rule: UnsignedImages): void {
  if (verdict === 'unsigned' && rule === 'refuse')
    throw new Fault('image.unsigned', `instance_info/image_source: ${WORDS.unsigned}`)
}
