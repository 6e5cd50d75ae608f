/** Writes an image to a disk: parallel, zeros skipped safely, what the disk holds already neither fetched nor written,
 *  resumed after a broken line, flushed, and every piece proven by the hash of what is read back from the disk, which
 *  is the one place that counts; that goes for what the disk held before, too. A piece that is not right there is
 *  fetched again, and hashed on arrival then, to tell a damaged image from a damaged disk. The first piece, which holds
 *  the boot sector and the partition table, comes last and is always hashed on arrival: a disk that is not whole never
 *  boots. */
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { run as systemRun, type Run as RunProgram } from '../../kit/run.ts'
import { withAligned } from './aligned.ts'
import type { DiskFile } from './disk.ts'
import { sha256, type downloadRun } from './download.ts'
import { HeldPieces } from './held.ts'
import type { PieceServers } from './piece-servers.ts'
import { Tally, type Moved } from './moved.ts'
import { dataRuns, zeroRuns } from './runs.ts'
import type { SwarmFetch } from './swarm/fetch.ts'
import { LANES, writeRuns } from './write-runs.ts'

export interface WriteParts {
  readonly disk: DiskFile
  readonly index: ImageIndex
  /** Absent: the disk is no longer than the image. */
  readonly diskBytes?: number
  readonly source: PieceServers
  readonly clock: Clock
  readonly onProgress: (phase: 'write' | 'verify', doneBytes: number, moved: Moved) => void
  readonly download?: typeof downloadRun
  /** False: the disk is written without a look at what it holds. */
  readonly compare?: boolean
  /** Hash pieces before they are written, not only afterwards. */
  readonly checkArrival?: boolean
  readonly run?: RunProgram
  /** Neighbours that write the same image; absent: the image server alone is asked. */
  readonly swarm?: Pick<SwarmFetch, 'fetch' | 'wrote' | 'close'> | undefined
}

const ZERO_TIMEOUT_MS = 10 * 60_000
const ZERO_CHUNK_BYTES = 4 * 1024 * 1024
/** More than a GPT takes at the end of a disk, with sectors of any size. */
const BACKUP_TABLE_BYTES = 1024 * 1024

export async function writeImage(parts: WriteParts): Promise<Moved> {
  const { disk, index, compare = true } = parts
  const held = new HeldPieces({ disk, index, isOn: compare })
  try {
    return await writeAll({ ...parts, held, moved: new Tally(index) })
  } finally {
    held.end()
    await parts.swarm?.close()
  }
}

interface AllParts extends WriteParts {
  readonly held: HeldPieces
  readonly moved: Tally
}

interface PartOfWork extends AllParts {
  /** Another part failed. */
  readonly stop: AbortSignal
}

async function writeAll(parts: AllParts): Promise<Moved> {
  const { index, swarm, held, moved } = parts
  const written = new Set<number>()
  let doneBytes = 0
  const count = (number: number) => {
    if (written.has(number)) return
    written.add(number)
    doneBytes += pieceLength(index, number)
    parts.onProgress('write', doneBytes, moved.said)
  }
  // From memory perhaps; it is written again, and proven then. What is compared later comes from the disk.
  const head = await held.read(0)
  await zeroHead(parts)
  await allDone([(stop) => zeroRanges({ ...parts, stop }, count), (stop) => fetchLater({ ...parts, stop }, count)])
  held.end()
  await parts.disk.flush()
  // What was held, too: a write that the disk put in the wrong place may have hit it since it was compared.
  await mend(parts, await readBack(parts, (number) => number > 0))
  // A disk that boots and a server that listens are never there at the same time.
  await swarm?.close()
  await writeHead(parts, head, count)
  if (head) moved.heldPieces += 1
  await parts.disk.flush()
  await mend(parts, await readBack(parts, (number) => number === 0))
  return moved.said
}

/** The first piece, from memory where the disk held it before it was cleared. */
async function writeHead(parts: AllParts, head: Buffer | undefined, count: (number: number) => void): Promise<void> {
  if (!head)
    return writeRuns(
      parts,
      dataRuns(parts.index, (number) => number === 0),
      count,
    )
  await parts.disk.write(head, 0)
  count(0)
}

/** Calls `keep` with those of the pieces that the disk holds, and answers them. */
async function heldOf(
  { held }: AllParts,
  numbers: readonly number[],
  keep: (number: number) => void,
): Promise<ReadonlySet<number>> {
  const there = new Set<number>()
  const left = numbers.values()
  const lane = async () => {
    for (const number of left) {
      if (!held.isOn) return
      if (!(await held.has(number))) continue
      there.add(number)
      keep(number)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return there
}

/** Of works that write different pieces. After a failure the others end soon, and when it is told, nothing writes any
 *  more. */
async function allDone(works: readonly ((stop: AbortSignal) => Promise<void>)[]): Promise<void> {
  const stop = new AbortController()
  // The first failure is the reason that is kept.
  await Promise.all(works.map((work) => work(stop.signal).catch((error: unknown) => stop.abort(error))))
  if (stop.signal.aborted) throw stop.signal.reason
}

async function zeroRanges(parts: PartOfWork, count: (number: number) => void): Promise<void> {
  for (const zeros of zeroRuns(parts.index)) {
    if (parts.stop.aborted) return
    await zeroRange(parts, zeros)
    for (let number = zeros.first; number < zeros.first + zeros.count; number += 1) count(number)
  }
}

/** All data but the first piece; what the disk holds already stays. */
async function fetchLater({ stop, ...parts }: PartOfWork, count: (number: number) => void): Promise<void> {
  const { index, swarm, moved } = parts
  const keep = (number: number) => {
    moved.heldPieces += 1
    count(number)
    swarm?.wrote(number)
  }
  const isLater = (number: number) => number > 0
  if (!swarm) return writeRuns({ ...parts, keep, stop }, dataRuns(index, isLater), count)
  await swarm.fetch(isLater, {
    runs: (isWanted) => dataRuns(index, isWanted),
    unicast: (queue, isEnough) =>
      writeRuns({ ...parts, keep, stop: isEnough }, queue, (number) => (count(number), swarm.wrote(number))),
    held: (numbers) => heldOf(parts, numbers, keep),
    store: async (number, bytes) => {
      await parts.disk.write(bytes, number * index.pieceBytes)
      moved.wrote(number)
      count(number)
    },
  })
}

/** Writes pieces that were read back wrong once more. What was good on arrival and is wrong on the disk again is the
 *  disk's fault. */
async function mend(parts: AllParts, wrong: readonly number[]): Promise<void> {
  if (wrong.length === 0) return
  const pieces = new Set(wrong)
  for (const number of wrong.filter((number) => parts.index.pieces[number]?.zero)) {
    await parts.disk.write(Buffer.alloc(pieceLength(parts.index, number)), number * parts.index.pieceBytes)
  }
  await writeRuns(
    { ...parts, checkArrival: true },
    dataRuns(parts.index, (number) => pieces.has(number)),
    () => undefined,
  )
  await parts.disk.flush()
  const still = await readBack(parts, (number) => pieces.has(number))
  if (still.length > 0)
    throw new Fault('deploy.readback', `${parts.disk.path} does not hold piece ${still.join(', ')} as it was written`)
}

/** Nothing boots from a disk whose deploy failed. */
export async function makeUnbootable(disk: DiskFile, sizeBytes: number): Promise<void> {
  const zeros = Buffer.alloc(Math.min(ZERO_CHUNK_BYTES, sizeBytes))
  await disk.write(zeros, 0)
  await disk.write(zeros, sizeBytes - zeros.length)
  await disk.flush()
}

/** Flushed before anything else is written: after a power cut the old boot sector must not start what is half
 *  overwritten, nor must the backup GPT, with which UEFI firmware repairs the table that is gone. */
async function zeroHead({ disk, index, diskBytes = 0 }: WriteParts): Promise<void> {
  const headBytes = pieceLength(index, 0)
  await disk.write(Buffer.alloc(headBytes), 0)
  const tailBytes = Math.min(BACKUP_TABLE_BYTES, diskBytes - headBytes)
  if (tailBytes > 0) await disk.write(Buffer.alloc(tailBytes), diskBytes - tailBytes)
  await disk.flush()
}

/** What stood there before must read as zeros now. The kernel's zero-out does that without sending them (BLKZEROOUT,
 *  blkdiscard -z); where a device or an old kernel does not have it, zeros are written. */
async function zeroRange(parts: PartOfWork, zeros: { first: number; count: number }): Promise<void> {
  const at = zeros.first * parts.index.pieceBytes
  const end = Math.min(at + zeros.count * parts.index.pieceBytes, parts.index.sizeBytes)
  const run = parts.run ?? systemRun
  const argv = [
    'blkdiscard',
    '--force',
    '--zeroout',
    '--offset',
    String(at),
    '--length',
    String(end - at),
    parts.disk.path,
  ]
  const done = await run(argv, { timeoutMs: ZERO_TIMEOUT_MS }).catch(() => undefined)
  if (done?.code === 0) return
  const zero = Buffer.alloc(parts.index.pieceBytes)
  for (let number = zeros.first; number < zeros.first + zeros.count; number += 1) {
    if (parts.stop.aborted) return
    if (await parts.held.has(number)) continue
    const lengthBytes = pieceLength(parts.index, number)
    await parts.disk.write(zero.subarray(0, lengthBytes), number * parts.index.pieceBytes)
    parts.moved.writtenBytes += lengthBytes
  }
}

/** Answers the pieces that the disk does not hold as the index says. */
async function readBack(parts: AllParts, wanted: (number: number) => boolean): Promise<number[]> {
  const { index, disk } = parts
  const numbers = index.pieces.keys()
  const zeros = Buffer.alloc(index.pieceBytes)
  const wrong: number[] = []
  const known = [...index.pieces.keys()].filter((number) => !wanted(number))
  let doneBytes = known.reduce((sum, number) => sum + pieceLength(index, number), 0)
  const lane = async (buffer: Buffer) => {
    for (const number of numbers) {
      if (!wanted(number)) continue
      const bytes = buffer.subarray(0, pieceLength(index, number))
      await disk.read(bytes, number * index.pieceBytes)
      const piece = index.pieces[number]
      // Comparing with zeros is many times cheaper than hashing them.
      const same = piece?.zero ? bytes.equals(zeros.subarray(0, bytes.length)) : (await sha256(bytes)) === piece?.sha256
      if (!same) wrong.push(number)
      doneBytes += bytes.length
      parts.onProgress('verify', doneBytes, parts.moved.said)
    }
  }
  await Promise.all(Array.from({ length: LANES }, () => withAligned(index.pieceBytes, lane)))
  return wrong
}
