/** Storage, drives and volumes in the shapes of vendors, written anew: each must be read for what it means. */
import { afterEach, expect, test } from 'vitest'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { systemClock } from '../../kit/clock.ts'
import { at, StaticService, SYSTEM, type Body } from './static-service.ts'

const STORAGE = `${SYSTEM}/Storage`
const RAID = `${STORAGE}/RAID.1`
const DISK = `${STORAGE}/Drives/Disk.Bay.0`
let service: StaticService
let bmc: Redfish
afterEach(async () => {
  await bmc?.close()
  await service?.stop()
})

async function read(resources: Record<string, Body>, handle?: StaticService['handle']) {
  service = await StaticService.start({
    [SYSTEM]: { ...at(SYSTEM), PowerState: 'On', Storage: at(STORAGE) },
    [STORAGE]: { Members: [at(RAID)] },
    [RAID]: { ...at(RAID), Id: 'RAID.1', Name: 'PERC H755', Drives: [at(DISK)], Volumes: at(`${RAID}/Volumes`) },
    [`${RAID}/Volumes`]: { Members: [] },
    [DISK]: { ...at(DISK), Id: 'Disk.Bay.0', CapacityBytes: 480_103_981_056, MediaType: 'SSD', Protocol: 'SATA' },
    ...resources,
  })
  if (handle) service.handle = handle
  bmc = new Redfish(redfishInfo(service.driverInfo()), systemClock)
  return bmc.volumes.read(AbortSignal.timeout(20_000))
}
const volume = (id: string, more: Body): Record<string, Body> => ({
  [`${RAID}/Volumes`]: { Members: [at(`${RAID}/Volumes/${id}`)] },
  [`${RAID}/Volumes/${id}`]: { ...at(`${RAID}/Volumes/${id}`), Id: id, ...more },
})
const seenVolume = async (more: Body) => (await read(volume('1', more)))[0]?.volumes[0]

test.each<[string, Body, object]>([
  [
    'RAIDType, and an NAA in upper case without its prefix',
    {
      RAIDType: 'RAID1',
      Name: 'root',
      CapacityBytes: 300_000_000_000,
      Identifiers: [{ DurableName: '64CD98F0C0FFEE000000000000000001', DurableNameFormat: 'NAA' }],
      Links: { Drives: [at(DISK)] },
    },
    { name: 'root', raidType: 'RAID1', sizeBytes: 300e9, drives: [DISK], wwn: '0x64cd98f0c0ffee000000000000000001' },
  ],
  ['VolumeType of older services', { VolumeType: 'Mirrored', Name: 'v' }, { raidType: 'RAID1', sizeBytes: null }],
  ['a name to show beside the one of the schema', { DisplayName: 'data', Name: 'Virtual Disk 0' }, { name: 'data' }],
  [
    'no size, no name, no links',
    { CapacityBytes: null, Name: '', Links: null },
    { name: null, sizeBytes: null, drives: [] },
  ],
  ['identifiers of another kind', { Identifiers: [{ DurableNameFormat: 'UUID', DurableName: 'x' }] }, { wwn: null }],
])('a volume: %s', async (_, shown, found) => {
  expect(await seenVolume(shown)).toMatchObject(found)
})

test('a controller without the link Volumes offers none; one whose list is gone offers none either', async () => {
  expect(await read({ [RAID]: { ...at(RAID), Id: 'BOSS.1', Drives: [at(DISK)] } })).toMatchObject([
    { id: 'BOSS.1', name: 'BOSS.1', volumesPath: null, volumes: [], drives: [{ name: 'Disk.Bay.0', medium: 'ssd' }] },
  ])
  await bmc.close()
  await service.stop()
  const gone = ({ path }: { path: string }) => (path === `${RAID}/Volumes` ? { status: 404, body: {} } : undefined)
  expect(await read({}, gone)).toMatchObject([{ volumesPath: null, volumes: [] }])
})

test('a list of volumes that cannot be read is no empty one', async () => {
  const broken = ({ path }: { path: string }) => (path === `${RAID}/Volumes` ? { status: 500, body: {} } : undefined)
  await expect(read({}, broken)).rejects.toMatchObject({ code: 'bmc.refused' })
})

test.each<[string, Body, boolean]>([
  ['nothing is said', {}, true],
  ['at once or later', { '@Redfish.OperationApplyTimeSupport': { SupportedValues: ['Immediate', 'OnReset'] } }, true],
  ['at the next start alone', { '@Redfish.OperationApplyTimeSupport': { SupportedValues: ['OnReset'] } }, false],
])('when volumes are made: %s', async (_, list, isImmediate) => {
  expect(await read({ [`${RAID}/Volumes`]: { Members: [], ...list } })).toMatchObject([{ isImmediate }])
})

test.each<[string, Body, object | undefined]>([
  ['no size', { CapacityBytes: null }, undefined],
  ['an empty bay', { CapacityBytes: 1, Status: { State: 'Absent' } }, undefined],
  ['one that will fail', { CapacityBytes: 1, FailurePredicted: true }, { isHealthy: false }],
  ['one that is ill', { CapacityBytes: 1, Status: { State: 'Enabled', Health: 'Critical' } }, { isHealthy: false }],
  ['a spare', { CapacityBytes: 1, Status: { State: 'StandbySpare', Health: 'OK' } }, { isHealthy: true }],
  [
    'no health at all',
    { CapacityBytes: 1, MediaType: 'HDD', Protocol: 'SAS' },
    { isHealthy: true, medium: 'hdd', protocol: 'sas' },
  ],
])('a drive: %s', async (_, shown, found) => {
  const [storage] = await read({ [DISK]: { ...at(DISK), Id: 'd', ...shown } })
  expect(storage?.drives).toMatchObject(found ? [found] : [])
})

test('volumes on several pages, and one drive in two members of the storage, are all there', async () => {
  const [first, second] = [`${RAID}/Volumes/1`, `${RAID}/Volumes/2`]
  const other = `${STORAGE}/RAID.2`
  const found = await read({
    [STORAGE]: { Members: [at(RAID), at(other)] },
    [other]: { ...at(other), Id: 'RAID.2', Drives: [at(DISK)] },
    [`${RAID}/Volumes`]: { Members: [at(first)], 'Members@odata.nextLink': `${RAID}/Volumes?$skip=1` },
    [`${RAID}/Volumes?$skip=1`]: { Members: [at(second)] },
    [first]: { ...at(first), RAIDType: 'RAID0' },
    [second]: { ...at(second), RAIDType: 'RAID5' },
  })
  expect(found.map(({ volumes, drives }) => [volumes.map(({ raidType }) => raidType), drives.length])).toEqual([
    [['RAID0', 'RAID5'], 1],
    [[], 1],
  ])
})
