/** What is usual for a node in its state, and what is left of its order, as an account tells it. Pure. */
import { leftMsOf, MIN_SAMPLES, spreadOf, type Past } from '../policy/usual-time.ts'
import type { NodeRecord } from '../record.ts'
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
  if (!isTimed(node.provisionState)) return null
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

/** As the record has it from the beginning of the state. */
export function leftOf({ node, nowMs }: { node: NodeRecord; nowMs: number }): number | null {
  const leftMs = leftMsOf(node.workflow.usual, nowMs - (node.provisionUpdatedAtMs ?? node.createdAtMs))
  return leftMs === null ? null : seconds(leftMs)
}
