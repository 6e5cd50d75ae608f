/** What inspection finds in fake hardware: an inventory as a ramdisk would report it, with the cards that are its ports. */
import { createHash } from 'node:crypto'
import type { NodeRecord } from '../node/record.ts'

const MIB_PER_GIB = 1024
const GB = 1_000_000_000
export const FOUND = { cpus: 16, cpu_arch: 'x86_64', memory_mb: 64 * MIB_PER_GIB, local_gb: 446 }

/** Ironic's form: inventory and plugin_data. */
export function fakeInventory(
  node: Pick<NodeRecord, 'uuid'>,
  macs: readonly string[],
): { inventory: object; plugin_data: object } {
  const serial = createHash('sha256').update(node.uuid).digest('hex').slice(0, 12).toUpperCase()
  const disk = (n: number) => ({
    name: `/dev/sd${String.fromCharCode(97 + n)}`,
    model: 'fake disk',
    size: 480 * GB,
    rotational: false,
    wwn: `0x5${serial.toLowerCase()}00${n}`,
    serial: `${serial}${n}`,
    vendor: 'Rackward',
    by_path: `/dev/disk/by-path/pci-0000:00:1f.2-ata-${n + 1}`,
  })
  return {
    inventory: {
      interfaces: macs.map((mac, n) => ({
        name: `eth${n}`,
        mac_address: mac,
        has_carrier: true,
        ipv4_address: null,
        product: '0x1000',
        vendor: '0x1af4',
      })),
      cpu: { model_name: 'fake CPU', frequency: '2600', count: FOUND.cpus, architecture: FOUND.cpu_arch, flags: [] },
      disks: [disk(0), disk(1)],
      memory: { total: FOUND.memory_mb * MIB_PER_GIB * 1024, physical_mb: FOUND.memory_mb },
      bmc_address: '0.0.0.0',
      system_vendor: {
        product_name: 'fake server',
        serial_number: serial,
        manufacturer: 'Rackward',
        firmware: { vendor: 'Rackward', version: '1.0.0' },
      },
      boot: { current_boot_mode: 'uefi', pxe_interface: macs[0] ?? null },
      hostname: null,
    },
    plugin_data: {
      all_interfaces: Object.fromEntries(macs.map((mac, n) => [`eth${n}`, { mac_address: mac, pxe_enabled: n === 0 }])),
      valid_interfaces: {},
    },
  }
}
