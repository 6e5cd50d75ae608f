/** What instance_info asks of a partition image: a file system for the root partition, with a kernel and a ramdisk that
 *  start it, on a disk that is partitioned for it. Pure; throws `input.missing` or `input.invalid` with the key. */
import { Fault } from '../../../kit/fault.ts'
import { isOci } from '../../../images/oci-reference.ts'
import type { NodeRecord } from '../record.ts'
import { recordedArchitecture } from './architecture.ts'
import { declaredBootMode, firmwareTargetOf } from './firmware-target.ts'
import {
  fileSource,
  glanceId,
  imageSource,
  kernelArguments,
  type InstanceInfo,
  type SourceFile,
  type SourceRules,
} from './instance-source.ts'

type CheckedFile = Required<SourceFile>

/** What the agent is told. */
export interface PartitionWish {
  /** Of the kernel, behind those that name the root file system. */
  readonly args: readonly string[]
  /** Null: the root partition takes the rest of the disk. */
  readonly rootBytes: number | null
  /** 0: there is no swap. */
  readonly swapBytes: number
}

export interface PartitionSource extends PartitionWish {
  readonly image: CheckedFile
  readonly kernel: CheckedFile
  readonly ramdisk: CheckedFile
}

const GIB = 1024 ** 3
const MIB = 1024 ** 2
/** A disk has less: what is more is a mistake. */
const MAX_BYTES = 2 ** 50
const TYPES = ['whole-disk', 'partition'] as const

const invalid = (key: string, why: string) => new Fault('input.invalid', `instance_info/${key}: ${why}`)

/** As Ironic infers it: without `image_type`, kernel and ramdisk beside an image make it a partition image. */
export function imageType({ image_type: type, kernel, ramdisk }: InstanceInfo): (typeof TYPES)[number] {
  if (type === undefined || type === null) return isGiven(kernel) && isGiven(ramdisk) ? 'partition' : 'whole-disk'
  const known = TYPES.find((one) => one === type)
  if (!known)
    throw invalid('image_type', `${JSON.stringify(type)?.slice(0, 64)} is not known: give whole-disk or partition`)
  return known
}

export function partitionSource(info: InstanceInfo, rules: SourceRules): PartitionSource {
  for (const key of ['kernel', 'ramdisk'] as const)
    if (!isGiven(info[key]))
      throw new Fault(
        'input.missing',
        `instance_info/${key} is missing: a partition image is started by the kernel and the ramdisk that are given with it`,
      )
  return {
    ...partitionWish(info),
    image: checked('image_source', imageSource(info, rules)),
    kernel: checked('kernel', fileSource('kernel', info, rules)),
    ramdisk: checked('ramdisk', fileSource('ramdisk', info, rules)),
  }
}

export function partitionWish(info: InstanceInfo): PartitionWish {
  if ((sizeOf(info, 'ephemeral_gb', { unit: GIB, least: 0 }) ?? 0) > 0)
    throw invalid(
      'ephemeral_gb',
      'a partition for ephemeral data is not made: leave it out, or use root_gb and swap_mb',
    )
  return {
    args: kernelArguments(info, 'kernel_append_params'),
    rootBytes: sizeOf(info, 'root_gb', { unit: GIB, least: 1 }),
    swapBytes: sizeOf(info, 'swap_mb', { unit: MIB, least: 0 }) ?? 0,
  }
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null && value !== ''

/** The whole disk is named by these checksums before anything was fetched, and images of the store have partitions. */
function checked(key: 'image_source' | 'kernel' | 'ramdisk', { source, checksum }: SourceFile): CheckedFile {
  if (isOci(source) || glanceId(source))
    throw invalid(key, 'the parts of a partition image come from http, https, file and s3 URLs with checksums alone')
  if (checksum) return { source, checksum }
  if (key !== 'image_source')
    throw new Fault('input.missing', `instance_info/${key}_checksum is missing: the SHA-256 or SHA-512 of the file`)
  throw invalid(
    key,
    'images of the store are whole disks: leave out image_type, kernel and ramdisk, or give the URL of a file system image',
  )
}

/** Nova sends numbers as texts. */
function sizeOf(
  info: InstanceInfo,
  key: 'root_gb' | 'swap_mb' | 'ephemeral_gb',
  { unit, least }: { unit: number; least: 0 | 1 },
): number | null {
  const value = info[key]
  if (value === undefined || value === null) return null
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < least || number * unit > MAX_BYTES)
    throw invalid(
      key,
      `${JSON.stringify(value)?.slice(0, 64)} is no ${least > 0 ? 'positive ' : ''}integer of at most ${MAX_BYTES / unit}`,
    )
  return number * unit
}

/** Throws for a node that could not start one. */
export function checkPartitionNode(
  { bootMode, properties, instanceInfo }: Pick<NodeRecord, 'bootMode' | 'properties' | 'instanceInfo'>,
  { partitionLoaders, partitionBios }: Pick<SourceRules, 'partitionLoaders' | 'partitionBios'>,
): void {
  const wanted = firmwareTargetOf({ instanceInfo }).bootMode ?? declaredBootMode(properties) ?? bootMode
  if (wanted === 'bios' && !partitionBios)
    throw invalid(
      'image_type',
      'the boot mode of the node is bios, and the conductor has no GRUB for it: install grub-pc-bin and grub-common there, give a whole-disk image, or boot_mode:uefi in instance_info/capabilities',
    )
  const architecture = recordedArchitecture({ properties })
  if (architecture !== null && architecture !== 'x86_64')
    throw invalid(
      'image_type',
      `partition images are for x86_64, and the node is ${architecture}: give a whole-disk image`,
    )
  const device = (instanceInfo.root_device ?? properties.root_device) as { volume_name?: unknown } | null | undefined
  if (device?.volume_name !== undefined)
    throw invalid('image_type', 'a partition image does not start from software RAID: give a whole-disk image')
  checkBootOption(instanceInfo.capabilities)
  if (!instanceInfo.root_device) checkFits(properties.local_gb, partitionWish(instanceInfo))
  if (!partitionLoaders)
    throw invalid(
      'image_type',
      'boot.loaders has no bootx64.efi and grubx64.efi, which start partition images: run "rackward image build loaders", and set boot.loaders',
    )
}

/** A text or an object, as Ironic takes them. */
function checkBootOption(capabilities: unknown): void {
  const text = typeof capabilities === 'string' ? capabilities : JSON.stringify(capabilities ?? '')
  const [, option = 'local'] = /boot_option["\s]*:["\s]*([^",\s}]+)/.exec(text) ?? []
  if (option !== 'local')
    throw invalid('capabilities', 'a partition image boots from its disk: boot_option can be local alone')
}

/** Against the root disk as it was inspected, which is recorded as one GiB less than there is. Where another disk is
 *  chosen for a deploy, the agent alone can tell. */
function checkFits(localGb: unknown, { rootBytes, swapBytes }: Pick<PartitionWish, 'rootBytes' | 'swapBytes'>): void {
  const diskGb = Number(localGb)
  if (!Number.isFinite(diskGb) || diskGb <= 0) return
  if ((rootBytes ?? 0) + swapBytes < (diskGb + 1) * GIB) return
  const swap = swapBytes > 0 ? ` with ${swapBytes / MIB} MiB of swap` : ''
  throw invalid(
    rootBytes === null ? 'swap_mb' : 'root_gb',
    `${(rootBytes ?? 0) / GIB} GiB${swap} do not fit on the disk of the node (local_gb ${diskGb})`,
  )
}
