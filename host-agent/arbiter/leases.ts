/** Watchdog leases: an arbiter renews a host's lease only while a majority of arbiters has recently stated that none of
 *  them withholds it. So an arbiter that is cut off keeps no host alive for longer than its ticket, and a mesh whose
 *  arbiters talk resets nobody, whatever Consul does. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import { TICKET_MS } from '../protocol/timing.ts'
import type { ArbiterStatement } from '../protocol/heartbeat.ts'
import type { EvidenceStore } from '../verdict/evidence-store.ts'

export interface LeaseView {
  readonly name: string
  readonly evidence: EvidenceStore
  readonly cluster: ClusterState
  /** It has read the store since it started. */
  readonly settled: boolean
  /** When the store last took something from this arbiter. */
  readonly storeOkMs?: number | undefined
}

/** What this arbiter states to the others. */
export function statementOf(
  { name, evidence, cluster, settled, storeOkMs }: LeaseView,
  nowMs: number,
): ArbiterStatement {
  const heard: Record<string, number> = {}
  const ages = evidence.heard(nowMs)
  for (const node in ages) heard[node] = Math.round(ages[node] as number)

  const echoedTimestamps: Record<string, number> = {}
  for (const arbiter of cluster.arbiters) {
    const timestamp = evidence.heartbeatOf(arbiter)?.timestamp
    if (arbiter !== name && timestamp !== undefined) echoedTimestamps[arbiter] = timestamp
  }
  return {
    heard,
    noGrant: [...cluster.leaseWithheld],
    settled,
    ...(storeOkMs === undefined ? {} : { storeAgeMs: Math.max(0, Math.round(nowMs - storeOkMs)) }),
    timestamp: nowMs,
    echoedTimestamps,
  }
}

export function mayGrant({ name, evidence, cluster, settled }: LeaseView, host: string, nowMs: number): boolean {
  if (!settled || cluster.leaseWithheld.has(host)) return false
  // An arbiter that was stopped for long finds old statements in its sockets when it goes on: none of them answers
  // anything that it stated since.
  const fresh = cluster.arbiters.flatMap((arbiter) => {
    const heartbeat = arbiter === name ? undefined : evidence.heartbeatOf(arbiter)
    const ageMs = nowMs - (heartbeat?.echoedTimestamps?.[name] ?? Number.NEGATIVE_INFINITY)
    return heartbeat?.settled === true && ageMs >= 0 && ageMs <= TICKET_MS ? [heartbeat] : []
  })
  if (fresh.some(({ noGrant }) => noGrant?.includes(host))) return false
  return fresh.length + 1 >= Math.floor(cluster.arbiters.length / 2) + 1
}
