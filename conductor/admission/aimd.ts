/** How many at once: more by and by while each takes its usual time, half as many when they slow each other down or
 *  fail (additive increase, multiplicative decrease). Pure. */

export interface Range {
  readonly least: number
  readonly start: number
  readonly most: number
}

export interface Sample {
  readonly tookMs: number
  /** What such work usually needs; null: nobody knows. */
  readonly usualMs: number | null
  readonly failed: boolean
  /** Others waited for a place: the limit was felt. */
  readonly felt: boolean
}

export interface Adapted {
  readonly limit: number
  /** Took, as a multiple of the usual time; of those that did not fail. */
  readonly ratios: readonly number[]
  readonly failed: number
  readonly felt: boolean
  /** The shortest median of a wave: the usual time where nobody knows another. */
  readonly baseMs: number | null
  /** Of the wave, for that. */
  readonly tookMs: readonly number[]
}

const SLOW = 3
const FAST = 1.5
const FAILED_SHARE = 0.05
const QUIET_SHARE = 0.02
const STEP = 4
const STEP_SHARE = 0.25
/** Fewer say nothing. */
const LEAST_WAVE = 4
/** No more are waited for, however high the limit is. */
const MOST_WAVE = 64

export const adaptedAt = ({ start }: Range): Adapted => ({
  limit: start,
  ratios: [],
  failed: 0,
  felt: false,
  baseMs: null,
  tookMs: [],
})

export function adapt(state: Adapted, sample: Sample, range: Range): Adapted {
  const usualMs = sample.usualMs ?? state.baseMs
  const ratio = usualMs === null || usualMs <= 0 ? 1 : sample.tookMs / usualMs
  const next: Adapted = {
    ...state,
    ratios: sample.failed ? state.ratios : [...state.ratios, ratio],
    tookMs: sample.failed ? state.tookMs : [...state.tookMs, sample.tookMs],
    failed: state.failed + (sample.failed ? 1 : 0),
    felt: state.felt || sample.felt,
  }
  const wave = Math.max(LEAST_WAVE, Math.min(MOST_WAVE, state.limit))
  const tooMany = Math.max(2, FAILED_SHARE * wave)
  const count = next.ratios.length + next.failed
  if (next.failed >= tooMany) return ended(next, half(next.limit), range)
  if (count < wave) return next
  const slowest = quantile(next.ratios, 0.95)
  if (slowest > SLOW) return ended(next, half(next.limit), range)
  if (slowest < FAST && next.failed / count <= QUIET_SHARE && next.felt)
    return ended(next, next.limit + Math.max(STEP, Math.floor(STEP_SHARE * next.limit)), range)
  return ended(next, next.limit, range)
}

const half = (limit: number): number => Math.floor(limit / 2)

function ended({ tookMs, baseMs }: Adapted, limit: number, range: Range): Adapted {
  const median = tookMs.length === 0 ? null : quantile(tookMs, 0.5)
  return {
    ...adaptedAt(range),
    limit: Math.min(range.most, Math.max(range.least, limit)),
    baseMs: median === null ? baseMs : Math.min(median, baseMs ?? median),
  }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}
