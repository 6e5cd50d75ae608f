/** Watchdog leases: an arbiter grants one to a host only while it knows, from a majority of arbiters and fresh, that none of them withholds it. So an
 *  arbiter that is cut off keeps no host alive for longer than its ticket, and a mesh whose arbiters talk resets nobody, whatever Consul does. */
import { isOver } from '../fence/states.ts'
import { TICKET_MS } from '../fence/pursue.ts'
import type { ArbiterCore } from './core.ts'

/** Hosts that get no lease: from the moment that their incident is in the store until they were taken back. */
export function withheld(core: ArbiterCore): string[] {
  return [...core.shelf.incidents.values()].flatMap(({ value }) => (isOver(value) || value.state === 'returning' ? [] : [value.host]))
}

export function mayGrant(core: ArbiterCore, host: string, nowMs: number): boolean {
  if (!core.settled) return false
  const own = withheld(core)
  if (own.includes(host)) return false
  const { arbiters } = core.shelf
  const words = arbiters
    .filter((name) => name !== core.name)
    .map((name) => ({ digest: core.book.digestOf(name), ageMs: core.book.heardAgeMs(name, nowMs) ?? Number.POSITIVE_INFINITY }))
  const fresh = words.filter(({ digest, ageMs }) => ageMs <= TICKET_MS && digest?.settled === true)
  if (fresh.some(({ digest }) => digest?.noGrant?.includes(host))) return false
  return fresh.length + 1 >= Math.floor(arbiters.length / 2) + 1
}
