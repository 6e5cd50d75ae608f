/** An agent's inventory -> what the node record, its ports and Ironic's inventory document say. Pure. */
import type { Disk, Inventory } from '../api/agent-wire.ts'
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

/** Ironic's wire form of an inventory (GET /v1/nodes/{id}/inventory). Sizes are bytes. */
export function ironicInventory(inventory: Inventory): { inventory: object; plugin_data: object } {
  return {
    inventory: {
      interfaces: inventory.nics.map((nic) => ({
        name: nic.name,
        mac_address: nic.mac,
        ipv4_address: nic.ipv4,
        has_carrier: nic.hasCarrier,
        speed_mbps: nic.speedMbps,
        vendor: nic.vendor,
        product: nic.product,
        pci_address: nic.pciAddress,
      })),
      cpu: {
        count: inventory.cpu.count,
        model_name: inventory.cpu.model,
        architecture: inventory.cpu.architecture,
        frequency: inventory.cpu.frequencyMhz === null ? null : String(inventory.cpu.frequencyMhz),
        flags: inventory.cpu.flags,
      },
      memory: { total: inventory.memoryBytes, physical_mb: inventory.physicalMemoryMb },
      disks: inventory.disks.map((disk) => ({
        name: disk.name,
        size: disk.sizeBytes,
        rotational: disk.rotational,
        model: disk.model,
        vendor: disk.vendor,
        serial: disk.serial,
        wwn: disk.wwn,
        hctl: disk.hctl,
        by_path: disk.byPath,
        tran: disk.transport,
        logical_sectors: disk.logicalSectorBytes,
      })),
      bmc_address: inventory.bmcAddress,
      system_vendor: {
        manufacturer: inventory.system.vendor,
        product_name: inventory.system.product,
        serial_number: inventory.system.serial,
        firmware: { version: inventory.system.firmwareVersion },
      },
      boot: { current_boot_mode: inventory.bootMode, pxe_interface: inventory.bootMac },
      hostname: null,
    },
    plugin_data: { system_uuid: inventory.system.uuid },
  }
}
