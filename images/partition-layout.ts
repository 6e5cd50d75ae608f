/** How a disk is divided for a partition image: first as the conductor makes it (BIOS boot, EFI system partition,
 *  root), then as the agent ends it (root of its size, swap, config drive). Pure. */
import { Fault } from '../kit/fault.ts'
import { bytesText } from '../kit/text.ts'

const MIB = 1024 * 1024
export const BIOS_START_MIB = 1
export const ESP_START_MIB = 2
/** As large as those that distributions make: kernels are added later. */
export const ESP_MIB = 512
export const ROOT_START_MIB = ESP_START_MIB + ESP_MIB
export const ESP_PARTITION = 2
export const ROOT_PARTITION = 3
/** Room for the backup GPT. */
const TAIL_MIB = 1
/** Of kernel and ramdisk together: the rest is for loaders and the file system itself. */
export const MOST_BOOT_BYTES = (ESP_MIB - 64) * MIB
/** Fixed: every conductor makes the same bytes of the same files. */
const DISK_UUID = '6b5f0c0e-7d2a-4f1b-8e21-52ac0d12deb1'
const PART_UUID = (last: number) => `6b5f0c0e-7d2a-4f1b-8e22-52ac0d12deb${last}`

const wholeMib = (bytes: number): number => Math.ceil(bytes / MIB)

/** Of the disk that holds a file system of so many bytes. */
export const diskBytesFor = (volumeBytes: number): number => (ROOT_START_MIB + wholeMib(volumeBytes) + TAIL_MIB) * MIB

/** The table, as sfdisk reads it. The first partition is for a boot loader of BIOS. */
export const diskScript = (volumeBytes: number): string => `label: gpt
label-id: ${DISK_UUID}
start=${BIOS_START_MIB}MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, uuid=${PART_UUID(1)}, name=bios
start=${ESP_START_MIB}MiB, size=${ESP_MIB}MiB, type=U, uuid=${PART_UUID(2)}, name=esp
start=${ROOT_START_MIB}MiB, size=${wholeMib(volumeBytes)}MiB, type=L, uuid=${PART_UUID(3)}, name=root
`

export interface FinishWish {
  readonly diskBytes: number
  /** Of the image as it was written. */
  readonly imageBytes: number
  /** What the config drive takes at the end of the disk; 0: there is none. */
  readonly driveBytes: number
  /** Null: the rest of the disk. */
  readonly rootBytes: number | null
  readonly swapBytes: number
}

export interface FinishPlan {
  readonly rootMib: number
  readonly swap: { readonly startMib: number; readonly sizeMib: number } | null
}

/** Throws `deploy.too-small` with the field for what the disk cannot hold. */
export function finishPlan({ diskBytes, imageBytes, driveBytes, rootBytes, swapBytes }: FinishWish): FinishPlan {
  const endMib = Math.floor(diskBytes / MIB) - TAIL_MIB - wholeMib(driveBytes)
  const swapMib = wholeMib(swapBytes)
  const leftMib = endMib - swapMib - ROOT_START_MIB
  const leastMib = wholeMib(imageBytes) - TAIL_MIB - ROOT_START_MIB
  const rootMib = rootBytes === null ? leftMib : wholeMib(rootBytes)
  if (rootMib > leftMib)
    throw new Fault(
      'deploy.too-small',
      `instance_info/root_gb: the root file system may have ${bytesText(Math.max(0, leftMib) * MIB)} on this disk of ${bytesText(diskBytes)}`,
    )
  if (rootMib < leastMib)
    throw new Fault(
      'deploy.too-small',
      rootBytes === null
        ? `the file system of the image has ${bytesText(leastMib * MIB)}, and ${bytesText(Math.max(0, leftMib) * MIB)} of the disk are left for it`
        : `instance_info/root_gb: the file system of the image has ${bytesText(leastMib * MIB)}, more than ${bytesText(rootBytes)}`,
    )
  return { rootMib, swap: swapMib === 0 ? null : { startMib: endMib - swapMib, sizeMib: swapMib } }
}

/** What the root partition must have at least, for an image of so many bytes. */
export const leastRootBytes = (imageBytes: number): number => imageBytes - (ROOT_START_MIB + TAIL_MIB) * MIB

/** What a disk must have at least. */
export const neededBytes = (wish: Omit<FinishWish, 'diskBytes'>): number =>
  (ROOT_START_MIB + TAIL_MIB + wholeMib(wish.swapBytes) + wholeMib(wish.driveBytes)) * MIB +
  Math.max(wish.rootBytes ?? 0, leastRootBytes(wish.imageBytes))
