/** Erases disks: lets them forget their blocks, zeroes every byte, or zeroes the signatures of file systems, RAID and
 *  partitions; reads back what it erased, and answers how each disk was erased. */
import type { Disk, ErasedDisk } from '../../conductor/api/agent-wire.ts'
import { asFault, Fault } from '../../kit/fault.ts'
import { run } from '../../kit/run.ts'
import { DiskFile } from './disk.ts'
import { matches } from './hints.ts'
import { readForgets, readPartitions } from './sysfs.ts'

const MIB = 1024 * 1024
/** GPT needs 17 KiB at each end, md 0.9 and 1.0 the last 128 KiB, ZFS 512 KiB at each end, LVM and LUKS up to 4 MiB at
 *  the front. */
const END_BYTES = 4 * MIB
/** btrfs keeps copies of its superblock at 64 MiB and 256 GiB. */
const BTRFS_COPIES = [64 * MIB, 256 * 1024 * MIB]
const BTRFS_BYTES = 64 * 1024
const TIMEOUT_MS = 30_000
const SLICE_BYTES = 8 * MIB
/** A disk that takes longer than this to forget its blocks does not do it by itself. */
const FORGET_MS = 30 * 60_000
const SAMPLES = 64

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

type How = ErasedDisk['how']
/** `sys`: where the kernel says what a disk can do; /sys. */
type Counted = { readonly onDisk: (done: number, total: number) => void; readonly sys?: string }
const erased = (disk: Disk, how: How): ErasedDisk => ({
  disk: disk.name,
  serial: disk.serial,
  sizeBytes: disk.sizeBytes,
  how,
})

/** Erases the metadata of every disk but those that `skip` matches. Throws `clean.failed` with the disk. */
export const eraseMetadata = (disks: readonly Disk[], skip: Skip, opts: Counted): Promise<ErasedDisk[]> =>
  eachDisk(chosenOf(disks, skip), opts, async (disk) => {
    await eraseDisk(disk)
    return 'metadata'
  })

/** Lets every disk that can forget its blocks do so, and erases the metadata of all. Throws `clean.failed` with the
 *  disk. */
export const eraseExpress = (disks: readonly Disk[], skip: Skip, opts: Counted): Promise<ErasedDisk[]> =>
  eachDisk(chosenOf(disks, skip), opts, async (disk) => {
    const how = await forget(disk, opts.sys)
    await eraseDisk(disk)
    return how
  })

async function eachDisk(
  chosen: readonly Disk[],
  { onDisk }: Counted,
  erase: (disk: Disk) => Promise<How>,
): Promise<ErasedDisk[]> {
  const results: ErasedDisk[] = []
  for (const [done, disk] of chosen.entries()) {
    onDisk(done, chosen.length)
    results.push(erased(disk, await erase(disk)))
  }
  onDisk(chosen.length, chosen.length)
  return results
}

/** Tries what the disk does by itself, the strongest first, and believes it only when samples read back as zeros. A
 *  disk that would have to write every block is left alone: that is what `erase_devices` is for. */
async function forget(disk: Disk, sys?: string): Promise<How> {
  const { discards, zeroes } = await readForgets(disk.name, sys)
  if (!discards) return 'metadata'
  const ways: readonly { how: How; flags: readonly string[] }[] = [
    { how: 'secure-discarded', flags: ['--secure'] },
    ...(zeroes ? [{ how: 'zeroed-by-disk' as const, flags: ['--zeroout'] }] : []),
    { how: 'discarded', flags: [] },
  ]
  for (const { how, flags } of ways) {
    const { code } = await run(['blkdiscard', '--force', ...flags, disk.name], { timeoutMs: FORGET_MS }).catch(() => ({
      code: 1,
    }))
    if (code === 0 && (await samplesAreZero(disk))) return how
  }
  return 'metadata'
}

async function samplesAreZero(disk: Disk): Promise<boolean> {
  const length = Math.min(MIB, disk.sizeBytes)
  const sectors = (disk.sizeBytes - length) / disk.logicalSectorBytes / (SAMPLES - 1)
  try {
    const file = await DiskFile.open(disk.name)
    const [zeros, back] = [Buffer.alloc(length), Buffer.alloc(length)]
    try {
      await file.flush()
      for (let n = 0; n < SAMPLES; n += 1) {
        await file.read(back.fill(0xff), Math.floor(sectors * n) * disk.logicalSectorBytes)
        if (!back.equals(zeros)) return false
      }
      return true
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new Fault('clean.failed', `${disk.name}: ${(error as Error).message}`, { cause: error })
  }
}

/** Zeroes every byte of every disk, one slice after the other, and reads each slice back. Throws `clean.failed` with
 *  the disk and the place. */
export async function eraseWhole(
  disks: readonly Disk[],
  skip: Skip,
  opts: { onDisk: (doneBytes: number, totalBytes: number) => void },
): Promise<ErasedDisk[]> {
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
          throw new Fault(
            'clean.failed',
            `${disk.name} (serial ${disk.serial ?? 'unknown'}) still holds data after byte ${at} after it was zeroed`,
          )
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
  return chosen.map((disk) => erased(disk, 'zeroed'))
}

async function eraseDisk(disk: Disk): Promise<void> {
  // Partitions first: a table that is written again later must not bring their file systems back.
  const partitions = [...(await readPartitions(disk.name)).values()].map(({ startBytes, sizeBytes }) => ({
    at: startBytes,
    lengthBytes: sizeBytes,
  }))
  const ranges = rangesOf(disk.sizeBytes, partitions)
  const file = await DiskFile.open(disk.name).catch((error: Error) => {
    throw new Fault('clean.failed', error.message, { cause: error })
  })
  try {
    const zeros = Buffer.alloc(END_BYTES)
    for (const { at, lengthBytes } of ranges) await file.write(zeros.subarray(0, lengthBytes), at)
    await file.flush()
    for (const range of ranges) {
      const back = Buffer.alloc(range.lengthBytes, 0xff)
      await file.read(back, range.at)
      if (!back.equals(zeros.subarray(0, range.lengthBytes)))
        throw new Fault(
          'clean.failed',
          `${disk.name} (serial ${disk.serial ?? 'unknown'}) still holds data at byte ${range.at} after it was erased`,
        )
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
    const copies = BTRFS_COPIES.filter((copy) => copy + BTRFS_BYTES <= lengthBytes).map((copy) => ({
      at: at + copy,
      lengthBytes: BTRFS_BYTES,
    }))
    return [{ at, lengthBytes: size }, { at: at + lengthBytes - size, lengthBytes: size }, ...copies]
  })
  const inside = ends.filter(({ at, lengthBytes }) => lengthBytes > 0 && at >= 0 && at + lengthBytes <= diskBytes)
  const seen = new Set<string>()
  return inside.filter(({ at, lengthBytes }) => !seen.has(`${at}+${lengthBytes}`) && seen.add(`${at}+${lengthBytes}`))
}
