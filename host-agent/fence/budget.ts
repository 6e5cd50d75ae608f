/** How many hosts may be fenced: at once, in one rack, and within the window. Counted from the incidents in the store,
 *  whoever led when they happened. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import type { Versioned } from '../cluster/versioned.ts'
import type { Limits } from '../protocol/limits.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import type { Member } from '../protocol/heartbeat.ts'

/** Why no further host may be fenced now; undefined: the budget is not spent. */
export function budgetSpent(
  host: Member,
  { cluster, limits }: { cluster: ClusterState; limits: Limits },
  nowMs: number,
): string | undefined {
  const others = [...cluster.incidents.values()].filter(({ value }) => value.host !== host.name)
  const fencing = others.filter(({ value }) => isBeingFenced(value))
  const rackOf = ({ host: name }: Incident) => cluster.memberOf(name)?.rack ?? name
  const inRack = fencing.filter(({ value }) => rackOf(value) === (host.rack ?? host.name))
  if (fencing.length >= limits.fencingAtOnce) return `${fencing.length} hosts are being fenced at this moment`
  if (inRack.length >= limits.fencingAtOncePerRack)
    return `${inRack.length} hosts of its rack are being fenced at this moment`

  const fenced = others.filter((incident) => countsAsFenced(incident, limits, nowMs)).length
  const allowed = allowedFences(cluster, limits)
  return fenced >= allowed
    ? `${fenced} of ${allowed} hosts were fenced in the last ${limits.fenceWindowMs / 60_000} minutes`
    : undefined
}

const allowedFences = (cluster: ClusterState, limits: Limits): number =>
  Math.min(limits.fenceCap, Math.max(1, Math.floor(limits.fenceShare * cluster.hosts.length)))

/** How much of the budget is spent, for people. */
export function budgetAccount(cluster: ClusterState, limits: Limits, nowMs: number) {
  const incidents = [...cluster.incidents.values()]
  return {
    fenced: incidents.filter((incident) => countsAsFenced(incident, limits, nowMs)).length,
    allowed: allowedFences(cluster, limits),
    window_seconds: limits.fenceWindowMs / 1000,
    being_fenced: incidents.filter(({ value }) => isBeingFenced(value)).length,
    at_once: limits.fencingAtOnce,
  }
}

const isBeingFenced = ({ state }: Incident) => state === 'confirmed' || state === 'fencing' || state === 'fence failed'

/** A host that is about to be fenced counts as well. */
const countsAsFenced = ({ value, firstMs }: Versioned<Incident>, limits: Limits, nowMs: number) =>
  isOver(value) ? value.offs > 0 && nowMs - firstMs < limits.fenceWindowMs : value.offs > 0 || value.proof === null
