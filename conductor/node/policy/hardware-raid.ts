/** From target_raid_config and the storage that a BMC shows to orders for volumes: controller, drives and size of each.
 *  Pure; a logical disk that cannot be made is refused by name before anything is sent. */
import { Fault } from '../../../kit/fault.ts'
import type { DriveSeen, StorageSeen, VolumeOrder, VolumeSeen } from '../../bmc/parts/volumes.ts'
import type { LogicalDisk } from './raid.ts'

const GIB = 1024 ** 3

interface RaidLevel {
  readonly raidType: string
  readonly least: number
  /** Drives' worth of data. */
  readonly data: (drives: number) => number
}

const LEVELS: Readonly<Partial<Record<LogicalDisk['raid_level'], RaidLevel>>> = {
  '0': { raidType: 'RAID0', least: 1, data: (n) => n },
  '1': { raidType: 'RAID1', least: 2, data: () => 1 },
  '5': { raidType: 'RAID5', least: 3, data: (n) => n - 1 },
  '6': { raidType: 'RAID6', least: 4, data: (n) => n - 2 },
  '1+0': { raidType: 'RAID10', least: 4, data: (n) => Math.floor(n / 2) },
  '5+0': { raidType: 'RAID50', least: 6, data: (n) => n - 2 },
  '6+0': { raidType: 'RAID60', least: 8, data: (n) => n - 4 },
}

/** What can be said without the hardware. Throws `input.invalid`. */
export function checkHardwareRaid(disks: readonly LogicalDisk[]): void {
  for (const [i, disk] of disks.entries()) {
    const bad = (key: string, why: string) => new Fault('input.invalid', `logical_disks/${i}/${key}: ${why}`)
    const level = LEVELS[disk.raid_level]
    if (!level) throw bad('raid_level', `through Redfish there are ${Object.keys(LEVELS).join(', ')}`)
    if (disk.controller === 'software') throw bad('controller', 'software RAID needs the raid interface agent')
    if (disk.share_physical_disks) throw bad('share_physical_disks', 'a drive carries one volume through Redfish')
    if (disk.size_gb === 0) throw bad('size_gb', 'a volume has at least 1 GiB')
    const count = disk.number_of_physical_disks ?? disk.physical_disks?.length
    if (count !== undefined && count < level.least)
      throw bad('number_of_physical_disks', `RAID ${disk.raid_level} takes at least ${level.least} drives`)
  }
}

/** `gone`: ids of volumes that will be removed first. */
export function planHardwareRaid(
  disks: readonly LogicalDisk[],
  storages: readonly StorageSeen[],
  gone: ReadonlySet<string>,
): VolumeOrder[] {
  checkHardwareRaid(disks)
  const kept = storages.flatMap((storage) => storage.volumes).filter(({ id }) => !gone.has(id))
  const used = new Set(kept.flatMap(({ drives }) => drives))
  return disks.map((disk, i) => {
    const order = orderOf(disk, { storages, used, at: `logical_disks/${i}` })
    for (const drive of order.drives) used.add(drive)
    return order
  })
}

interface Room {
  readonly storages: readonly StorageSeen[]
  readonly used: ReadonlySet<string>
  readonly at: string
}

function orderOf(disk: LogicalDisk, { storages, used, at }: Room): VolumeOrder {
  const level = LEVELS[disk.raid_level] as RaidLevel
  const named = storages.filter(({ id, name }) => disk.controller === undefined || [id, name].includes(disk.controller))
  if (named.length === 0)
    throw new Fault(
      'raid.disks',
      `${at}/controller: there is no ${JSON.stringify(disk.controller)}; the BMC shows ${storages.map(({ id }) => id).join(', ') || 'no storage'}`,
    )
  const able = named.filter(({ volumesPath }) => volumesPath !== null)
  if (able.length === 0)
    throw new Fault('raid.disks', `${at}: ${named.map(({ id }) => id).join(', ')} offers no volumes (no link Volumes)`)
  for (const storage of able) {
    const drives = drivesFor(disk, { storage, used, level })
    if (!drives) continue
    const mostBytes = level.data(drives.length) * Math.min(...drives.map(({ sizeBytes }) => sizeBytes))
    if (disk.size_gb !== 'MAX' && disk.size_gb * GIB > mostBytes)
      throw new Fault(
        'raid.disks',
        `${at}/size_gb: ${drives.length} drives hold ${Math.floor(mostBytes / GIB)} GiB in RAID ${disk.raid_level}`,
      )
    const isMixed = new Set(drives.map(({ sizeBytes }) => sizeBytes)).size > 1
    return {
      name: disk.volume_name ?? null,
      raidType: level.raidType,
      // Left out, a controller takes all there is; of unequal drives some take too much.
      sizeBytes: disk.size_gb === 'MAX' ? (isMixed ? mostBytes : null) : disk.size_gb * GIB,
      drives: drives.map(({ id }) => id),
      volumesPath: storage.volumesPath as string,
      isImmediate: storage.isImmediate,
    }
  }
  throw new Fault(
    'raid.disks',
    `${at}: no controller has the drives for RAID ${disk.raid_level}: ${able.map((one) => shown(one, used)).join('; ')}`,
  )
}

const shown = ({ id, drives }: StorageSeen, used: ReadonlySet<string>): string =>
  `${id} has ${drives.filter((drive) => drive.isHealthy && !used.has(drive.id)).length} free of ${drives.length}`

function drivesFor(
  disk: LogicalDisk,
  { storage, used, level }: { storage: StorageSeen; used: ReadonlySet<string>; level: RaidLevel },
): DriveSeen[] | undefined {
  const free = storage.drives.filter(
    (drive) =>
      drive.isHealthy &&
      !used.has(drive.id) &&
      (disk.disk_type === undefined || drive.medium === disk.disk_type) &&
      (disk.interface_type === undefined || drive.protocol === disk.interface_type),
  )
  if (disk.physical_disks) return named(disk.physical_disks, free)
  const count = disk.number_of_physical_disks ?? level.least
  // Drives alike, the smallest that will do; drives that differ only where none are alike enough.
  const alike = new Map<string, DriveSeen[]>()
  for (const drive of free) {
    const kind = `${drive.medium} ${drive.protocol} ${drive.sizeBytes}`
    alike.set(kind, [...(alike.get(kind) ?? []), drive])
  }
  const wantedBytes = disk.size_gb === 'MAX' ? 0 : disk.size_gb * GIB
  const fits = [...alike.values()]
    .filter((drives) => drives.length >= count && level.data(count) * (drives[0]?.sizeBytes ?? 0) >= wantedBytes)
    .sort((a, b) => (a[0]?.sizeBytes ?? 0) - (b[0]?.sizeBytes ?? 0))
  return fits[0]?.slice(0, count)
}

/** A drive by its name, its place in the tree, or its serial number; or by hints of which each must be equal. */
function named(
  wanted: NonNullable<LogicalDisk['physical_disks']>,
  free: readonly DriveSeen[],
): DriveSeen[] | undefined {
  const left = [...free]
  const chosen: DriveSeen[] = []
  for (const one of wanted) {
    const at = left.findIndex((drive) =>
      typeof one === 'string'
        ? [drive.name, drive.id, drive.serial].includes(one)
        : Object.entries(one).every(([key, value]) => (drive as unknown as Record<string, unknown>)[key] === value),
    )
    if (at < 0) return undefined
    chosen.push(...left.splice(at, 1))
  }
  return chosen
}

/** Whether a volume is the one that was ordered: the same drives in the same level. Names are cut, and sizes rounded,
 *  by controllers. */
export const isOrdered = (order: VolumeOrder, volume: VolumeSeen): boolean =>
  (volume.raidType === null || volume.raidType === order.raidType) &&
  volume.drives.length === order.drives.length &&
  order.drives.every((drive) => volume.drives.includes(drive))
