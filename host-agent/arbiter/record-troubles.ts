/** The causes that the leader writes down: of failures without an incident in a record for each host and one for the
 *  mesh, of an incident in its own record. Pure. */
import { NOTHING_STANDS, troubleAfter, withCause, withEpisode, type Standing } from '../causes/named.ts'
import type { Decision } from '../cluster/decision.ts'
import type { Incident } from '../protocol/records.ts'
import { KEYS } from '../protocol/records.ts'
import { WHOLE_MESH, type Episode, type TroubleRecord } from '../protocol/trouble.ts'
import type { Known } from './known.ts'

export function recordTroubles(known: Known): Decision<never>[] {
  const { cluster, memory, meshStanding, ended } = known
  const late = ended ? recordEnded(ended, known) : []
  const out = late.length > 0 ? late : record(WHOLE_MESH, meshStanding, known)
  const room = MOST_WRITING - [...known.writing].filter((key) => key.startsWith(KEYS.troubles)).length
  for (const { name } of cluster.hosts) {
    if (out.length >= room) break
    const { standing } = memory.of(name)
    if (standing !== NOTHING_STANDS) out.push(...record(name, standing, known))
  }
  return out
}

/** A switch that fails is a trouble of hundreds of hosts at once: what the store is needed for more does not queue
 *  behind that. */
const MOST_WRITING = 8

function record(name: string, standing: Standing, known: Known): Decision<never>[] {
  const { cluster, nowMs, at } = known
  const before = cluster.troubles.get(name)?.value
  const isOver = cluster.liveIncident(name) !== undefined
  const value = troubleAfter(before, standing, { nowMs, at, isOver })
  return value ? write(name, value, known) : []
}

/** Nobody could write while it lasted. */
const recordEnded = (ended: Episode, known: Known): Decision<never>[] =>
  write(WHOLE_MESH, withEpisode(known.cluster.troubles.get(WHOLE_MESH)?.value, ended), known)

/** A record that cannot be read stays as it is: its index is unknown, and a write that always conflicts would have the
 *  store read again and again, while nothing is fenced. */
function write(name: string, value: TroubleRecord, { cluster, writing }: Known): Decision<never>[] {
  const key = KEYS.troubles + name
  if (writing.has(key) || cluster.broken.has(key)) return []
  return [{ changes: [{ key, value, index: cluster.troubles.get(name)?.index ?? 0 }] }]
}

/** How long another cause must stand first before it is written to the record. */
const NOTE_AFTER_MS = 3_000

/** The incident with the cause that stands first now, where the record does not name it yet: once it has stood
 *  for a while, and at the proof at once where nothing was named before. */
export function noted(incident: Incident, before: Incident, known: Known): Incident {
  if (before.proof !== null) return incident
  const { standing } = known.memory.of(incident.host)
  // A BMC that comes back with the proof says nothing of why it was away.
  const isLast = incident.proof !== null && (incident.causes ?? []).length === 0
  const isNamed = isLast || known.nowMs - standing.sinceMs >= NOTE_AFTER_MS
  const causes = isNamed ? withCause(incident.causes ?? [], standing.first, known.at) : undefined
  return causes ? { ...incident, causes } : incident
}

/** What is named at once when an incident begins. */
export const firstNoted = (host: string, { memory, at }: Known): Incident['causes'] =>
  withCause([], memory.of(host).standing.first, at)
