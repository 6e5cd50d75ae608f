/** The times that the journal keeps: how long such work lasted before, and how long an order usually goes on. */
import { durationKeys, partOf, type Compared } from '../../store/durations.ts'
import type { Journal } from '../../store/port.ts'
import {
  choosePast,
  expectedMs,
  IMAGE_PARTS,
  MIN_SAMPLES,
  toldBefore,
  usualTime,
  type Past,
  type UsualTime,
} from '../policy/usual-time.ts'
import { comparedOf, isTimed, restOf } from '../query/usual.ts'
import { currentStep, type NodeRecord } from '../record.ts'

export type PastOf = (compared: Compared) => Promise<Past>

/** Each key is asked for once. */
export function pastTimes(journal: Pick<Journal, 'durations'>): PastOf {
  const known = new Map<string, Promise<number[]>>()
  const ask = (model: string, state: string): Promise<number[]> => {
    const key = JSON.stringify([model, state])
    const found = known.get(key) ?? journal.durations(model, state)
    known.set(key, found)
    return found
  }
  return async (compared) => {
    const seen: Past[] = []
    for (const { of, model, state } of durationKeys(compared)) {
      seen.push({ of, tookMs: await ask(model, state) })
      if ((seen.at(-1)?.tookMs.length ?? 0) >= MIN_SAMPLES) break
    }
    return choosePast(seen)
  }
}

/** How long the present state of a node usually lasts, and the rest of its order; null: at rest, or nobody knows. */
export async function usualOfNode(node: NodeRecord, pastOf: PastOf): Promise<UsualTime | null> {
  if (!isTimed(node.provisionState)) return null
  let leftMs: number | null = 0
  for (const compared of restOf(node)) {
    const needsMs: number | undefined = expectedMs(await pastOf(compared))
    leftMs = leftMs === null || needsMs === undefined ? null : leftMs + needsMs
  }
  const sinceMs = node.provisionUpdatedAtMs ?? node.createdAtMs
  const compared = comparedOf(node)
  const partsMs = currentStep(node)?.step === 'write_image' ? await partsOf(compared, pastOf) : {}
  const usual = usualTime(await pastOf(compared), { sinceMs, leftMs, ...partsMs })
  return usual && toldBefore(usual, { sinceMs, deadlineMs: node.workflow.deadlineMs })
}

/** What the parts of writing the image are expected to need; empty: that of one of them is not known. */
async function partsOf(compared: Compared, pastOf: PastOf): Promise<{ partsMs?: NonNullable<UsualTime['partsMs']> }> {
  const partsMs: Record<string, number> = {}
  for (const part of IMAGE_PARTS) {
    const past = await pastOf(partOf(compared, part))
    // All that is done in the state says nothing of its parts.
    const needsMs = past.of === 'state' && past.sameWorkMs === undefined ? undefined : expectedMs(past)
    if (needsMs === undefined) return {}
    partsMs[part] = needsMs
  }
  return { partsMs }
}
