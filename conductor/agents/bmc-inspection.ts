/** What a BMC knows of its server -> what the node record, its ports and Ironic's inventory document say. Pure. */
import type { FoundDisk, FoundHardware, FoundNic } from '../bmc/parts/inventory.ts'
import { hostNameOf, type NodeRecord } from '../node/record.ts'
import { ironicDisk, ironicInterface, withCapability } from './inspection.ts'
import type { InspectedHardware } from './results.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
/** Smaller ones are no disks for an image: SD cards, virtual sticks (Ironic). */
const MIN_DISK_BYTES = 4 * GIB

/** `bootable`: the node has a port already that may boot from the network; cards that are found now then may not. */
export function inspectedByBmc(
  node: Pick<NodeRecord, 'name' | 'properties'>,
  found: FoundHardware,
  { bootable, bmcAddress }: { readonly bootable: boolean; readonly bmcAddress: string | null },
): InspectedHardware {
  const { system, bmc, health, bootMode, unread, poweredOn } = found
  const inventory = {
    ...hardwareOf(found),
    bmc_address: bmcAddress,
    system_vendor: {
      manufacturer: system.vendor ?? '',
      product_name: system.product ?? '',
      serial_number: system.serial ?? '',
      ...(system.sku ? { sku: system.sku } : {}),
      firmware: { vendor: '', version: system.firmwareVersion ?? '', build_date: '' },
    },
    // A BMC does not say which card the firmware boots from.
    boot: { current_boot_mode: bootMode, pxe_interface: null },
    hostname: hostNameOf(node) ?? '',
  }
  return {
    macs: found.nics.map(({ mac }) => mac),
    pxeEnabled: !bootable,
    properties: propertiesOf(node, found),
    document: {
      inventory,
      plugin_data: {
        system_uuid: system.uuid,
        bmc: { model: bmc.model, firmware_version: bmc.firmwareVersion },
        health,
        powered_on: poweredOn,
        unread_resources: unread,
      },
    },
  }
}

const hardwareOf = ({ nics, cpu, memoryBytes, modules, disks, controllers }: FoundHardware) => ({
  interfaces: nics.map((one) => ironicInterface(nicOf(one))),
  cpu: {
    count: cpu.count,
    model_name: cpu.model ?? '',
    architecture: cpu.architecture ?? '',
    frequency: cpu.frequencyMhz === null ? '' : String(cpu.frequencyMhz),
    flags: [],
    socket_count: cpu.sockets,
  },
  memory: {
    total: memoryBytes,
    physical_mb: memoryBytes === null ? null : Math.floor(memoryBytes / MIB),
    modules: modules.map((one) => ({
      slot: one.slot,
      size_mb: Math.floor(one.sizeBytes / MIB),
      vendor: one.vendor,
      part_number: one.partNumber,
      serial: one.serial,
      health: one.health,
    })),
  },
  disks: disks.map((one) => ({
    ...ironicDisk(diskOf(one)),
    rotational: one.rotational,
    logical_sectors: null,
    physical_sectors: null,
    health: one.health,
  })),
  storage_controllers: controllers.map((one) => ({
    name: one.name,
    model: one.model,
    vendor: one.vendor,
    firmware_version: one.firmwareVersion,
    health: one.health,
  })),
})

function propertiesOf(node: Pick<NodeRecord, 'properties'>, found: FoundHardware): Record<string, unknown> {
  const { cpu, memoryBytes, bootMode, system } = found
  const sizes = found.disks.map(({ sizeBytes }) => sizeBytes).filter((bytes) => bytes >= MIN_DISK_BYTES)
  return {
    ...node.properties,
    ...(cpu.count === null ? {} : { cpus: cpu.count }),
    ...(cpu.architecture === null ? {} : { cpu_arch: cpu.architecture }),
    ...(memoryBytes === null ? {} : { memory_mb: Math.floor(memoryBytes / MIB) }),
    // Ironic leaves one GiB for the partition table and the config drive.
    ...(sizes.length > 0 ? { local_gb: Math.floor(Math.min(...sizes) / GIB) - 1 } : {}),
    ...(bootMode ? { capabilities: withCapability(node.properties.capabilities, 'boot_mode', bootMode) } : {}),
    ...(system.vendor ? { vendor: system.vendor } : {}),
    ...(system.product ? { model: system.product } : {}),
  }
}

const nicOf = ({ name, mac, linkUp, speedMbps }: FoundNic) => ({
  name,
  mac,
  hasCarrier: linkUp,
  speedMbps,
  driver: null,
  vendor: null,
  product: null,
  pciAddress: null,
  ipv4: null,
})

const diskOf = ({ name, sizeBytes, rotational, model, vendor, serial, wwn, transport }: FoundDisk) => ({
  name,
  sizeBytes,
  rotational: rotational ?? false,
  model,
  vendor,
  serial,
  wwn,
  transport,
  hctl: null,
  byPath: null,
  logicalSectorBytes: 0,
  readOnly: false,
})
