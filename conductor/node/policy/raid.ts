/** target_raid_config: its schema (Ironic's), and what each of its keys means. */
import * as z from 'zod'
import { Fault } from '../../../kit/fault.ts'

const describe = {
  raid_level: "RAID level of the logical disk: 'JBOD', '0', '1', '2', '5', '6', '1+0', '5+0' or '6+0'. Required.",
  size_gb: "Size of the logical disk in GiB, or 'MAX' for all that is left. Required.",
  volume_name: 'Name of the volume; made up when not given. Optional.',
  is_root_volume: 'Whether the operating system goes there; one logical disk at most. False when not given. Optional.',
  share_physical_disks: 'Whether other logical disks may use the same physical disks. False when not given. Optional.',
  disk_type: "'hdd' or 'ssd'; any when not given. Optional.",
  interface_type: "'sata', 'scsi' or 'sas'; any when not given. Optional.",
  number_of_physical_disks:
    'How many physical disks are used; the fewest that the level takes when not given. Optional.',
  controller: 'The RAID controller; chosen by the driver when not given. Optional.',
  physical_disks: 'The physical disks, by name or (for software RAID) by hints; they need a controller. Optional.',
} as const
export const LOGICAL_DISK_PROPERTIES: Readonly<Record<string, string>> = describe

const LogicalDisk = z
  .strictObject({
    raid_level: z.enum(['JBOD', '0', '1', '2', '5', '6', '1+0', '5+0', '6+0']),
    size_gb: z.union([z.number().int().min(0), z.literal('MAX')]),
    volume_name: z.string().max(255).optional(),
    is_root_volume: z.boolean().optional(),
    share_physical_disks: z.boolean().optional(),
    disk_type: z.enum(['hdd', 'ssd']).optional(),
    interface_type: z.enum(['sata', 'scsi', 'sas']).optional(),
    number_of_physical_disks: z.number().int().min(1).max(1000).optional(),
    controller: z.string().max(255).optional(),
    physical_disks: z
      .union([z.array(z.string().max(255)).max(1000), z.array(z.record(z.string(), z.unknown())).min(2).max(1000)])
      .optional(),
  })
  .refine((disk) => disk.physical_disks === undefined || disk.controller !== undefined, {
    message: 'needs a controller',
    path: ['physical_disks'],
  })
export type LogicalDisk = z.infer<typeof LogicalDisk>

export const RaidConfig = z
  .strictObject({ logical_disks: z.array(LogicalDisk).min(1).max(100) })
  .refine(({ logical_disks: disks }) => disks.filter((disk) => disk.is_root_volume).length <= 1, {
    message: 'one of them at most is the root volume',
    path: ['logical_disks'],
  })

/** Throws `input.missing` when there is none. */
export function raidOf(config: unknown): LogicalDisk[] {
  const parsed = RaidConfig.safeParse(config)
  if (!parsed.success)
    throw new Fault('input.missing', 'target_raid_config is not set: PUT states/raid says what is wanted')
  return parsed.data.logical_disks
}
