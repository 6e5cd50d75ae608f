/** Which drives of which controller become a volume, and what is refused by name before a BMC is asked for it. */
import { expect, test } from 'vitest'
import type { DriveSeen, StorageSeen } from '../../conductor/bmc/parts/volumes.ts'
import { checkHardwareRaid, isOrdered, planHardwareRaid } from '../../conductor/node/policy/hardware-raid.ts'
import type { LogicalDisk } from '../../conductor/node/policy/raid.ts'
import { isFault } from '../../kit/fault.ts'

const GIB = 1024 ** 3
const drive = (name: string, gib: number, more: Partial<DriveSeen> = {}): DriveSeen => ({
  id: `/d/${name}`,
  name,
  sizeBytes: gib * GIB,
  medium: 'ssd',
  protocol: 'sas',
  model: 'M',
  serial: `SN-${name}`,
  isHealthy: true,
  ...more,
})
const storage = (id: string, drives: DriveSeen[], more: Partial<StorageSeen> = {}): StorageSeen => ({
  id,
  name: `controller ${id}`,
  drives,
  volumes: [],
  volumesPath: `/${id}/Volumes`,
  isImmediate: true,
  ...more,
})
const SSD = [drive('a', 100), drive('b', 100), drive('c', 100), drive('d', 100)]
const HDD = [drive('x', 1000, { medium: 'hdd' }), drive('y', 1000, { medium: 'hdd' })]
const RAID = storage('RAID.1', [...HDD, ...SSD])
const HBA = storage('HBA.1', [drive('h', 10), drive('i', 10)], { volumesPath: null })
const plan = (disks: LogicalDisk[], storages = [HBA, RAID], gone: string[] = []) =>
  planHardwareRaid(disks, storages, new Set(gone))
const drivesOf = (disks: LogicalDisk[], storages?: StorageSeen[]) =>
  plan(disks, storages).map(({ drives }) => drives.map((id) => id.slice(3)).join(''))
const why = (work: () => unknown): string => {
  try {
    work()
    return 'accepted'
  } catch (error) {
    return isFault(error) ? `${error.code}: ${error.detail}` : String(error)
  }
}
const one = (more: Partial<LogicalDisk> = {}): LogicalDisk => ({ raid_level: '1', size_gb: 'MAX', ...more })

test('drives alike, the smallest that will do; each drive once', () => {
  expect(drivesOf([one()])).toEqual(['ab'])
  expect(drivesOf([one(), one()])).toEqual(['ab', 'cd'])
  expect(drivesOf([one({ size_gb: 500 })])).toEqual(['xy'])
  expect(drivesOf([one({ disk_type: 'hdd' })])).toEqual(['xy'])
  expect(drivesOf([one({ raid_level: '5', number_of_physical_disks: 4 })])).toEqual(['abcd'])
  expect(drivesOf([one({ controller: 'RAID.1', physical_disks: ['d', 'SN-b'] })])).toEqual(['db'])
  expect(drivesOf([one({ controller: 'RAID.1', physical_disks: [{ serial: 'SN-c' }, { medium: 'ssd' }] })])).toEqual([
    'ca',
  ])
})

test('a size that is left out takes all, but of unequal drives it is said', () => {
  expect(plan([one()])[0]?.sizeBytes).toBeNull()
  expect(plan([one({ size_gb: 40 })])[0]?.sizeBytes).toBe(40 * GIB)
  const mixed = plan([one({ raid_level: '0', controller: 'RAID.1', physical_disks: ['a', 'x'] })])
  expect(mixed[0]?.sizeBytes).toBe(200 * GIB)
})

test('drives of volumes are taken, until these are removed', () => {
  const volume = { id: '/v/1', name: 'v', raidType: 'RAID1', sizeBytes: 1, drives: ['/d/a', '/d/b', '/d/c'], wwn: null }
  const full = storage('RAID.1', SSD, { volumes: [volume] })
  expect(why(() => plan([one()], [full]))).toMatch(/raid.disks: logical_disks\/0: .*RAID.1 has 1 free of 4/)
  expect(plan([one()], [full], ['/v/1'])[0]?.drives).toEqual(['/d/a', '/d/b'])
})

test.each<[string, LogicalDisk, RegExp]>([
  [
    'an unknown controller',
    one({ controller: 'X' }),
    /raid.disks: logical_disks\/0\/controller: there is no "X"; the BMC shows HBA.1, RAID.1/,
  ],
  [
    'a controller without volumes',
    one({ controller: 'HBA.1' }),
    /raid.disks: logical_disks\/0: HBA.1 offers no volumes/,
  ],
  [
    'too big',
    one({ controller: 'RAID.1', size_gb: 200, physical_disks: ['a', 'b'] }),
    /raid.disks: logical_disks\/0\/size_gb: 2 drives hold 100 GiB/,
  ],
  [
    'a drive that is not there',
    one({ controller: 'RAID.1', physical_disks: ['a', 'z'] }),
    /raid.disks: logical_disks\/0: no controller/,
  ],
  ['software', one({ controller: 'software' }), /input.invalid: .*raid interface agent/],
  ['a level without a name in Redfish', one({ raid_level: 'JBOD' }), /input.invalid: logical_disks\/0\/raid_level/],
  ['too few drives', one({ raid_level: '6', number_of_physical_disks: 3 }), /input.invalid: .*takes at least 4/],
  ['shared drives', one({ share_physical_disks: true }), /input.invalid: .*share_physical_disks/],
])('%s', (_, disk, expected) => {
  expect(why(() => (checkHardwareRaid([disk]), plan([disk])))).toMatch(expected)
})

test('a broken drive is not used', () => {
  const [a, ...rest] = SSD
  expect(drivesOf([one()], [storage('R', [{ ...(a as DriveSeen), isHealthy: false }, ...rest])])).toEqual(['bc'])
})

test('a volume is the one that was ordered by its level and drives, whatever its name became', () => {
  const order = plan([one({ volume_name: 'a-name-that-is-cut' })])[0] as NonNullable<ReturnType<typeof plan>[0]>
  const seen = {
    id: '/v',
    name: 'a-name-that-',
    raidType: 'RAID1',
    sizeBytes: null,
    drives: ['/d/b', '/d/a'],
    wwn: null,
  }
  expect(isOrdered(order, seen)).toBe(true)
  expect(isOrdered(order, { ...seen, raidType: 'RAID0' })).toBe(false)
  expect(isOrdered(order, { ...seen, drives: ['/d/b', '/d/c'] })).toBe(false)
})
