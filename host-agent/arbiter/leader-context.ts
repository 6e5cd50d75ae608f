/** What the leader knows beside the evidence: what silent hosts have in common, what forbids, whether the budget is
 *  spent, where there is room. Pure. */
import type { SilentTogether } from '../causes/facts.ts'
import { capacityFor, type Target } from '../evacuate/plan.ts'
import { budgetSpent } from '../fence/budget.ts'
import { isProvenOff } from '../fence/knowledge.ts'
import { isQuiet, type LeaderContext } from '../verdict/assess.ts'
import { deathsAllowed, findCut, type CutFinding, type Suspect } from '../verdict/cut.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { leaseLeftMs, targetsOnce, type Known } from './known.ts'
import { patienceFor } from './memory.ts'

/** What is the same for all hosts at one moment. */
export interface SharedContext {
  /** Hosts that are silent and that nothing explains: no incident, no hold. */
  readonly suspects: ReadonlyMap<string, Suspect>
  readonly cut: CutFinding
  /** The storage fails for more hosts than deaths explain: it is the storage. */
  readonly storageSick: boolean
  /** Hosts that are not known to be gone, and those of them that this arbiter hears. */
  readonly present: ReadonlySet<string>
  readonly heard: ReadonlySet<string>
  readonly targets: () => readonly Target[] | undefined
  /** The suspects that make the cut; undefined: there is none. */
  readonly together: () => SilentTogether | undefined
}

export function sharedContext(known: Known): SharedContext {
  const { view, cluster, nowMs, memory } = known
  const { evidence, limits, gone } = view
  const present = new Set<string>()
  const heard = new Set<string>()
  let storageLost = 0
  for (const { name } of cluster.hosts) {
    const held = evidence.newest(name)
    if (held?.heartbeat.self.storageLost) storageLost += 1
    if (gone.has(name)) continue
    present.add(name)
    if (held && nowMs - held.atMs <= limits.vetoMs) heard.add(name)
  }

  const suspects = suspectsOf(known)
  const hosts = cluster.hosts.length
  const cut = findCut(suspects, { nowMs, hosts, limits, cutAtMs: memory.cutAtMs })
  return {
    suspects: new Map(suspects.map((suspect) => [suspect.host, suspect])),
    cut,
    storageSick: storageLost > deathsAllowed(limits, hosts),
    present,
    heard,
    targets: targetsOnce(known),
    together: togetherOnce(cut, suspects),
  }
}

/** Hosts of a cut that are told by name. */
const MOST_NAMED = 12

/** Found once in a tick, however many hosts are silent. */
function togetherOnce(cut: CutFinding, suspects: readonly Suspect[]): SharedContext['together'] {
  let found: SilentTogether | undefined
  return () => {
    if (!cut.isCut || found) return found
    const all = suspects.filter(({ provenOff }) => !provenOff)
    const racks = new Set(all.map(({ rack }) => rack))
    const [rack = null] = racks
    found = {
      count: all.length,
      hosts: all.slice(0, MOST_NAMED).map(({ host }) => host),
      rack: racks.size === 1 ? rack : null,
    }
    return found
  }
}

export function suspectsOf({ view, cluster, memory, nowMs }: Known): Suspect[] {
  const out: Suspect[] = []
  for (const host of cluster.hosts) {
    const { quietSinceMs, fence } = memory.of(host.name)
    if (quietSinceMs === undefined || !isQuiet(host, view)) continue
    const incident = cluster.liveIncident(host.name)
    if ((incident && incident.value.state !== 'confirmed') || cluster.holdOf(host.name)) continue
    out.push({ host: host.name, rack: host.rack, sinceMs: quietSinceMs, provenOff: isProvenOff(fence, nowMs) })
  }
  return out
}

export function contextOf(host: Member, known: Known, shared: SharedContext): LeaderContext {
  const { view, cluster, nowMs } = known
  const memory = known.memory.of(host.name)
  const hold = cluster.holdOf(host.name)
  const policy = cluster.policy.value
  const instances = known.memory.inventory.value?.instances[host.name]
  return {
    cut: shared.cut,
    provenOff: shared.suspects.get(host.name)?.provenOff ?? false,
    lease: leaseOf(known),
    hold: hold ? `${hold.kind}: ${hold.why} (${hold.by})` : undefined,
    disarmed: policy.armed ? undefined : `the mesh is disarmed: ${policy.why} (${policy.by})`,
    spent: isProvenOff(memory.fence, nowMs) ? undefined : budgetSpent(host, { cluster, limits: view.limits }, nowMs),
    capacity: instances
      ? capacityFor(instances, shared.targets())
      : { fits: true, says: 'its instances are not known' },
    factor: patienceFor(memory, view.limits, nowMs),
    softSinceMs: policy.agentLost === 'fence' ? memory.softSinceMs : undefined,
    storageSick: shared.storageSick,
    reach: reachOf(host, known, shared),
  }
}

function leaseOf(known: Known): LeaderContext['lease'] {
  const { lease, nowMs, leaderSinceMs } = known
  return lease && lease.endsMs > nowMs
    ? { leftMs: leaseLeftMs(known), ageMs: nowMs - leaderSinceMs, storeOkAgeMs: nowMs - lease.storeOkMs }
    : undefined
}

/** As many as may be deaths are not held against the leader. */
function reachOf(
  { name }: Member,
  { cluster, view }: Known,
  { present, heard }: SharedContext,
): LeaderContext['reach'] {
  const others = present.size - (present.has(name) ? 1 : 0)
  const heardOthers = heard.size - (heard.has(name) ? 1 : 0)
  const excused = Math.min(others - heardOthers, deathsAllowed(view.limits, cluster.hosts.length))
  return { heard: heardOthers, of: others - excused }
}
