/** What the leader knows beside the evidence, for one host: who else is silent, what forbids, whether the budget is spent, where there is room. */
import { capacityFor, type Target } from '../evacuate/plan.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { isQuiet, type LeaderContext } from '../verdict/assess.ts'
import type { View } from '../verdict/conditions.ts'
import type { Suspect } from '../verdict/cut.ts'
import type { BootRecord, Member } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'

/** Hosts that are silent and that nothing explains: no incident, no hold. Reads what was observed. */
export function suspectsOf(core: ArbiterState, view: View): Suspect[] {
  const out: Suspect[] = []
  for (const host of core.cluster.hosts) {
    const post = core.remembered(host.name)
    if (post.quietSinceMs === undefined || !isQuiet(host, view)) continue
    const incident = core.cluster.liveIncident(host.name)
    if ((incident && incident.value.state !== 'confirmed') || core.cluster.holdOf(host.name)) continue
    out.push({ host: host.name, rack: host.rack, sinceMs: post.quietSinceMs, provenOff: post.provenOff(view.nowMs) })
  }
  return out
}

/** What is the same for all hosts at one moment. */
export interface Shared extends Pick<LeaderContext, 'suspects' | 'cut' | 'storageSick'> {
  /** Hosts that are not known to be gone, and those of them that this arbiter hears. */
  readonly present: ReadonlySet<string>
  readonly heard: ReadonlySet<string>
  readonly targets: () => Target[] | undefined
}

export function sharedOf(core: ArbiterState, view: View): Shared {
  const { nowMs } = view
  const present = new Set<string>()
  const heard = new Set<string>()
  for (const { name } of core.cluster.hosts) {
    if (view.gone.has(name)) continue
    present.add(name)
    if ((core.evidence.heardAgeMs(name, nowMs) ?? Number.POSITIVE_INFINITY) <= view.limits.vetoMs) heard.add(name)
  }
  const suspects = suspectsOf(core, view)
  const cut = { nowMs, hosts: core.cluster.hosts.length, limits: core.limits, cutAtMs: core.cutAtMs }
  let targets: { found: Target[] | undefined } | undefined
  return {
    suspects,
    cut,
    storageSick: storageSick(core),
    present,
    heard,
    targets: () => (targets ??= { found: targetsFor(core, nowMs) }).found,
  }
}

export function standingOf(core: ArbiterState, host: Member, at: { view: View; shared: Shared }): LeaderContext {
  const { view, shared } = at
  const { nowMs } = view
  const post = core.remembered(host.name)
  const hold = core.cluster.holdOf(host.name)
  const policy = core.cluster.policy.value
  const others = shared.present.size - (shared.present.has(host.name) ? 1 : 0)
  const heard = shared.heard.size - (shared.heard.has(host.name) ? 1 : 0)
  const excused = Math.min(
    others - heard,
    Math.max(view.limits.cutHosts, Math.floor(view.limits.cutShare * core.cluster.hosts.length)),
  )
  const instances = core.survey?.instances[host.name]
  return {
    suspects: shared.suspects,
    cut: shared.cut,
    lease:
      core.lease && core.leads(nowMs)
        ? {
            leftMs: core.leaseLeftMs(nowMs),
            ageMs: nowMs - core.leaderSinceMs,
            storeOkAgeMs: nowMs - core.lease.storeOkMs,
          }
        : undefined,
    hold: hold ? `${hold.kind}: ${hold.why} (${hold.by})` : undefined,
    disarmed: policy.armed ? undefined : `the mesh is disarmed: ${policy.why} (${policy.by})`,
    spent: post.provenOff(nowMs) ? undefined : spent(core, host, nowMs),
    capacity: instances
      ? capacityFor(instances, shared.targets())
      : { fits: true, says: 'its instances are not known' },
    factor: post.factor(nowMs, view.limits),
    softSinceMs: policy.agentLost === 'fence' ? post.softSinceMs : undefined,
    storageSick: shared.storageSick,
    reach: { heard, of: others - excused },
  }
}

/** The storage fails for more hosts than deaths explain: it is the storage. */
function storageSick(core: ArbiterState): boolean {
  let lost = 0
  for (const { name } of core.cluster.hosts) if (core.evidence.selfOf(name)?.storageLost) lost += 1
  return lost > Math.max(core.limits.cutHosts, Math.floor(core.limits.cutShare * core.cluster.hosts.length))
}

/** As this arbiter heard it, or, where it was not there to hear it, as the host wrote it to the store. */
export function lastBoot(core: ArbiterState, host: string): Pick<BootRecord, 'id' | 'watchdogMs'> | undefined {
  const heard = core.evidence.bootOf(host)
  return heard
    ? { id: heard.bootId, watchdogMs: core.evidence.selfOf(host)?.watchdogMs ?? null }
    : core.cluster.memberOf(host)?.boot
}

/** I7: counted from the incidents in the store, whoever led when they happened. */
function spent(core: ArbiterState, host: Member, nowMs: number): string | undefined {
  const { limits, cluster } = core
  const others = [...cluster.incidents.values()].filter(({ value }) => value.host !== host.name)
  const fencing = others
    .filter(({ value }) => value.state === 'confirmed' || value.state === 'fencing' || value.state === 'fence failed')
    .map(({ value }) => value)
  const rackOf = (incident: Incident) => cluster.members.get(incident.host)?.value.rack ?? incident.host
  if (fencing.length >= limits.fencingAtOnce) return `${fencing.length} hosts are being fenced at this moment`
  if (fencing.filter((incident) => rackOf(incident) === (host.rack ?? host.name)).length >= limits.fencingAtOncePerRack)
    return 'two hosts of its rack are being fenced at this moment'
  // One that is about to be fenced counts as well.
  const counts = (incident: Incident, firstMs: number) =>
    isOver(incident)
      ? incident.offs > 0 && nowMs - firstMs < limits.fenceWindowMs
      : incident.offs > 0 || incident.proof === null
  const fenced = others.filter(({ value, firstMs }) => counts(value, firstMs)).length
  const allowed = Math.min(limits.fenceCap, Math.max(1, Math.floor(limits.fenceShare * cluster.hosts.length)))
  return fenced >= allowed
    ? `${fenced} of ${allowed} hosts were fenced in the last ${limits.fenceWindowMs / 60_000} minutes`
    : undefined
}

export function targetsFor(core: ArbiterState, nowMs: number): Target[] | undefined {
  const { survey, cluster, evidence } = core
  if (!survey?.targets) return undefined
  const good = survey.targets.filter(({ host }) => {
    const member = cluster.memberOf(host)
    if (!member || member.role !== 'host' || cluster.liveIncident(host) || cluster.holds.has(host)) return false
    const self = evidence.selfOf(host)
    // Nothing is sent to a host that is not wholly well.
    if ((core.verdicts.get(host)?.action ?? 'none') !== 'none') return false
    return (
      self !== undefined &&
      (evidence.heardAgeMs(host, nowMs) ?? Number.POSITIVE_INFINITY) <= core.limits.vetoMs &&
      self.state === 'member' &&
      !self.storageLost
    )
  })
  return good.map(({ host, freeMb }) => ({
    host,
    freeMb,
    reserved: cluster.members.get(host)?.value.reserved ?? false,
    groups: new Set((survey.instances[host] ?? []).flatMap(({ group }) => (group === null ? [] : [group]))),
  }))
}
