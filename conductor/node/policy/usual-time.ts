/** What is usual, made of the times that were seen: pure arithmetic. */
import type { DurationLevel } from '../../store/durations.ts'

/** How long one state usually lasts. */
export interface UsualTime {
  readonly samples: number
  readonly lowMs: number
  readonly medianMs: number
  readonly highMs: number
  /** What the times have in common with this node. */
  readonly of: DurationLevel
  /** When the state becomes unusually long; null: that was told, or the times are too few to tell. */
  readonly lateAtMs: number | null
  /** What the order needs after this state; null: nobody knows. */
  readonly leftMs: number | null
  /** What the work of this state is expected to need; absent in records of older programs. */
  readonly expectedMs?: number
  /** What the parts of the agent's work are expected to need, where they are known. */
  readonly partsMs?: Readonly<Record<string, number>>
}

export interface Past {
  readonly of: DurationLevel
  readonly tookMs: readonly number[]
  /** Where the state alone was compared, which mixes what is done in it: the times of the same work, however few. */
  readonly sameWorkMs?: readonly number[]
}

export const NO_PAST: Past = { of: 'state', tookMs: [] }

/** Fewer times say nothing about what is usual. */
export const MIN_SAMPLES = 5
/** What is told as unusual is not one in twenty, which 95 of 100 would mean, nor a second of a busy machine. */
const MARGIN_MS = 10_000
const MARGIN_SHARE = 0.25

/** The value below which this part of the sorted times lie; 0 without any. */
export const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0

/** The first of these that has enough times; else the one with the most, the more specific of two. */
export function choosePast(levels: readonly Past[]): Past {
  const past = mostOf(levels)
  const { tookMs } = mostOf(past.of === 'state' ? levels.filter(({ of }) => of !== 'state') : [])
  return tookMs.length > 0 ? { ...past, sameWorkMs: tookMs } : past
}

function mostOf(levels: readonly Past[]): Past {
  const enough = levels.find(({ tookMs }) => tookMs.length >= MIN_SAMPLES)
  return enough ?? levels.reduce((best, one) => (one.tookMs.length > best.tookMs.length ? one : best), NO_PAST)
}

/** What such work is expected to need; undefined: none was seen. */
export const expectedMs = ({ tookMs, sameWorkMs = tookMs }: Past): number | undefined =>
  spreadOf({ of: 'state', tookMs: sameWorkMs })?.medianMs

export interface Spread {
  readonly samples: number
  readonly lowMs: number
  readonly medianMs: number
  readonly highMs: number
}

/** Undefined: none was seen. */
export function spreadOf({ tookMs }: Past): Spread | undefined {
  if (tookMs.length === 0) return undefined
  const sorted = [...tookMs].sort((a, b) => a - b)
  return {
    samples: sorted.length,
    lowMs: quantile(sorted, 0.05),
    medianMs: quantile(sorted, 0.5),
    highMs: quantile(sorted, 0.95),
  }
}

/** `sinceMs`: when the state began. */
export function usualTime(
  past: Past,
  at: { sinceMs: number; leftMs: number | null; partsMs?: UsualTime['partsMs'] },
): UsualTime | null {
  const spread = spreadOf(past)
  if (!spread) return null
  const lateAtMs = at.sinceMs + spread.highMs + Math.max(MARGIN_MS, MARGIN_SHARE * spread.highMs)
  return {
    ...spread,
    of: past.of,
    lateAtMs: spread.samples >= MIN_SAMPLES ? Math.ceil(lateAtMs) : null,
    leftMs: at.leftMs,
    expectedMs: expectedMs(past) ?? spread.medianMs,
    ...(at.partsMs ? { partsMs: at.partsMs } : {}),
  }
}

/** What is unusual is told before a deadline that comes soon after the usual time: halfway to it. */
export function toldBefore(usual: UsualTime, at: { sinceMs: number; deadlineMs: number | null }): UsualTime {
  const usualEndMs = at.sinceMs + usual.highMs
  if (usual.lateAtMs === null || at.deadlineMs === null || usual.lateAtMs < at.deadlineMs) return usual
  return at.deadlineMs > usualEndMs ? { ...usual, lateAtMs: Math.floor((usualEndMs + at.deadlineMs) / 2) } : usual
}

/** How far the agent is in a part of its work, by its last report. */
export interface Pace {
  readonly part: string
  /** 0 to 1. */
  readonly share: number
  /** So long it is in this part. */
  readonly tookMs: number
  /** So long ago it said so. */
  readonly agoMs: number
}

/** The parts of writing an image, in order. */
export const IMAGE_PARTS = ['write', 'verify', 'finish'] as const
/** Less tells nothing about the pace. */
const MIN_SHARE = 0.02

/** Until the order of the node is done; null: nobody knows. */
export function leftMsOf(usual: UsualTime | null | undefined, elapsedMs: number, pace?: Pace): number | null {
  if (!usual || usual.leftMs === null) return null
  const byTimeMs = Math.max(0, (usual.expectedMs ?? usual.medianMs) - elapsedMs)
  return (pace ? leftByPaceMs(pace, { partsMs: usual.partsMs, byTimeMs }) : byTimeMs) + usual.leftMs
}

/** In the present state. The further a part has come, the more its own pace counts, and the less what is usual. */
function leftByPaceMs(
  { part, share, tookMs, agoMs }: Pace,
  { partsMs, byTimeMs }: { partsMs: UsualTime['partsMs']; byTimeMs: number },
): number {
  const place = IMAGE_PARTS.findIndex((name) => name === part)
  const usualMs = partsMs?.[part]
  if (place < 0 || usualMs === undefined) {
    const ownMs = share < MIN_SHARE ? 0 : ((1 - share) / share) * tookMs - agoMs
    return Math.max(byTimeMs, ownMs)
  }
  // The last part reports no bytes.
  const partMs = part === 'finish' ? usualMs - tookMs : (1 - share) * ((1 - share) * usualMs + tookMs)
  const laterMs = IMAGE_PARTS.slice(place + 1).reduce((sum, name) => sum + (partsMs?.[name] ?? 0), 0)
  // A part that is done, and the next one not begun, is between the two.
  return Math.max(0, Math.max(0, partMs) + laterMs - agoMs)
}
