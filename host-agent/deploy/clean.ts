/** Erases the metadata of disks: file-system, RAID and partition signatures at both ends of the disk and of each of its partitions;
 *  then reads the same places back. */
import type { Disk } from '../../conductor/api/agent-wire.ts'
import { asFault, Fault } from '../../kit/fault.ts'
import { run } from '../../kit/run.ts'
import { DiskFile } from './disk.ts'
import { matches } from './hints.ts'
import { readPartitions } from './sysfs.ts'

const MIB = 1024 * 1024
/** GPT needs 17 KiB at each end, md 0.9 and 1.0 the last 128 KiB, ZFS 512 KiB at each end, LVM and LUKS up to 4 MiB at the front. */
const END_BYTES = 4 * MIB
/** btrfs keeps copies of its superblock at 64 MiB and 256 GiB. */
const BTRFS_COPIES = [64 * MIB, 256 * 1024 * MIB]
const BTRFS_BYTES = 64 * 1024
const TIMEOUT_MS = 30_000
const SLICE_BYTES = 8 * MIB

export interface Range {
  readonly at: number
  readonly lengthBytes: number
}

type Skip = readonly Record<string, unknown>[]

/** The disks to erase: all but those that `skip` matches. Throws `clean.failed` for one that cannot be written. */
function chosenOf(disks: readonly Disk[], skip: Skip): readonly Disk[] {
  const chosen = disks.filter((disk) => !skip.some((hints) => matches(disk, hints)))
  const fixed = chosen.find((disk) => disk.readOnly)
  if (fixed)
    throw new Fault(
      'clean.failed',
      `${fixed.name} (serial ${fixed.serial ?? 'unknown'}) is read-only; name it in properties/skip_block_devices to leave it as it is`,
    )
  return chosen
}

/** Erases the metadata of every disk but those that `skip` matches. Throws `clean.failed` with the disk. */
export async function eraseMetadata(disks: readonly Disk[], skip: Skip, opts: { onDisk: (done: number, total: number) => void }): Promise<void> {
  const chosen = chosenOf(disks, skip)
  for (const [done, disk] of chosen.entries()) {
    opts.onDisk(done, chosen.length)
    await eraseDisk(disk)
  }
  opts.onDisk(chosen.length, chosen.length)
}

/** Zeroes every byte of every disk, one slice after the other, and reads each slice back. Throws `clean.failed` with the disk and the place. */
export async function eraseWhole(disks: readonly Disk[], skip: Skip, opts: { onDisk: (doneBytes: number, totalBytes: number) => void }): Promise<void> {
  const chosen = chosenOf(disks, skip)
  const totalBytes = chosen.reduce((sum, disk) => sum + disk.sizeBytes, 0)
  let doneBytes = 0
  for (const disk of chosen) {
    const file = await DiskFile.open(disk.name).catch((error: Error) => {
      throw new Fault('clean.failed', error.message, { cause: error })
    })
    try {
      const [zeros, back] = [Buffer.alloc(SLICE_BYTES), Buffer.alloc(SLICE_BYTES)]
      for (let at = 0; at < disk.sizeBytes; at += SLICE_BYTES) {
        const length = Math.min(SLICE_BYTES, disk.sizeBytes - at)
        await file.write(zeros.subarray(0, length), at)
        doneBytes += length / 2
        opts.onDisk(Math.floor(doneBytes), totalBytes)
      }
      await file.flush()
      for (let at = 0; at < disk.sizeBytes; at += SLICE_BYTES) {
        const slice = back.fill(0xff).subarray(0, Math.min(SLICE_BYTES, disk.sizeBytes - at))
        await file.read(slice, at)
        if (!slice.equals(zeros.subarray(0, slice.length)))
          throw new Fault('clean.failed', `${disk.name} (serial ${disk.serial ?? 'unknown'}) still holds data after byte ${at} after it was zeroed`)
        doneBytes += slice.length / 2
        opts.onDisk(Math.floor(doneBytes), totalBytes)
      }
    } catch (error) {
      throw asFault(error, 'clean.failed')
    } finally {
      await file.close()
    }
    await run(['blockdev', '--rereadpt', disk.name], { timeoutMs: TIMEOUT_MS })
  }
}

async function eraseDisk(disk: Disk): Promise<void> {
  // Partitions first: a table that is written again later must not bring their file systems back.
  const partitions = [...(await readPartitions(disk.name)).values()].map(({ startBytes, sizeBytes }) => ({ at: startBytes, lengthBytes: sizeBytes }))
  const ranges = rangesOf(disk.sizeBytes, partitions)
  const file = await DiskFile.open(disk.name).catch((error: Error) => {
    throw new Fault('clean.failed', error.message, { cause: error })
  })
  try {
    for (const range of ranges) await file.write(Buffer.alloc(range.lengthBytes), range.at)
    await file.flush()
    for (const range of ranges) {
      const back = Buffer.alloc(range.lengthBytes, 0xff)
      await file.read(back, range.at)
      if (back.some((byte) => byte !== 0))
        throw new Fault('clean.failed', `${disk.name} (serial ${disk.serial ?? 'unknown'}) still holds data at byte ${range.at} after it was erased`)
    }
  } catch (error) {
    throw error instanceof Fault && error.code === 'clean.failed'
      ? error
      : new Fault('clean.failed', `${disk.name}: ${(error as Error).message}`, { cause: error })
  } finally {
    await file.close()
  }
  await run(['blockdev', '--rereadpt', disk.name], { timeoutMs: TIMEOUT_MS })
}

/** What is erased of a disk and its partitions; inside the disk, none twice. */
export function rangesOf(diskBytes: number, partitions: readonly Range[]): Range[] {
  const ends = [{ at: 0, lengthBytes: diskBytes }, ...partitions].flatMap(({ at, lengthBytes }) => {
    const size = Math.min(END_BYTES, lengthBytes)
    const copies = BTRFS_COPIES.filter((copy) => copy + BTRFS_BYTES <= lengthBytes).map((copy) => ({ at: at + copy, lengthBytes: BTRFS_BYTES }))
    return [{ at, lengthBytes: size }, { at: at + lengthBytes - size, lengthBytes: size }, ...copies]
  })
  const inside = ends.filter(({ at, lengthBytes }) => lengthBytes > 0 && at >= 0 && at + lengthBytes <= diskBytes)
  const seen = new Set<string>()
  return inside.filter(({ at, lengthBytes }) => !seen.has(`${at}+${lengthBytes}`) && seen.add(`${at}+${lengthBytes}`))
}
