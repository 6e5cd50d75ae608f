/** What the server and its Secure Boot will make of the image of a node, as a cause of a start that does not come.
 *  Pure. */
import { FAULTS } from '../../../kit/fault.ts'
import { isForeign, loaderWords, type LoaderVerdict } from '../policy/loader-check.ts'

const REMEDY_UNKNOWN =
  'look at EFI/BOOT/BOOTX64.EFI of the image; an image that is imported anew is looked at by the conductor'

export function causesOfLoader(verdict: LoaderVerdict | undefined, source: unknown) {
  const words = loaderWords(verdict)
  if (words === undefined || verdict === 'absent') return []
  const remedy = isForeign(verdict)
    ? FAULTS['image.architecture'].remedy
    : verdict === 'unsigned'
      ? FAULTS['image.unsigned'].remedy
      : REMEDY_UNKNOWN
  return [{ cause: words, evidence: [`instance_info/image_source is ${String(source).slice(0, 255)}`], remedy }]
}
