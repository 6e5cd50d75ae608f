/** Which poison pills are taken away: an incident that the store says is over has none any more, because its host may
 *  live, in the very boot that the pill was for. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import { isOver } from '../protocol/records.ts'

const AGAIN_MS = 2_000

/** Takes away the pill of this incident, and no other. */
export interface LiftEffect {
  readonly do: 'lift pill'
  readonly host: string
  readonly incident: string
}

/** Which pills this leader has lifted; another leader looks for itself. */
export interface LiftKnowledge {
  /** A request is under way. */
  readonly busy: boolean
  /** The last one failed. */
  readonly failed: boolean
  /** When the last one began. */
  readonly askedMs: number
  /** Incidents whose pill is lifted. */
  readonly done: ReadonlySet<string>
}
export const NONE_LIFTED: LiftKnowledge = {
  busy: false,
  failed: false,
  askedMs: Number.NEGATIVE_INFINITY,
  done: new Set(),
}

export const liftAsked = (known: LiftKnowledge, nowMs: number): LiftKnowledge => ({
  ...known,
  busy: true,
  askedMs: nowMs,
})

export const liftAnswered = (known: LiftKnowledge, { incident }: LiftEffect, ok: boolean): LiftKnowledge => ({
  ...known,
  busy: false,
  failed: !ok,
  done: ok ? new Set(known.done).add(incident) : known.done,
})

/** One at a time. */
export function pillToLift(cluster: ClusterState, known: LiftKnowledge, nowMs: number): LiftEffect | undefined {
  if (known.busy || nowMs - known.askedMs < (known.failed ? AGAIN_MS : 0)) return undefined
  for (const { value } of cluster.incidents.values()) {
    const { id, host } = value
    if (
      !isOver(value) ||
      known.done.has(id) ||
      cluster.liveIncident(host) ||
      !cluster.memberOf(host)?.writesStorageHeartbeat
    )
      continue
    return { do: 'lift pill', host, incident: id }
  }
  return undefined
}
