/** Fetches runs of pieces from the image server and writes them, several at once: a broken line is taken up where it
 *  broke, and what the disk holds already is left out. */
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault, type FaultCode } from '../../kit/fault.ts'
import type { DiskFile } from './disk.ts'
import { downloadRun, sha256, type Run } from './download.ts'
import type { HeldPieces } from './held.ts'
import type { PieceServers } from './piece-servers.ts'
import type { Tally } from './moved.ts'
import { dataRuns, rest } from './runs.ts'

export const LANES = 3
/** Faults after which a run is downloaded again. Data that arrives whole and cannot be decompressed, several times
 *  over, is damaged where it is stored. */
const DOWNLOAD_FAULTS: ReadonlySet<FaultCode> = new Set(['deploy.download', 'image.piece', 'image.damaged'])
/** A line that is down for a minute comes back more often than not. */
const MAX_FAILURES = 12
const RETRY_MS = 500
const RETRY_MAX_MS = 10_000
const MAX_BAD_PIECES = 3

export interface RunParts {
  readonly disk: DiskFile
  readonly index: ImageIndex
  readonly source: PieceServers
  readonly clock: Clock
  readonly download?: typeof downloadRun
  /** Hash pieces before they are written, not only afterwards. */
  readonly checkArrival?: boolean
  readonly held: HeldPieces
  readonly moved: Tally
  /** Breaks downloads off, too: what is whole of them is kept. */
  readonly stop?: AbortSignal | undefined
  /** Called with pieces that the disk holds already; absent: the disk is not asked. */
  readonly keep?: (number: number) => void
}

/** Takes the runs out of `queue`, until `stop`; what is left then is put back. While one lane asks the disk, the others
 *  fetch. */
export async function writeRuns(parts: RunParts, queue: Run[], count: (number: number) => void): Promise<void> {
  const abort = { failed: undefined as unknown }
  const lane = async () => {
    while (!abort.failed && !parts.stop?.aborted) {
      const run = queue.shift()
      if (!run) return
      const missing = await missingOf(parts, run)
      for (let part = missing.shift(); part; part = missing.shift()) {
        const left = await writeRun(parts, part, count)
        if (left) queue.unshift(left, ...missing.splice(0))
      }
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

/** The parts of a run that the disk does not hold. */
async function missingOf({ index, held, keep }: RunParts, run: Run): Promise<Run[]> {
  if (!keep || !held.isOn) return [run]
  const there = new Set<number>()
  for (let number = run.first; number < run.first + run.count; number += 1) {
    if (!(await held.has(number))) continue
    there.add(number)
    keep(number)
  }
  return dataRuns(index, (number) => number >= run.first && number < run.first + run.count && !there.has(number))
}

/** One run, resumed at its first missing piece as often as the line breaks. A piece that is wrong again and again is
 *  wrong at its source. Answers what is left of it, where it failed and all is over. */
async function writeRun(parts: RunParts, run: Run, count: (number: number) => void): Promise<Run | undefined> {
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
    parts.moved.wrote(number)
    parts.source.came()
    count(number)
  }
  while (next < run.first + run.count) {
    const { url } = parts.source
    try {
      await (parts.download ?? downloadRun)(url, rest(parts.index, run, next), {
        pieceLength: (number) => pieceLength(parts.index, number),
        take,
        signal: parts.stop,
      })
    } catch (error) {
      if (!isFault(error) || !DOWNLOAD_FAULTS.has(error.code)) throw error
      if (parts.stop?.aborted) return rest(parts.index, run, next)
      failures += 1
      if (error.code === 'image.piece') bad.set(next, (bad.get(next) ?? 0) + 1)
      const damaged = error.code === 'image.damaged' && failures >= MAX_BAD_PIECES
      const hopeless = failures >= MAX_FAILURES || (bad.get(next) ?? 0) >= MAX_BAD_PIECES || damaged
      if (parts.source.failed(url) || (hopeless && parts.source.leave(url))) {
        // What one server does not give says nothing of the next one.
        failures = 0
        bad.clear()
        continue
      }
      if (hopeless) throw new Fault(error.code, `piece ${next}: ${error.detail}`, { cause: error })
      await parts.clock.sleep(Math.min(RETRY_MS * 2 ** (failures - 1), RETRY_MAX_MS))
    }
  }
  return undefined
}
