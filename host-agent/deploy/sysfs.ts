/** The hardware as /sys and /proc show it: no child processes, and the same in the ramdisk as on a full system. */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Disk, Nic } from '../../conductor/api/agent-wire.ts'

const SECTOR_BYTES = 512
/** No disks that hold an operating system: loops, RAM disks, optical, floppy, and what is stacked on other disks. */
const NO_DISK = /^(loop|ram|zram|sr|fd|dm-|md|nbd|mtdblock)/

export async function readText(path: string): Promise<string | null> {
  try {
    const text = (await readFile(path, 'latin1')).replace(/\0/g, '').trim()
    return text === '' ? null : text
  } catch {
    // Attributes come and go with the driver; one that is not there says just that.
    return null
  }
}

/** Disks by kernel name, sorted. */
export async function readDisks(sys = '/sys'): Promise<Disk[]> {
  const names = (await readdir(join(sys, 'block'))).filter((name) => !NO_DISK.test(name)).sort()
  const disks = await Promise.all(names.map((name) => readDisk(sys, name)))
  return disks.filter((disk) => disk.sizeBytes > 0)
}

export async function readDisk(sys: string, name: string): Promise<Disk> {
  const at = join(sys, 'block', name)
  const text = (file: string) => readText(join(at, file))
  const device = basename(await readlink(join(at, 'device')).catch(() => ''))
  const isScsi = /^\d+:\d+:\d+:\d+$/.test(device)
  const wwid = (await text('device/wwid')) ?? (await text('wwid'))
  return {
    name: `/dev/${name}`,
    sizeBytes: Number((await text('size')) ?? 0) * SECTOR_BYTES,
    rotational: (await text('queue/rotational')) === '1',
    model: await text('device/model'),
    vendor: isScsi ? await text('device/vendor') : null,
    // virtio keeps it at the disk, NVMe at the controller, SCSI in vital product data page 0x80 (SPC-4 7.8.15: four
    // bytes of header).
    serial: (await text('serial')) ?? (await text('device/serial')) ?? (await vpdSerial(join(at, 'device/vpd_pg80'))),
    wwn: wwnOf(wwid),
    hctl: isScsi ? device : null,
    byPath: pathOf(await realpath(at).catch(() => ''), (await text('nsid')) ?? '1'),
    transport: name.startsWith('nvme') ? 'nvme' : name.startsWith('vd') ? 'virtio' : isScsi ? 'scsi' : null,
    logicalSectorBytes: Number((await text('queue/logical_block_size')) ?? SECTOR_BYTES),
    physicalSectorBytes: Number((await text('queue/physical_block_size')) ?? SECTOR_BYTES),
    readOnly: (await text('ro')) === '1',
  }
}

async function vpdSerial(path: string): Promise<string | null> {
  const page = await readFile(path).catch(() => undefined)
  const serial = page?.subarray(4).toString('latin1').replace(/\0/g, '').trim()
  return serial || null
}

/** Where udev would put a link to the disk (its path_id), of the place of the disk in the tree of devices; null for
 *  what hangs on other buses. */
export function pathOf(device: string, nsid: string): string | null {
  const pci = [...device.matchAll(/\/([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])(?=\/)/g)].at(-1)?.[1]
  if (pci === undefined) return null
  const at = `/dev/disk/by-path/pci-${pci}`
  if (/\/virtio\d+\/block\//.test(device)) return at
  if (/\/nvme\/nvme\d+\/nvme\d+n\d+$/.test(device)) return `${at}-nvme-${nsid}`
  const ata = /\/ata(\d+)\/host\d+\//.exec(device)?.[1]
  return ata === undefined ? null : `${at}-ata-${ata}`
}

/** `naa.5000c500...` -> `0x5000c500...`, the form that root device hints use; `eui.` names of NVMe stay whole. */
export function wwnOf(wwid: string | null): string | null {
  if (wwid === null) return null
  if (wwid.startsWith('naa.')) return `0x${wwid.slice(4)}`
  return wwid.startsWith('eui.') ? wwid : null
}

/** Whether a disk can forget its blocks by itself, and whether it can zero them by itself. */
export async function readForgets(disk: string, sys = '/sys'): Promise<{ discards: boolean; zeroes: boolean }> {
  const has = async (limit: string) =>
    Number((await readText(join(sys, 'block', basename(disk), 'queue', limit))) ?? 0) > 0
  return { discards: await has('discard_max_bytes'), zeroes: await has('write_zeroes_max_bytes') }
}

/** Network cards: what has a device behind it. */
export async function readNics(sys = '/sys', proc = '/proc'): Promise<Nic[]> {
  const base = join(sys, 'class/net')
  const addresses = (await readText(join(proc, 'net/if_inet6'))) ?? ''
  const nics: Nic[] = []
  for (const name of (await readdir(base)).sort()) {
    const at = join(base, name)
    const device = await readlink(join(at, 'device')).catch(() => undefined)
    // In a bond a card has the address of the bond, and keeps its own beside it.
    const mac = (await readText(join(at, 'bonding_slave/perm_hwaddr'))) ?? (await readText(join(at, 'address')))
    if (device === undefined || mac === null || !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) continue
    const speed = Number((await readText(join(at, 'speed'))) ?? -1)
    nics.push({
      name,
      mac,
      hasCarrier: (await readText(join(at, 'carrier'))) === '1',
      speedMbps: speed > 0 ? speed : null,
      driver: basename(await readlink(join(at, 'device/driver')).catch(() => '')) || null,
      vendor: await readText(join(at, 'device/vendor')),
      product: await readText(join(at, 'device/device')),
      pciAddress: /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d$/.test(basename(device)) ? basename(device) : null,
      ipv4: null,
      ipv6: ipv6Of(addresses, name),
    })
  }
  return nics
}

/** A card's address from /proc/net/if_inet6 (32 digits, index, prefix length, scope, flags, name): one of the wider
 *  scope is preferred. */
export function ipv6Of(table: string, name: string): string | null {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/))
  const own = rows.filter((row) => row[5] === name && /^[0-9a-f]{32}$/.test(row[0] ?? ''))
  const [widest] = own.sort((a, b) => Number.parseInt(a[3] ?? '', 16) - Number.parseInt(b[3] ?? '', 16))
  if (!widest) return null
  const groups = (widest[0] as string).match(/.{4}/g) ?? []
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

export const readBootMode = async (sys = '/sys'): Promise<'uefi' | 'bios'> =>
  (await readdir(join(sys, 'firmware/efi')).catch(() => undefined)) ? 'uefi' : 'bios'

/** Partitions of a disk by number: first byte and size. */
export async function readPartitions(
  disk: string,
  sys = '/sys',
): Promise<Map<number, { device: string; startBytes: number; sizeBytes: number }>> {
  const name = basename(disk)
  const found = new Map<number, { device: string; startBytes: number; sizeBytes: number }>()
  for (const entry of await readdir(join(sys, 'block', name))) {
    const number = await readText(join(sys, 'block', name, entry, 'partition'))
    if (!entry.startsWith(name) || number === null) continue
    const sectors = async (file: string) =>
      Number((await readText(join(sys, 'block', name, entry, file))) ?? 0) * SECTOR_BYTES
    found.set(Number(number), {
      device: `/dev/${entry}`,
      startBytes: await sectors('start'),
      sizeBytes: await sectors('size'),
    })
  }
  return found
}
