/** Software RAID on the agents' wire: the volumes that are wanted, and those that the machine has. */
import * as z from 'zod/mini'

const Text = (max: number) => z.string().check(z.maxLength(max))
const Count = z.int().check(z.nonnegative())

/** Ironic's names of the levels that mdadm makes. */
export const SOFTWARE_LEVELS = ['0', '1', '5', '6', '1+0'] as const
export type SoftwareLevel = (typeof SOFTWARE_LEVELS)[number]

/** Disks that a level takes at least. */
export const LEAST_DISKS: Readonly<Record<SoftwareLevel, number>> = { '0': 2, '1': 2, '5': 3, '6': 4, '1+0': 4 }

export const MAX_VOLUMES = 8
export const MAX_MEMBERS = 64

/** The UUID of an md array as mdadm writes it. */
const VolumeId = z.string().check(z.regex(/^[0-9a-f]{8}(:[0-9a-f]{8}){3}$/))
/** The superblock has 32 bytes for it, with "any:" before. */
const VolumeName = z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,27}$/))

export const VolumeWish = z.object({
  id: VolumeId,
  name: VolumeName,
  level: z.enum(SOFTWARE_LEVELS),
  /** GiB. */
  size: z.union([z.literal('MAX'), z.int().check(z.positive())]),
  isRoot: z.boolean(),
  diskType: z.optional(z.enum(['hdd', 'ssd'])),
  /** Disks to use; absent: all that are suitable. */
  diskCount: z.optional(Count),
  /** Hints, one for each disk. */
  disks: z.optional(z.array(z.record(z.string(), z.unknown())).check(z.maxLength(MAX_MEMBERS))),
})

export const Volume = z.object({
  id: VolumeId,
  name: VolumeName,
  level: z.enum(SOFTWARE_LEVELS),
  size: z.union([z.literal('MAX'), z.int().check(z.positive())]),
  isRoot: z.boolean(),
  sizeBytes: Count,
  disks: z
    .array(z.object({ name: Text(64), serial: z.nullable(Text(256)), wwn: z.nullable(Text(256)) }))
    .check(z.maxLength(MAX_MEMBERS)),
})

export const VolumeWishes = z.array(VolumeWish).check(z.maxLength(MAX_VOLUMES))
export const Volumes = z.array(Volume).check(z.maxLength(MAX_VOLUMES))
export const VolumeIds = z.array(VolumeId).check(z.maxLength(MAX_VOLUMES))

export type VolumeWish = z.infer<typeof VolumeWish>
export type Volume = z.infer<typeof Volume>
