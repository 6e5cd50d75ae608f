/** What was applied to a node: kept with it, compared by the next plan. */
import type { ObjectRecord } from '../store/port.ts'
import { digestOf, Recorded } from './plan.ts'

export const RECORD = 'rack record'

/** Undefined: another program wrote what this one does not understand, which counts as nothing. */
export function recordedOf({ body }: ObjectRecord): Recorded | undefined {
  const { by: _, ...rest } = body
  const result = Recorded.safeParse(rest)
  return result.success ? result.data : undefined
}

/** Of everything that a plan of this node depends on. */
export const fingerprintOf = (view: Readonly<Record<string, unknown>>): string => digestOf(view)

export const recordObject = (
  nodeUuid: string,
  recorded: Recorded,
  { by, nowMs }: { by: string; nowMs: number },
): ObjectRecord => ({
  kind: RECORD,
  uuid: nodeUuid,
  version: 0,
  name: null,
  nodeUuid,
  uniqueKey: null,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
  body: { ...recorded, by },
})
