/** Inventory out of band: what is read of shapes that vendors answer with, what is left out, and what a service without
 *  an end costs. */
import { afterEach, expect, test } from 'vitest'
import { inspectedByBmc } from '../../conductor/agents/bmc-inspection.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { macOf } from '../../conductor/bmc/redfish/inventory.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import type { Turn } from '../../conductor/bmc/parts/inventory.ts'
import { systemClock } from '../../kit/clock.ts'
import { at, members, StaticService, SYSTEM, type Body } from './static-service.ts'

const end: (() => unknown)[] = []
afterEach(async () => {
  for (const close of end.splice(0).reverse()) await close()
})

async function rig(resources: Record<string, Body>) {
  const service = await StaticService.start(resources)
  const client = new Redfish(redfishInfo(service.driverInfo()), systemClock)
  end.push(
    () => service.stop(),
    () => client.close(),
  )
  const turn: Turn = (work) => work(AbortSignal.timeout(30_000))
  return { service, read: () => client.inventory.read(turn) }
}

const CHASSIS = '/redfish/v1/Chassis/1'
const part = (path: string, more: Body): Record<string, Body> => ({ [path]: { ...at(path), ...more } })
const GIB = 1024 ** 3

/** A server with two processors, a drive behind a controller and a card with two ports. */
const WHOLE: Record<string, Body> = {
  ...part(SYSTEM, {
    '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
    Manufacturer: 'Contoso',
    Model: '3500RX',
    SKU: '8675309',
    SerialNumber: '437XR1138R2',
    UUID: '38947555-7742-3448-3784-823347823834',
    BiosVersion: 'P79 v1.45',
    PowerState: 'On',
    Status: { State: 'Enabled', Health: 'OK', HealthRollup: 'Warning' },
    Boot: { BootSourceOverrideMode: 'UEFI' },
    MemorySummary: { TotalSystemMemoryGiB: 96 },
    Processors: at(`${SYSTEM}/Processors`),
    Memory: at(`${SYSTEM}/Memory`),
    Storage: at(`${SYSTEM}/Storage`),
    EthernetInterfaces: at(`${SYSTEM}/EthernetInterfaces`),
    Links: { ManagedBy: [at('/redfish/v1/Managers/BMC')], Chassis: [at(CHASSIS)] },
  }),
  ...part('/redfish/v1/Managers/BMC', { Model: 'Joo Janta 200', FirmwareVersion: '1.45.455b66-rev4' }),
  ...part(`${SYSTEM}/Processors`, members(['CPU1', 'CPU2', 'GPU1'].map((id) => `${SYSTEM}/Processors/${id}`))),
  ...part(`${SYSTEM}/Processors/CPU1`, {
    ProcessorType: 'CPU',
    ProcessorArchitecture: 'x86',
    InstructionSet: 'x86-64',
    Model: 'Multi-Core Intel(R) Xeon(R)',
    MaxSpeedMHz: 3700,
    TotalCores: 8,
    TotalThreads: 16,
  }),
  ...part(`${SYSTEM}/Processors/CPU2`, { ProcessorType: 'CPU', TotalThreads: 16 }),
  ...part(`${SYSTEM}/Processors/GPU1`, { ProcessorType: 'GPU', TotalThreads: 4096 }),
  ...part(`${SYSTEM}/Memory`, members([`${SYSTEM}/Memory/1`, `${SYSTEM}/Memory/2`])),
  ...part(`${SYSTEM}/Memory/1`, { DeviceLocator: 'DIMM 1', CapacityMiB: 32_768, VolatileSizeMiB: 1, PartNumber: 'P1' }),
  ...part(`${SYSTEM}/Memory/2`, { DeviceLocator: 'DIMM 2', Status: { State: 'Absent' }, CapacityMiB: 32_768 }),
  ...part(`${SYSTEM}/Storage`, members([`${SYSTEM}/Storage/RAID.1`])),
  ...part(`${SYSTEM}/Storage/RAID.1`, {
    StorageControllers: [{ Name: 'Contoso RAID', FirmwareVersion: '1.0.0.7', Status: { Health: 'OK' } }],
    Drives: [at(`${SYSTEM}/Storage/RAID.1/Drives/1`), at(`${SYSTEM}/Storage/RAID.1/Drives/2`)],
  }),
  ...part(`${SYSTEM}/Storage/RAID.1/Drives/1`, {
    Name: 'Disk 1',
    CapacityBytes: 480 * GIB,
    MediaType: 'SSD',
    Protocol: 'SATA',
    Model: 'Micro',
    SerialNumber: 'S1',
    Identifiers: [{ DurableNameFormat: 'NAA', DurableName: '5002538E40F1F000' }],
    Status: { Health: 'Critical' },
  }),
  ...part(`${SYSTEM}/Storage/RAID.1/Drives/2`, { Name: 'Disk 2', CapacityBytes: null, Status: { State: 'Absent' } }),
  ...part(
    `${SYSTEM}/EthernetInterfaces`,
    members(['NIC.1', 'NIC.2', 'IB.1', 'NIC.3'].map((id) => `${SYSTEM}/EthernetInterfaces/${id}`)),
  ),
  ...part(`${SYSTEM}/EthernetInterfaces/NIC.1`, {
    Id: 'NIC.1',
    MACAddress: 'AA:BB:CC:00:00:02',
    SpeedMbps: 25_000,
    LinkStatus: 'LinkUp',
  }),
  ...part(`${SYSTEM}/EthernetInterfaces/NIC.2`, {
    Id: 'NIC.2',
    MACAddress: '',
    PermanentMACAddress: 'AA-BB-CC-00-00-04',
    SpeedMbps: 0,
  }),
  ...part(`${SYSTEM}/EthernetInterfaces/IB.1`, {
    Id: 'IB.1',
    MACAddress: '80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:aa:bb:cc',
  }),
  ...part(`${SYSTEM}/EthernetInterfaces/NIC.3`, {
    Id: 'NIC.3',
    MACAddress: 'AA:BB:CC:00:00:06',
    Status: { State: 'Disabled' },
  }),
}

test('a whole server: processors without GPUs, modules that are there, disks, cards with an address', async () => {
  const { read } = await rig(WHOLE)
  expect(await read()).toEqual({
    system: {
      vendor: 'Contoso',
      product: '3500RX',
      sku: '8675309',
      serial: '437XR1138R2',
      uuid: '38947555-7742-3448-3784-823347823834',
      firmwareVersion: 'P79 v1.45',
    },
    bmc: { model: 'Joo Janta 200', firmwareVersion: '1.45.455b66-rev4' },
    poweredOn: true,
    health: 'Warning',
    bootMode: 'uefi',
    cpu: { count: 32, sockets: 2, model: 'Multi-Core Intel(R) Xeon(R)', architecture: 'x86_64', frequencyMhz: 3700 },
    memoryBytes: 96 * GIB,
    modules: [{ slot: 'DIMM 1', sizeBytes: 32 * GIB, vendor: null, partNumber: 'P1', serial: null, health: null }],
    disks: [
      {
        name: 'Disk 1',
        sizeBytes: 480 * GIB,
        rotational: false,
        model: 'Micro',
        vendor: null,
        serial: 'S1',
        wwn: '5002538e40f1f000',
        transport: 'sata',
        health: 'Critical',
      },
    ],
    controllers: [{ name: 'Contoso RAID', model: null, vendor: null, firmwareVersion: '1.0.0.7', health: 'OK' }],
    nics: [
      { name: 'NIC.1', mac: 'aa:bb:cc:00:00:02', speedMbps: 25_000, linkUp: true },
      { name: 'NIC.2', mac: 'aa:bb:cc:00:00:04', speedMbps: null, linkUp: false },
    ],
    unread: 0,
  })
})

test('the same as Ironic has it: properties, interfaces and firmware', async () => {
  const { read } = await rig(WHOLE)
  const { properties, document, macs, pxeEnabled } = inspectedByBmc(
    { name: 'n1', properties: { rack: 7, capabilities: 'boot_mode:bios,cpu_vt:true' } },
    await read(),
    { bootable: false, bmcAddress: '192.0.2.1' },
  )
  expect(properties).toEqual({
    rack: 7,
    cpus: 32,
    cpu_arch: 'x86_64',
    memory_mb: 96 * 1024,
    local_gb: 479,
    vendor: 'Contoso',
    model: '3500RX',
    capabilities: 'cpu_vt:true,boot_mode:uefi',
  })
  expect([macs, pxeEnabled]).toEqual([['aa:bb:cc:00:00:02', 'aa:bb:cc:00:00:04'], true])
  expect(document.inventory).toMatchObject({
    bmc_address: '192.0.2.1',
    cpu: { count: 32, socket_count: 2, architecture: 'x86_64', frequency: '3700' },
    memory: { total: 96 * GIB, physical_mb: 98_304 },
    system_vendor: { manufacturer: 'Contoso', serial_number: '437XR1138R2', firmware: { version: 'P79 v1.45' } },
    disks: [{ name: 'Disk 1', size: 480 * GIB, rotational: false, serial: 'S1' }],
    boot: { current_boot_mode: 'uefi', pxe_interface: null },
  })
})

test('a BMC that has next to nothing: what it leaves out is left out, and nothing is guessed', async () => {
  const bare = {
    ...part(SYSTEM, {
      PowerState: 'Off',
      UUID: '',
      Processors: at(`${SYSTEM}/Processors`),
      EthernetInterfaces: at(`${SYSTEM}/EthernetInterfaces`),
      ProcessorSummary: { Count: 2, CoreCount: 12, Model: 'ARM' },
      SimpleStorage: at(`${SYSTEM}/SimpleStorage`),
    }),
    // Members is null on some (BlueField).
    ...part(`${SYSTEM}/EthernetInterfaces`, { Members: null }),
    ...part(`${SYSTEM}/SimpleStorage`, members([`${SYSTEM}/SimpleStorage/1`])),
    ...part(`${SYSTEM}/SimpleStorage/1`, { Devices: [{ Name: 'SATA Bay 1', CapacityBytes: 8_000_000_000_000 }] }),
  }
  const { read } = await rig(bare)
  const found = await read()
  expect(found).toMatchObject({
    poweredOn: false,
    health: null,
    bootMode: null,
    memoryBytes: null,
    cpu: { count: 12, sockets: 2, model: 'ARM', architecture: null },
    disks: [{ name: 'SATA Bay 1', rotational: null }],
    nics: [],
    system: { vendor: null, uuid: null },
    unread: 1,
  })
  const { properties } = inspectedByBmc({ name: null, properties: {} }, found, { bootable: true, bmcAddress: null })
  expect(properties).toEqual({ cpus: 12, local_gb: 7449 })
})

test('where the BMC lists no interfaces, the functions of its adapters name the cards, whose port ids collide', async () => {
  const adapters = `${CHASSIS}/NetworkAdapters`
  const nic = (id: string) => `${adapters}/${id}/NetworkDeviceFunctions`
  const { read } = await rig({
    ...part(SYSTEM, { PowerState: 'On', Links: { Chassis: [at(CHASSIS)] } }),
    ...part(CHASSIS, { NetworkAdapters: at(adapters) }),
    ...part(adapters, members([`${adapters}/A`, `${adapters}/B`])),
    ...part(`${adapters}/A`, { NetworkDeviceFunctions: at(nic('A')) }),
    ...part(`${adapters}/B`, { NetworkDeviceFunctions: at(nic('B')) }),
    // Expanded members need no read of their own.
    ...part(nic('A'), {
      Members: [{ ...at(`${nic('A')}/1`), Id: '1', Ethernet: { MACAddress: '02:00:00:00:00:0A' } }],
    }),
    ...part(nic('B'), members([`${nic('B')}/1`])),
    ...part(`${nic('B')}/1`, { Id: '1', Ethernet: { PermanentMACAddress: '02:00:00:00:00:0B' } }),
  })
  expect((await read()).nics.map(({ name, mac }) => [name, mac])).toEqual([
    ['1', '02:00:00:00:00:0a'],
    ['02:00:00:00:00:0b', '02:00:00:00:00:0b'],
  ])
})

test('a service that lists ten thousand members at every turn costs a bounded number of reads', async () => {
  const { service, read } = await rig(WHOLE)
  const list = Array.from({ length: 10_000 }, (_, i) => at(`${SYSTEM}/Any/${i}`))
  const text = JSON.stringify({ Members: list, Drives: list, Controllers: at(`${SYSTEM}/Any/c`), CapacityMiB: 1 })
  service.handle = ({ path }, response) => {
    if (path === SYSTEM || !path.startsWith(`${SYSTEM}/`)) return undefined
    response.end(text)
    return 'answered'
  }
  const found = await read()
  expect(service.heard.length).toBeLessThan(64)
  expect(found.unread).toBeGreaterThan(1_000)
  expect(found.modules.length + found.disks.length + found.nics.length).toBeLessThan(600)
})

test.each([
  ['00:00:00:00:00:00', null],
  ['01:00:5e:00:00:01', null],
  ['', null],
  [null, null],
  ['not-a-mac', null],
  ['AABB.CC00.0002', 'aa:bb:cc:00:00:02'],
  ['aa-bb-cc-00-00-02', 'aa:bb:cc:00:00:02'],
])('the address %j is %j', (given, mac) => {
  expect(macOf(given)).toBe(mac)
})
