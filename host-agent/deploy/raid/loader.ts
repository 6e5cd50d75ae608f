/** Makes every disk of a root volume start the machine alone: the image's loader for BIOS goes into the BIOS boot
 *  partition of each, its EFI system partition into the array of the disks' own ones, where it stays alike on all of
 *  them, and UEFI gets a boot entry for each disk. */
import { ESP_TYPE, makeUefiEntries, type EspPlace } from '../uefi.ts'
import { DiskFile } from '../disk.ts'
import { Fault } from '../../../kit/fault.ts'
import { runOk } from '../../../kit/run.ts'
import { readPartitions, readText } from '../sysfs.ts'
import { BOOT_CODE_BYTES, findCore, moveCore } from './grub.ts'
import type { Mdadm } from './mdadm.ts'
import { BIOS_PARTITION, ESP_PARTITION } from './plan.ts'
import { startEsp, type RunningVolume } from './volumes.ts'

const TIMEOUT_MS = 60_000
const SECTOR_BYTES = 512
const CHUNK_BYTES = 4 * 1024 * 1024
/** A FAT begins with its boot sector and, in the sectors after it, a copy. */
const HEAD_BYTES = 64 * 1024

interface BootDisk {
  readonly name: string
  readonly biosAt: number
  readonly biosBytes: number
}

/** The disks of a volume, as its members say. Throws `deploy.firmware` for a volume that was not made to be the
 *  root. */
async function bootDisksOf({ facts }: RunningVolume): Promise<BootDisk[]> {
  const disks: BootDisk[] = []
  for (const member of facts.members) {
    const name = await diskOf(member)
    const bios = (await readPartitions(name)).get(BIOS_PARTITION)
    if (facts.level !== 'raid1' || !bios)
      throw new Fault(
        'deploy.firmware',
        `no machine can start from the volume ${facts.name}: it is ${facts.level}; make a volume of RAID 1 with is_root_volume`,
      )
    disks.push({ name, biosAt: bios.startBytes, biosBytes: bios.sizeBytes })
  }
  return disks
}

/** `/dev/nvme0n1p3` -> `/dev/nvme0n1`, as the tree of devices has it. */
async function diskOf(partition: string, sys = '/sys'): Promise<string> {
  const name = partition.slice('/dev/'.length)
  const disks = /^(.*\d)p\d+$/.exec(name)?.[1] ?? name.replace(/\d+$/, '')
  if ((await readText(`${sys}/block/${disks}/${name}/partition`)) === null)
    throw new Fault('raid.failed', `${partition} is a partition of no disk`)
  return `/dev/${disks}`
}

/** Nothing boots from a volume that is about to be written, nor from one whose deploy failed. */
export async function clearLoaders(volume: RunningVolume, mdadm: Mdadm): Promise<void> {
  for (const { name } of await bootDisksOf(volume)) await writeAt(name, Buffer.alloc(BOOT_CODE_BYTES), 0)
  await writeAt(await startEsp(mdadm, volume), Buffer.alloc(HEAD_BYTES), 0)
}

/** Throws `deploy.firmware` when the image has no loader for the firmware that the machine started with. */
export async function installLoaders(
  volume: RunningVolume,
  { mdadm, bootMode, efiLoader }: { mdadm: Mdadm; bootMode: 'uefi' | 'bios'; efiLoader: string | undefined },
): Promise<void> {
  const disks = await bootDisksOf(volume)
  const hasBios = await copyBiosLoader(volume.disk.name, disks)
  if (bootMode === 'bios') {
    if (!hasBios)
      throw new Fault(
        'deploy.firmware',
        'the image has no GRUB for BIOS, which alone can be put on the disks of a volume',
      )
    return
  }
  await moveEsp(volume, await startEsp(mdadm, volume))
  const places: EspPlace[] = disks.map(({ name }) => ({ disk: name, partition: String(ESP_PARTITION) }))
  await makeUefiEntries(places, efiLoader)
}

/** Answers whether the image has a GRUB for BIOS. */
async function copyBiosLoader(image: string, disks: readonly BootDisk[]): Promise<boolean> {
  const mbr = await readAt(image, 0, SECTOR_BYTES)
  const found = await findCore(mbr, (sector) => readAt(image, sector * SECTOR_BYTES, SECTOR_BYTES))
  if (!found) return false
  const core = await readAt(image, found.at * SECTOR_BYTES, found.sectors * SECTOR_BYTES)
  for (const { name, biosAt, biosBytes } of disks) {
    if (core.length > biosBytes)
      throw new Fault(
        'deploy.firmware',
        `the boot loader of the image has ${core.length} bytes, more than ${biosBytes}`,
      )
    const moved = moveCore({ mbr, core }, found.at, biosAt / SECTOR_BYTES)
    await writeAt(name, moved.core, biosAt)
    await writeAt(name, moved.bootCode, 0)
  }
  return true
}

/** The image's EFI system partition moves: two file systems of one UUID would leave it to chance which of them the
 *  system mounts. */
async function moveEsp(volume: RunningVolume, target: string): Promise<void> {
  const image = volume.disk.name
  const dump = await runOk(['sfdisk', '--json', image], { timeoutMs: TIMEOUT_MS })
  const { partitions } = (JSON.parse(dump) as { partitiontable: { partitions: { node: string; type: string }[] } })
    .partitiontable
  const esp = partitions.find(({ type }) => ESP_TYPE.has(type.toLowerCase()))
  const place = (await readPartitions(image)).get(Number(/(\d+)$/.exec(esp?.node ?? '')?.[1]))
  if (!place) throw new Fault('deploy.firmware', 'the image has no EFI system partition, and the machine boots by UEFI')
  for (let at = 0; at < place.sizeBytes; at += CHUNK_BYTES)
    await writeAt(target, await readAt(image, place.startBytes + at, Math.min(CHUNK_BYTES, place.sizeBytes - at)), at)
  await writeAt(image, Buffer.alloc(HEAD_BYTES), place.startBytes)
}

async function readAt(path: string, at: number, lengthBytes: number): Promise<Buffer> {
  const file = await DiskFile.open(path)
  try {
    const bytes = Buffer.alloc(lengthBytes)
    await file.read(bytes, at)
    return bytes
  } finally {
    await file.close()
  }
}

/** Written, flushed and read back. */
async function writeAt(path: string, bytes: Buffer, at: number): Promise<void> {
  const file = await DiskFile.open(path)
  try {
    await file.write(bytes, at)
    await file.flush()
    const back = Buffer.alloc(bytes.length)
    await file.read(back, at)
    if (!back.equals(bytes))
      throw new Fault('deploy.readback', `${path} does not hold the boot loader as it was written`)
  } finally {
    await file.close()
  }
}
