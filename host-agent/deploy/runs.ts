/** Runs of neighbouring pieces of an image: of those that hold data, and of those that are zeros. Pure. */
import type { ImageIndex } from '../../conductor/api/agent-wire.ts'
import type { Run } from './download.ts'

const RUN_PIECES = 8

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

/** What is left of a run from piece `next` on. */
export function rest(index: ImageIndex, run: Run, next: number): Run {
  const skipped = index.pieces.slice(run.first, next).reduce((sum, piece) => sum + piece.lengthBytes, 0)
  return {
    first: next,
    count: run.first + run.count - next,
    at: run.at + skipped,
    lengthBytes: run.lengthBytes - skipped,
  }
}
