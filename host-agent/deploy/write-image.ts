/** Writes an image to a disk: parallel, zeros skipped safely, resumed after a broken line, flushed, and every piece
 *  proven by the hash of what is read back from the disk, which is the one place that counts. A piece that is not right
 *  there is fetched again, and hashed on arrival then, to tell a damaged image from a damaged disk. The first piece,
 *  which holds the boot sector and the partition table, comes last and is always hashed on arrival: a disk that is not
 *  whole never boots. */
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault, type FaultCode } from '../../kit/fault.ts'
import { run as systemRun, type Run as RunProgram } from '../../kit/run.ts'
import type { DiskFile } from './disk.ts'
import { downloadRun, sha256, type Run } from './download.ts'
import type { SwarmFetch } from './swarm/fetch.ts'

export interface WriteParts {
  readonly disk: DiskFile
  readonly index: ImageIndex
  readonly dataUrl: string
  readonly clock: Clock
  readonly onProgress: (phase: 'write' | 'verify', doneBytes: number) => void
  readonly download?: typeof downloadRun
  /** Hash pieces before they are written, not only afterwards. */
  readonly checkArrival?: boolean
  readonly run?: RunProgram
  /** Neighbours that write the same image; absent: the image server alone is asked. */
  readonly swarm?: Pick<SwarmFetch, 'fetch' | 'wrote' | 'close'> | undefined
}

/** Faults after which a run is downloaded again. Data that arrives whole and cannot be decompressed, several times
 *  over, is damaged where it is stored. */
const DOWNLOAD_FAULTS: ReadonlySet<FaultCode> = new Set(['deploy.download', 'image.piece', 'image.damaged'])
const LANES = 3
const RUN_PIECES = 8
/** A line that is down for a minute comes back more often than not. */
const MAX_FAILURES = 12
const RETRY_MS = 500
const RETRY_MAX_MS = 10_000
const MAX_BAD_PIECES = 3
const ZERO_TIMEOUT_MS = 10 * 60_000
const ZERO_CHUNK_BYTES = 4 * 1024 * 1024

export async function writeImage(parts: WriteParts): Promise<void> {
  try {
    await writeAll(parts)
  } finally {
    await parts.swarm?.close()
  }
}

async function writeAll(parts: WriteParts): Promise<void> {
  const { index, swarm } = parts
  const written = new Set<number>()
  let doneBytes = 0
  const count = (number: number) => {
    if (written.has(number)) return
    written.add(number)
    doneBytes += pieceLength(index, number)
    parts.onProgress('write', doneBytes)
  }
  await zeroHead(parts)
  for (const zeros of zeroRuns(index)) {
    await zeroRange(parts, zeros)
    for (let number = zeros.first; number < zeros.first + zeros.count; number += 1) count(number)
  }
  const isLater = (number: number) => number > 0
  if (swarm)
    await swarm.fetch(isLater, {
      runs: (isWanted) => dataRuns(index, isWanted),
      unicast: (queue, isOver) =>
        writeRuns({ ...parts, isOver }, queue, (number) => (count(number), swarm.wrote(number))),
      store: async (number, bytes) => {
        await parts.disk.write(bytes, number * index.pieceBytes)
        count(number)
      },
    })
  else await writeRuns(parts, dataRuns(index, isLater), count)
  await parts.disk.flush()
  await mend(parts, await readBack(parts, (number) => number > 0))
  // A disk that boots and a server that listens are never there at the same time.
  await swarm?.close()
  await writeRuns(
    parts,
    dataRuns(index, (number) => number === 0),
    count,
  )
  await parts.disk.flush()
  await mend(parts, await readBack(parts, (number) => number === 0))
}

/** Writes pieces that were read back wrong once more. What was good on arrival and is wrong on the disk again is the
 *  disk's fault. */
async function mend(parts: WriteParts, wrong: readonly number[]): Promise<void> {
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

/** Runs of neighbouring pieces that hold data, cut so that a lane is never busy for long. */
export function dataRuns(index: ImageIndex, wanted: (number: number) => boolean): Run[] {
  const runs: Run[] = []
  let open: { first: number; count: number; at: number; lengthBytes: number } | undefined
  for (const [number, piece] of index.pieces.entries()) {
    if (piece.zero || !wanted(number)) {
      open = undefined
      continue
    }
    if (open && open.count < RUN_PIECES && piece.at === open.at + open.lengthBytes) {
      open.count += 1
      open.lengthBytes += piece.lengthBytes
      continue
    }
    open = { first: number, count: 1, at: piece.at, lengthBytes: piece.lengthBytes }
    runs.push(open)
  }
  return runs
}

export function zeroRuns(index: ImageIndex): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = []
  for (const [number, piece] of index.pieces.entries()) {
    const last = runs.at(-1)
    if (!piece.zero) continue
    if (last && last.first + last.count === number) last.count += 1
    else runs.push({ first: number, count: 1 })
  }
  return runs
}

/** Flushed before anything else is written: after a power cut the old boot sector must not start what is half
 *  overwritten. */
async function zeroHead(parts: WriteParts): Promise<void> {
  await parts.disk.write(Buffer.alloc(pieceLength(parts.index, 0)), 0)
  await parts.disk.flush()
}

/** Takes the runs out of `queue`, until `isOver`. */
async function writeRuns(
  parts: WriteParts & { isOver?: () => boolean },
  queue: Run[],
  count: (number: number) => void,
): Promise<void> {
  const abort = { failed: undefined as unknown }
  const lane = async () => {
    while (!abort.failed && !parts.isOver?.()) {
      const run = queue.shift()
      if (!run) return
      await writeRun(parts, run, count)
    }
  }
  await Promise.all(
    Array.from({ length: LANES }, () =>
      lane().catch((error: unknown) => {
        abort.failed ??= error
      }),
    ),
  )
  if (abort.failed) throw abort.failed
}

/** One run, resumed at its first missing piece as often as the line breaks. A piece that is wrong again and again is
 *  wrong at its source. */
async function writeRun(parts: WriteParts, run: Run, count: (number: number) => void): Promise<void> {
  let next = run.first
  let failures = 0
  const bad = new Map<number, number>()
  const take = async (number: number, bytes: Buffer) => {
    const expected = parts.index.pieces[number]
    const check = parts.checkArrival || number === 0
    if (check && (await sha256(bytes)) !== expected?.sha256)
      throw new Fault('image.piece', 'its bytes do not have the SHA-256 of the index')
    await parts.disk.write(bytes, number * parts.index.pieceBytes)
    next = number + 1
    failures = 0
    count(number)
  }
  while (next < run.first + run.count) {
    try {
      await (parts.download ?? downloadRun)(parts.dataUrl, rest(parts.index, run, next), {
        pieceLength: (number) => pieceLength(parts.index, number),
        take,
      })
    } catch (error) {
      if (!isFault(error) || !DOWNLOAD_FAULTS.has(error.code)) throw error
      failures += 1
      if (error.code === 'image.piece') bad.set(next, (bad.get(next) ?? 0) + 1)
      const damaged = error.code === 'image.damaged' && failures >= MAX_BAD_PIECES
      const hopeless = failures >= MAX_FAILURES || (bad.get(next) ?? 0) >= MAX_BAD_PIECES || damaged
      if (hopeless) throw new Fault(error.code, `piece ${next}: ${error.detail}`, { cause: error })
      await parts.clock.sleep(Math.min(RETRY_MS * 2 ** (failures - 1), RETRY_MAX_MS))
    }
  }
}

function rest(index: ImageIndex, run: Run, next: number): Run {
  const skipped = index.pieces.slice(run.first, next).reduce((sum, piece) => sum + piece.lengthBytes, 0)
  return {
    first: next,
    count: run.first + run.count - next,
    at: run.at + skipped,
    lengthBytes: run.lengthBytes - skipped,
  }
}

/** What stood there before must read as zeros now. The kernel's zero-out does that without sending them (BLKZEROOUT,
 *  blkdiscard -z); where a device or an old kernel does not have it, zeros are written. */
async function zeroRange(parts: WriteParts, zeros: { first: number; count: number }): Promise<void> {
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
  const chunk = Buffer.alloc(ZERO_CHUNK_BYTES)
  for (let from = at; from < end; from += chunk.length)
    await parts.disk.write(chunk.subarray(0, Math.min(chunk.length, end - from)), from)
}

/** Answers the pieces that the disk does not hold as the index says. */
async function readBack(parts: WriteParts, wanted: (number: number) => boolean): Promise<number[]> {
  const { index, disk } = parts
  const numbers = index.pieces.keys()
  const zeros = Buffer.alloc(index.pieceBytes)
  const wrong: number[] = []
  let doneBytes = 0
  const lane = async () => {
    const buffer = Buffer.allocUnsafe(index.pieceBytes)
    for (const number of numbers) {
      if (!wanted(number)) continue
      const bytes = buffer.subarray(0, pieceLength(index, number))
      await disk.read(bytes, number * index.pieceBytes)
      const piece = index.pieces[number]
      // Comparing with zeros is many times cheaper than hashing them.
      const same = piece?.zero ? bytes.equals(zeros.subarray(0, bytes.length)) : (await sha256(bytes)) === piece?.sha256
      if (!same) wrong.push(number)
      doneBytes += bytes.length
      parts.onProgress('verify', doneBytes)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return wrong
}
