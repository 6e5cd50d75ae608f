/** Inventory of a server from its Redfish service: system, processors, memory, storage, network cards, firmware of BIOS
 *  and BMC. What a BMC leaves out or gets wrong is left out. */
import type {
  BmcInventory,
  FoundController,
  FoundDisk,
  FoundHardware,
  FoundModule,
  FoundNic,
  Turn,
} from '../parts/inventory.ts'
import { overrideMode } from './boot.ts'
import { isDict, type Dict, type RedfishClient } from './client.ts'
import { powerOf, readSystem, uuidOf, type At } from './system.ts'
import { countOf, healthOf, lineOf, stateOf, Walk } from './walk.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const dict = (value: unknown): Dict => (isDict(value) ? value : {})

export const redfishInventory = (client: RedfishClient, at: At): BmcInventory => ({
  async read(turn: Turn): Promise<FoundHardware> {
    const system = await turn((signal) => at(signal, async ({ path }) => (await readSystem(client, path, signal)).body))
    const walk = new Walk(client, turn)
    const { modules, memoryBytes } = await memoryOf(system, walk)
    const { disks, controllers } = await storageOf(system, walk)
    return {
      system: {
        vendor: lineOf(system.Manufacturer),
        product: lineOf(system.Model),
        sku: lineOf(system.SKU),
        serial: lineOf(system.SerialNumber),
        uuid: uuidOf(system),
        firmwareVersion: lineOf(system.BiosVersion),
      },
      bmc: await controllerOf(system, walk),
      poweredOn: system.PowerState === null ? false : powerOf(system) === 'on',
      health: healthOf(system),
      bootMode: overrideMode(system),
      cpu: await processorsOf(system, walk),
      memoryBytes,
      modules,
      disks,
      controllers,
      nics: await nicsOf(system, walk),
      unread: walk.unread,
    }
  },
})

async function controllerOf(system: Dict, walk: Walk): Promise<FoundHardware['bmc']> {
  const links = dict(system.Links)
  const list = Array.isArray(links.ManagedBy) ? links.ManagedBy : []
  const manager = (await walk.follow(list[0])) ?? {}
  return { model: lineOf(manager.Model), firmwareVersion: lineOf(manager.FirmwareVersion) }
}

/** Names of the schema (Processor, InstructionSet and ProcessorArchitecture) -> those of Linux. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  'x86-64': 'x86_64',
  x86: 'x86_64',
  'ARM-A64': 'aarch64',
  ARM: 'aarch64',
  'Power ISA': 'ppc64le',
  Power: 'ppc64le',
}

async function processorsOf(system: Dict, walk: Walk): Promise<FoundHardware['cpu']> {
  const all = await walk.members(system.Processors)
  const cpus = all.filter(({ ProcessorType: type }) => type === undefined || type === null || type === 'CPU')
  const summary = dict(system.ProcessorSummary)
  const threads = cpus.map(({ TotalThreads, TotalCores }) => countOf(TotalThreads) ?? countOf(TotalCores))
  const counted = threads.every((count) => count !== null) ? threads.reduce<number>((sum, n) => sum + (n ?? 0), 0) : 0
  const [first] = cpus
  return {
    count: counted > 0 ? counted : (countOf(summary.LogicalProcessorCount) ?? countOf(summary.CoreCount)),
    sockets: cpus.length > 0 ? cpus.length : (countOf(summary.Count) ?? 0),
    model: lineOf(first?.Model) ?? lineOf(summary.Model),
    architecture:
      ARCHITECTURES[String(first?.InstructionSet)] ?? ARCHITECTURES[String(first?.ProcessorArchitecture)] ?? null,
    frequencyMhz: countOf(first?.OperatingSpeedMHz) ?? countOf(first?.MaxSpeedMHz),
  }
}

async function memoryOf(system: Dict, walk: Walk): Promise<{ modules: FoundModule[]; memoryBytes: number | null }> {
  // CapacityMiB: VolatileSizeMiB is wrong for plain modules on some BMCs.
  const modules = (await walk.members(system.Memory)).flatMap((body) => {
    const sizeMib = countOf(body.CapacityMiB)
    if (!sizeMib) return []
    return {
      slot: lineOf(body.DeviceLocator) ?? lineOf(body.Name) ?? '',
      sizeBytes: sizeMib * MIB,
      vendor: lineOf(body.Manufacturer),
      partNumber: lineOf(body.PartNumber),
      serial: lineOf(body.SerialNumber),
      health: healthOf(body),
    }
  })
  const summedBytes = modules.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const totalGib = countOf(dict(system.MemorySummary).TotalSystemMemoryGiB)
  const memoryBytes = totalGib ? Math.round(totalGib * GIB) : summedBytes > 0 ? summedBytes : null
  return { modules, memoryBytes }
}

async function storageOf(system: Dict, walk: Walk): Promise<{ disks: FoundDisk[]; controllers: FoundController[] }> {
  const disks: FoundDisk[] = []
  const controllers: FoundController[] = []
  for (const storage of await walk.members(system.Storage)) {
    const embedded = Array.isArray(storage.StorageControllers) ? storage.StorageControllers.filter(isDict) : []
    const linked = await walk.members(storage.Controllers)
    const shown = linked.length > 0 ? linked : embedded.slice(0, 16)
    controllers.push(...shown.map((body) => controller(body, storage)))
    disks.push(...(await walk.all(storage.Drives)).flatMap(drive))
  }
  if (disks.length > 0) return { disks, controllers }

  for (const storage of await walk.members(system.SimpleStorage)) {
    const devices = Array.isArray(storage.Devices) ? storage.Devices.filter(isDict) : []
    disks.push(...devices.slice(0, 128).flatMap(drive))
  }
  return { disks, controllers }
}

const controller = (body: Dict, storage: Dict): FoundController => ({
  name: lineOf(body.Name) ?? lineOf(storage.Name) ?? lineOf(storage.Id) ?? '',
  model: lineOf(body.Model),
  vendor: lineOf(body.Manufacturer),
  firmwareVersion: lineOf(body.FirmwareVersion),
  health: healthOf(body),
})

/** A drive, or a device of SimpleStorage. */
function drive(body: Dict): FoundDisk[] {
  const sizeBytes = countOf(body.CapacityBytes)
  if (!sizeBytes || stateOf(body) === 'Absent') return []
  const identifiers = Array.isArray(body.Identifiers) ? body.Identifiers.filter(isDict) : []
  const wwn = identifiers.find(({ DurableNameFormat: form }) => form === 'NAA' || form === 'EUI')?.DurableName
  const media = body.MediaType
  return [
    {
      name: lineOf(body.Name) ?? lineOf(body.Id) ?? '',
      sizeBytes,
      rotational: media === 'HDD' ? true : media === 'SSD' ? false : null,
      model: lineOf(body.Model),
      vendor: lineOf(body.Manufacturer),
      serial: lineOf(body.SerialNumber),
      wwn: lineOf(wwn)?.toLowerCase() ?? null,
      transport: lineOf(body.Protocol, 32)?.toLowerCase() ?? null,
      health: healthOf(body),
    },
  ]
}

/** The interfaces of the system; where the BMC lists none, the functions of its network adapters. */
async function nicsOf(system: Dict, walk: Walk): Promise<FoundNic[]> {
  const interfaces = (await walk.members(system.EthernetInterfaces)).flatMap(nic)
  return unique(interfaces.length > 0 ? interfaces : await adapterNics(system, walk))
}

async function adapterNics(system: Dict, walk: Walk): Promise<FoundNic[]> {
  const links = dict(system.Links)
  const chassis = await walk.follow(Array.isArray(links.Chassis) ? links.Chassis[0] : undefined)
  const nics: FoundNic[] = []
  for (const adapter of await walk.members(chassis?.NetworkAdapters))
    // Ids of ports collide between cards; the functions carry the MAC.
    for (const body of await walk.members(adapter.NetworkDeviceFunctions)) {
      const { MACAddress, PermanentMACAddress } = dict(body.Ethernet)
      nics.push(...nic({ ...body, MACAddress, PermanentMACAddress }))
    }
  return nics
}

/** Nothing for an interface that is switched off, or whose address is none of a card (InfiniBand, partitions). */
function nic(body: Dict): FoundNic[] {
  if (body.InterfaceEnabled === false || stateOf(body) === 'Disabled') return []
  const mac = [body.MACAddress, body.PermanentMACAddress].map(macOf).find((one) => one !== null)
  if (!mac) return []
  const speed = countOf(body.SpeedMbps)
  const name = lineOf(body.Id, 64) ?? lineOf(body.Name, 64) ?? mac
  return [{ name, mac, speedMbps: speed === 0 ? null : speed, linkUp: body.LinkStatus === 'LinkUp' }]
}

/** In lower case with colons; null for what is no unicast address. */
export function macOf(value: unknown): string | null {
  const digits = typeof value === 'string' ? value.toLowerCase().replaceAll(/[:.-]/g, '') : ''
  if (!/^[0-9a-f]{12}$/.test(digits) || /^0+$/.test(digits)) return null
  const isMulticast = (Number.parseInt(digits.slice(0, 2), 16) & 1) === 1
  return isMulticast ? null : (digits.match(/../g) ?? []).join(':')
}

/** One of each address, and one of each name. */
function unique(nics: readonly FoundNic[]): FoundNic[] {
  const byMac = new Map(nics.map((one) => [one.mac, one]))
  const names = new Set<string>()
  return [...byMac.values()].map((one) => {
    const name = names.has(one.name) ? one.mac : one.name
    names.add(name)
    return { ...one, name }
  })
}
