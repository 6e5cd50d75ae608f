/** The fake RAID controller: eight disks of 1,000 GB; what is wanted is made of disks that nobody has yet, or refused
 *  as a whole. */
import { Fault } from '../../kit/fault.ts'
import type { LogicalDisk } from '../node/policy/raid.ts'

const DISKS = 8
const DISK_GB = 1000
const CONTROLLER = 'fake-controller-0'

/** Disks that a level takes at least, and the share of them that holds data. */
const LEVELS: Readonly<Record<string, readonly [least: number, usable: (disks: number) => number]>> = {
  JBOD: [1, (n) => n],
  '0': [1, (n) => n],
  '1': [2, () => 1],
  '2': [3, (n) => n - 1],
  '5': [3, (n) => n - 1],
  '6': [4, (n) => n - 2],
  '1+0': [4, (n) => Math.floor(n / 2)],
  '5+0': [6, (n) => n - 2],
  '6+0': [8, (n) => n - 4],
}

export interface RaidDisk extends Readonly<Record<string, unknown>> {
  readonly size_gb: number
  readonly is_root_volume: boolean
  readonly physical_disks: readonly string[]
  readonly root_device_hint: { readonly wwn: string }
}

/** Throws `input.invalid` with the logical disk that cannot be made. */
export function createRaid(wanted: readonly LogicalDisk[], taken: readonly RaidDisk[]): RaidDisk[] {
  const made = [...taken]
  for (const [i, disk] of wanted.entries()) made.push(createDisk(disk, { made, at: `logical_disks/${i}` }))
  return made
}

function createDisk(wanted: LogicalDisk, { made, at }: { made: readonly RaidDisk[]; at: string }): RaidDisk {
  const [least, usable] = LEVELS[wanted.raid_level] as NonNullable<(typeof LEVELS)[string]>
  const count = wanted.number_of_physical_disks ?? least
  if (count < least) throw new Fault('input.invalid', `${at}: RAID ${wanted.raid_level} takes at least ${least} disks`)
  const used = new Set(made.flatMap((disk) => disk.physical_disks))
  const free = Array.from({ length: DISKS }, (_, n) => `disk-${n}`).filter((disk) => !used.has(disk))
  if (free.length < count)
    throw new Fault('input.invalid', `${at}: it takes ${count} of the ${DISKS} disks, ${free.length} are free`)
  const mostGb = usable(count) * DISK_GB
  const sizeGb = wanted.size_gb === 'MAX' ? mostGb : wanted.size_gb
  if (sizeGb > mostGb)
    throw new Fault(
      'input.invalid',
      `${at}/size_gb: ${count} disks of ${DISK_GB} GB hold ${mostGb} GB in RAID ${wanted.raid_level}`,
    )
  const name = wanted.volume_name ?? `volume-${made.length}`
  return {
    id: String(made.length),
    name,
    controller: wanted.controller ?? CONTROLLER,
    size_gb: sizeGb,
    raid_level: wanted.raid_level,
    is_root_volume: wanted.is_root_volume ?? false,
    physical_disks: free.slice(0, count),
    root_device_hint: { wwn: `0x5fa4e000000000${made.length.toString(16).padStart(2, '0')}` },
  }
}
