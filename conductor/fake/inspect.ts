/** What inspection finds in fake hardware: an inventory as a ramdisk would report it, with the cards that are its
 *  ports. */
import { createHash } from 'node:crypto'
import { hookData } from '../agents/hooks.ts'
import { ironicInventory } from '../agents/inspection.ts'
import type { Disk, Inventory } from '../api/agent-wire.ts'
import { hostNameOf, type NodeRecord } from '../node/record.ts'

const MIB = 1024 * 1024
const MIB_PER_GIB = 1024
const GB = 1_000_000_000
export const FOUND = { cpus: 16, cpu_arch: 'x86_64', memory_mb: 64 * MIB_PER_GIB, local_gb: 446 }

/** Ironic's form: inventory and plugin_data. */
export function fakeInventory(
  node: Pick<NodeRecord, 'uuid' | 'name'>,
  macs: readonly string[],
): { inventory: object; plugin_data: object } {
  const found = hardwareOf(node.uuid, macs)
  const { inventory, plugin_data: plugin } = ironicInventory(found, {
    hostName: hostNameOf(node),
    root: found.disks[0],
  })
  return { inventory, plugin_data: hookData(inventory, plugin).pluginData }
}

function hardwareOf(uuid: string, macs: readonly string[]): Inventory {
  const serial = createHash('sha256').update(uuid).digest('hex').slice(0, 12).toUpperCase()
  const disk = (n: number): Disk => ({
    name: `/dev/sd${String.fromCharCode(97 + n)}`,
    model: 'fake disk',
    sizeBytes: 480 * GB,
    rotational: false,
    wwn: `0x5${serial.toLowerCase()}00${n}`,
    serial: `${serial}${n}`,
    vendor: 'Rackward',
    hctl: `${n}:0:0:0`,
    byPath: `/dev/disk/by-path/pci-0000:00:1f.2-ata-${n + 1}`,
    transport: 'sata',
    logicalSectorBytes: 512,
    physicalSectorBytes: 4096,
    readOnly: false,
  })
  return {
    cpu: {
      count: FOUND.cpus,
      sockets: 1,
      model: 'fake CPU',
      architecture: FOUND.cpu_arch,
      frequencyMhz: 2600,
      flags: [],
    },
    memoryBytes: FOUND.memory_mb * MIB,
    physicalMemoryMb: FOUND.memory_mb,
    disks: [disk(0), disk(1)],
    nics: macs.map((mac, n) => ({
      name: `eth${n}`,
      mac,
      hasCarrier: true,
      speedMbps: 10_000,
      driver: 'fake',
      vendor: '0x1af4',
      product: '0x1000',
      pciAddress: `0000:01:00.${n % 8}`,
      ipv4: null,
      ipv6: null,
    })),
    bootMode: 'uefi',
    bootMac: macs[0] ?? null,
    system: {
      vendor: 'Rackward',
      product: 'fake server',
      serial,
      uuid,
      firmwareVersion: '1.0.0',
      firmwareVendor: 'Rackward',
      firmwareDate: '01/01/2026',
    },
    bmcAddress: '0.0.0.0',
  }
}
