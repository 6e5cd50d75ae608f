/** What is usual for a node in its state, and what is left of its order, as an account tells it. Pure. */
import { leftMsOf, MIN_SAMPLES, spreadOf, type Pace, type Past } from '../policy/usual-time.ts'
import { waitsForAdmission } from '../policy/admission.ts'
import type { NodeRecord } from '../record.ts'
import type { Live } from './sightings.ts'
import { isTimed } from './usual.ts'

export interface Usual {
  readonly samples: number
  /** What they have in common with this node: model, firmware and image; model and firmware; the model; or the model
   *  alone, whatever was done in the state. */
  readonly of: Past['of']
  readonly p5_seconds: number | null
  readonly median_seconds: number | null
  readonly p95_seconds: number | null
  readonly unusual: boolean
}

const seconds = (ms: number) => Math.round(ms / 100) / 10

export function usualOf({ node, past }: { node: NodeRecord; past: Past }, elapsedMs: number): Usual | null {
  // Its time counts from the moment at which it is admitted.
  if (!isTimed(node.provisionState) || waitsForAdmission(node)) return null
  const spread = spreadOf(past)
  return {
    samples: spread?.samples ?? 0,
    of: past.of,
    p5_seconds: spread ? seconds(spread.lowMs) : null,
    median_seconds: spread ? seconds(spread.medianMs) : null,
    p95_seconds: spread ? seconds(spread.highMs) : null,
    unusual: spread !== undefined && spread.samples >= MIN_SAMPLES && elapsedMs > spread.highMs,
  }
}

/** What is longer than this is unusual; undefined: too few times are known, or only those of all that is done in its
 *  state, which say nothing of this part of it. */
export function usualHighMs({ past }: { past: Past }): number | undefined {
  const spread = spreadOf(past)
  return spread && past.of !== 'state' && spread.samples >= MIN_SAMPLES ? spread.highMs : undefined
}

/** How far the agent is in the phase that it reports; undefined: it reports none, or to another conductor. */
export function paceOf({ progress, pace }: Pick<Live, 'progress' | 'pace'>, nowMs: number): Pace | undefined {
  if (!progress || pace?.phase !== progress.phase || progress.totalBytes <= 0) return undefined
  const share = Math.min(1, progress.doneBytes / progress.totalBytes)
  return { part: pace.phase, share, tookMs: pace.atMs - pace.sinceMs, agoMs: Math.max(0, nowMs - pace.atMs) }
}

interface LeftFacts {
  readonly node: Pick<NodeRecord, 'workflow' | 'provisionUpdatedAtMs' | 'createdAtMs'>
  readonly nowMs: number
  readonly live: Pick<Live, 'progress' | 'pace'>
}

/** As the record has it from the beginning of the state, and as the agent comes on. */
export function leftOf({ node, nowMs, live }: LeftFacts): number | null {
  const elapsedMs = nowMs - (node.provisionUpdatedAtMs ?? node.createdAtMs)
  const leftMs = leftMsOf(node.workflow.usual, elapsedMs, paceOf(live, nowMs))
  return leftMs === null ? null : seconds(leftMs)
}

/** When its order is done; null: not known. It stays where it is until the agent reports again. */
export function expectedEndMs({ node, live }: Omit<LeftFacts, 'nowMs'>): number | null {
  const sinceMs = node.provisionUpdatedAtMs ?? node.createdAtMs
  const isPaced = live.pace !== undefined && paceOf(live, live.pace.atMs) !== undefined
  const atMs = isPaced && live.pace ? live.pace.atMs : sinceMs
  const leftMs = leftMsOf(node.workflow.usual, atMs - sinceMs, paceOf(live, atMs))
  return leftMs === null ? null : atMs + leftMs
}
