/** An agent's inventory -> what the node record, its ports and Ironic's inventory document say. Pure. */
import type { Disk, Inventory, Nic, Numa } from '../api/agent-wire.ts'
import type { Inspected } from '../api/inspected.ts'
import type { NodeRecord } from '../node/record.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2

/** `properties` gains what was measured; what the operator set beside it stays. */
export function inspectedProperties(
  node: Pick<NodeRecord, 'properties'>,
  inventory: Inventory,
  root: Disk | undefined,
): Record<string, unknown> {
  const arch = inventory.cpu.architecture
  return {
    ...node.properties,
    cpus: inventory.cpu.count,
    cpu_arch: arch,
    memory_mb: inventory.physicalMemoryMb ?? Math.floor(inventory.memoryBytes / MIB),
    // Ironic leaves one GiB for the partition table and the config drive.
    ...(root ? { local_gb: Math.max(0, Math.floor(root.sizeBytes / GIB) - 1) } : {}),
    capabilities: withCapability(node.properties.capabilities, 'boot_mode', inventory.bootMode),
    vendor: inventory.system.vendor ?? node.properties.vendor ?? null,
    ...(inventory.system.product ? { model: inventory.system.product } : {}),
  }
}

/** The same from an inventory in Ironic's form. */
export function reportedProperties(
  node: Pick<NodeRecord, 'properties'>,
  inventory: Inspected['inventory'],
): Record<string, unknown> {
  const { cpu, memory, boot, system_vendor: system } = inventory
  const mode = boot?.current_boot_mode
  return {
    ...node.properties,
    ...(cpu?.count === undefined ? {} : { cpus: cpu.count }),
    ...(cpu?.architecture === undefined ? {} : { cpu_arch: cpu.architecture }),
    ...(memory?.physical_mb ? { memory_mb: memory.physical_mb } : {}),
    ...(mode ? { capabilities: withCapability(node.properties.capabilities, 'boot_mode', mode) } : {}),
    ...(system?.manufacturer ? { vendor: system.manufacturer } : {}),
    ...(system?.product_name ? { model: system.product_name } : {}),
  }
}

export function withCapability(capabilities: unknown, name: string, value: string): string {
  const others =
    typeof capabilities === 'string'
      ? capabilities.split(',').filter((pair) => pair !== '' && !pair.startsWith(`${name}:`))
      : []
  return [...others, `${name}:${value}`].join(',')
}

/** Ironic's wire form of an inventory (GET /v1/nodes/{id}/inventory), with the types of its agent: sizes are bytes, and
 *  a text that is not known is empty.
 *  `hostName`: what DHCP tells the ramdisk. */
export function ironicInventory(
  inventory: Inventory,
  about: { hostName: string | null; root: Disk | undefined },
): { inventory: IronicInventory; plugin_data: Record<string, unknown> } {
  const { system, numa } = inventory
  return {
    inventory: {
      interfaces: inventory.nics.map(ironicInterface),
      cpu: {
        count: inventory.cpu.count,
        model_name: inventory.cpu.model ?? '',
        architecture: inventory.cpu.architecture,
        frequency: inventory.cpu.frequencyMhz === null ? '' : String(inventory.cpu.frequencyMhz),
        flags: inventory.cpu.flags,
        socket_count: inventory.cpu.sockets ?? 0,
      },
      memory: { total: inventory.memoryBytes, physical_mb: inventory.physicalMemoryMb },
      disks: inventory.disks.map(ironicDisk),
      bmc_address: inventory.bmcAddress,
      bmc_v6address: inventory.bmcV6Address ?? null,
      ...(inventory.bmcMac ? { bmc_mac: inventory.bmcMac } : {}),
      system_vendor: {
        manufacturer: system.vendor ?? '',
        product_name: system.product ?? '',
        serial_number: system.serial ?? '',
        firmware: {
          vendor: system.firmwareVendor ?? '',
          version: system.firmwareVersion ?? '',
          build_date: system.firmwareDate ?? '',
        },
      },
      boot: { current_boot_mode: inventory.bootMode, pxe_interface: inventory.bootMac },
      hostname: about.hostName ?? '',
    },
    plugin_data: {
      system_uuid: system.uuid,
      boot_interface: inventory.bootMac,
      ...(about.root ? { root_disk: ironicDisk(about.root) } : {}),
      ...(numa ? { numa_topology: numaTopology(numa) } : {}),
    },
  }
}

export interface IronicInventory {
  readonly interfaces: readonly Readonly<Record<string, unknown>>[]
  readonly boot: { readonly current_boot_mode: string; readonly pxe_interface: string | null }
  readonly [name: string]: unknown
}

export const ironicInterface = (nic: Nic) => ({
  name: nic.name,
  mac_address: nic.mac,
  ipv4_address: nic.ipv4,
  ipv6_address: nic.ipv6 ?? null,
  has_carrier: nic.hasCarrier,
  lldp: nic.lldp ?? null,
  vendor: nic.vendor,
  product: nic.product,
  client_id: null,
  biosdevname: null,
  speed_mbps: nic.speedMbps,
  pci_address: nic.pciAddress,
  driver: nic.driver,
})

export const ironicDisk = (disk: Disk) => ({
  name: disk.name,
  model: disk.model,
  size: disk.sizeBytes,
  rotational: disk.rotational,
  wwn: disk.wwn,
  serial: disk.serial,
  vendor: disk.vendor,
  ...wwnParts(disk.wwn),
  hctl: disk.hctl,
  by_path: disk.byPath,
  logical_sectors: disk.logicalSectorBytes,
  physical_sectors: disk.physicalSectorBytes ?? disk.logicalSectorBytes,
  tran: disk.transport,
})

/** A name of type NAA 6 has 32 digits, of which udev calls the second half the vendor's extension. */
function wwnParts(wwn: string | null) {
  const extension = wwn === null ? undefined : /^0x6[0-9a-f]{15}([0-9a-f]{16})$/.exec(wwn)?.[1]
  return { wwn_with_extension: wwn, wwn_vendor_extension: extension === undefined ? null : `0x${extension}` }
}

const numaTopology = ({ ram, cpus, nics }: Numa) => ({
  ram: ram.map(({ node, sizeKb }) => ({ numa_node: node, size_kb: sizeKb })),
  cpus: cpus.map(({ core, node, threads }) => ({ cpu: core, numa_node: node, thread_siblings: threads })),
  nics: nics.map(({ name, node }) => ({ name, numa_node: node })),
})
