/** Watchdog leases: an arbiter grants one to a host only while it knows, from a majority of arbiters and fresh, that none of them withholds it. So an
 *  arbiter that is cut off keeps no host alive for longer than its ticket, and a mesh whose arbiters talk resets nobody, whatever Consul does. */
import { isOver } from '../protocol/records.ts'
import { TICKET_MS } from '../protocol/timing.ts'
import type { Word } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'

/** Hosts that get no lease: from the moment that their incident is in the store until they were taken back. */
export function withheld(core: ArbiterState): string[] {
  return [...core.shelf.incidents.values()].flatMap(({ value }) =>
    isOver(value) || value.state === 'returning' ? [] : [value.host],
  )
}

/** What this arbiter says to the others. */
export function wordOf(core: ArbiterState, nowMs: number): Word {
  const heard = Object.fromEntries(
    Object.entries(core.book.heard(nowMs)).map(([name, ageMs]) => [name, Math.round(ageMs)]),
  )
  const echo: Record<string, number> = {}
  for (const name of core.shelf.arbiters) {
    const mark = core.book.digestOf(name)?.mark
    if (name !== core.name && mark !== undefined) echo[name] = mark
  }
  return { heard, noGrant: withheld(core), settled: core.settled, mark: nowMs, echo }
}

export function mayGrant(core: ArbiterState, host: string, nowMs: number): boolean {
  if (!core.settled || withheld(core).includes(host)) return false
  const { arbiters } = core.shelf
  // An arbiter that was stopped for long finds old words in its sockets when it goes on: none of them answers anything that it said since.
  const fresh = arbiters.flatMap((name) => {
    const digest = name === core.name ? undefined : core.book.digestOf(name)
    const ageMs = nowMs - (digest?.echo?.[core.name] ?? Number.NEGATIVE_INFINITY)
    return digest?.settled === true && ageMs >= 0 && ageMs <= TICKET_MS ? [digest] : []
  })
  if (fresh.some(({ noGrant }) => noGrant?.includes(host))) return false
  return fresh.length + 1 >= Math.floor(arbiters.length / 2) + 1
}
