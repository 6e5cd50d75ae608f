/** Watchdog leases: an arbiter grants one to a host only while it knows, from a majority of arbiters and fresh, that none of them withholds it. So an
 *  arbiter that is cut off keeps no host alive for longer than its ticket, and a mesh whose arbiters talk resets nobody, whatever Consul does. */
import { isOver } from '../protocol/records.ts'
import { TICKET_MS } from '../protocol/timing.ts'
import type { ArbiterStatement } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'

/** Hosts that get no lease: from the moment that their incident is in the store until they were taken back. */
export function withheld(core: ArbiterState): string[] {
  return [...core.cluster.incidents.values()].flatMap(({ value }) =>
    isOver(value) || value.state === 'returning' ? [] : [value.host],
  )
}

/** What this arbiter says to the others. */
export function statementOf(core: ArbiterState, nowMs: number): ArbiterStatement {
  const heard = Object.fromEntries(
    Object.entries(core.evidence.heard(nowMs)).map(([name, ageMs]) => [name, Math.round(ageMs)]),
  )
  const echoedTimestamps: Record<string, number> = {}
  for (const name of core.cluster.arbiters) {
    const timestamp = core.evidence.heartbeatOf(name)?.timestamp
    if (name !== core.name && timestamp !== undefined) echoedTimestamps[name] = timestamp
  }
  return { heard, noGrant: withheld(core), settled: core.settled, timestamp: nowMs, echoedTimestamps }
}

export function mayGrant(core: ArbiterState, host: string, nowMs: number): boolean {
  if (!core.settled || withheld(core).includes(host)) return false
  const { arbiters } = core.cluster
  // An arbiter that was stopped for long finds old words in its sockets when it goes on: none of them answers anything that it said since.
  const fresh = arbiters.flatMap((name) => {
    const heartbeat = name === core.name ? undefined : core.evidence.heartbeatOf(name)
    const ageMs = nowMs - (heartbeat?.echoedTimestamps?.[core.name] ?? Number.NEGATIVE_INFINITY)
    return heartbeat?.settled === true && ageMs >= 0 && ageMs <= TICKET_MS ? [heartbeat] : []
  })
  if (fresh.some(({ noGrant }) => noGrant?.includes(host))) return false
  return fresh.length + 1 >= Math.floor(arbiters.length / 2) + 1
}
