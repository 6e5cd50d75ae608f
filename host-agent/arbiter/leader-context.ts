/** What the leader knows beside the evidence, for one host: who else is silent, what forbids, whether the budget is spent, where there is room. */
import { capacityFor, type Target } from '../evacuate/plan.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { isQuiet, type Standing } from '../verdict/assess.ts'
import type { Scene } from '../verdict/conditions.ts'
import type { Suspect } from '../verdict/cut.ts'
import type { BootRecord, Member } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'

/** Hosts that are silent and that nothing explains: no incident, no hold. Reads what was observed. */
export function suspectsOf(core: ArbiterState, scene: Scene): Suspect[] {
  const out: Suspect[] = []
  for (const host of core.shelf.hosts) {
    const post = core.remembered(host.name)
    if (post.quietSinceMs === undefined || !isQuiet(host, scene)) continue
    const incident = core.shelf.liveIncident(host.name)
    if ((incident && incident.value.state !== 'confirmed') || core.shelf.holdOf(host.name)) continue
    out.push({ host: host.name, rack: host.rack, sinceMs: post.quietSinceMs, provenOff: post.provenOff(scene.nowMs) })
  }
  return out
}

/** What is the same for all hosts at one moment. */
export interface Shared extends Pick<Standing, 'suspects' | 'cut' | 'storageSick'> {
  /** Hosts that are not known to be gone, and those of them that this arbiter hears. */
  readonly present: ReadonlySet<string>
  readonly heard: ReadonlySet<string>
  readonly targets: () => Target[] | undefined
}

export function sharedOf(core: ArbiterState, scene: Scene): Shared {
  const { nowMs } = scene
  const present = new Set<string>()
  const heard = new Set<string>()
  for (const { name } of core.shelf.hosts) {
    if (scene.gone.has(name)) continue
    present.add(name)
    if ((core.book.heardAgeMs(name, nowMs) ?? Number.POSITIVE_INFINITY) <= scene.limits.vetoMs) heard.add(name)
  }
  const suspects = suspectsOf(core, scene)
  const cut = { nowMs, hosts: core.shelf.hosts.length, limits: core.limits, cutAtMs: core.cutAtMs }
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

export function standingOf(core: ArbiterState, host: Member, at: { scene: Scene; shared: Shared }): Standing {
  const { scene, shared } = at
  const { nowMs } = scene
  const post = core.remembered(host.name)
  const hold = core.shelf.holdOf(host.name)
  const policy = core.shelf.policy.value
  const others = shared.present.size - (shared.present.has(host.name) ? 1 : 0)
  const heard = shared.heard.size - (shared.heard.has(host.name) ? 1 : 0)
  const excused = Math.min(
    others - heard,
    Math.max(scene.limits.cutHosts, Math.floor(scene.limits.cutShare * core.shelf.hosts.length)),
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
    factor: post.factor(nowMs, scene.limits),
    softSinceMs: policy.agentLost === 'fence' ? post.softSinceMs : undefined,
    storageSick: shared.storageSick,
    reach: { heard, of: others - excused },
  }
}

/** The storage fails for more hosts than deaths explain: it is the storage. */
function storageSick(core: ArbiterState): boolean {
  let lost = 0
  for (const { name } of core.shelf.hosts) if (core.book.selfOf(name)?.storageLost) lost += 1
  return lost > Math.max(core.limits.cutHosts, Math.floor(core.limits.cutShare * core.shelf.hosts.length))
}

/** As this arbiter heard it, or, where it was not there to hear it, as the host wrote it to the store. */
export function lastBoot(core: ArbiterState, host: string): Pick<BootRecord, 'id' | 'watchdogMs'> | undefined {
  const heard = core.book.bootOf(host)
  return heard
    ? { id: heard.bootId, watchdogMs: core.book.selfOf(host)?.watchdogMs ?? null }
    : core.shelf.memberOf(host)?.boot
}

/** I7: counted from the incidents in the store, whoever led when they happened. */
function spent(core: ArbiterState, host: Member, nowMs: number): string | undefined {
  const { limits, shelf } = core
  const others = [...shelf.incidents.values()].filter(({ value }) => value.host !== host.name)
  const fencing = others
    .filter(({ value }) => value.state === 'confirmed' || value.state === 'fencing' || value.state === 'fence failed')
    .map(({ value }) => value)
  const rackOf = (incident: Incident) => shelf.members.get(incident.host)?.value.rack ?? incident.host
  if (fencing.length >= limits.fencingAtOnce) return `${fencing.length} hosts are being fenced at this moment`
  if (fencing.filter((incident) => rackOf(incident) === (host.rack ?? host.name)).length >= limits.fencingAtOncePerRack)
    return 'two hosts of its rack are being fenced at this moment'
  // One that is about to be fenced counts as well.
  const counts = (incident: Incident, firstMs: number) =>
    isOver(incident)
      ? incident.offs > 0 && nowMs - firstMs < limits.fenceWindowMs
      : incident.offs > 0 || incident.proof === null
  const fenced = others.filter(({ value, firstMs }) => counts(value, firstMs)).length
  const allowed = Math.min(limits.fenceCap, Math.max(1, Math.floor(limits.fenceShare * shelf.hosts.length)))
  return fenced >= allowed
    ? `${fenced} of ${allowed} hosts were fenced in the last ${limits.fenceWindowMs / 60_000} minutes`
    : undefined
}

export function targetsFor(core: ArbiterState, nowMs: number): Target[] | undefined {
  const { survey, shelf, book } = core
  if (!survey?.targets) return undefined
  const good = survey.targets.filter(({ host }) => {
    const member = shelf.memberOf(host)
    if (!member || member.role !== 'host' || shelf.liveIncident(host) || shelf.holds.has(host)) return false
    const self = book.selfOf(host)
    // Nothing is sent to a host that is not wholly well.
    if ((core.verdicts.get(host)?.action ?? 'none') !== 'none') return false
    return (
      self !== undefined &&
      (book.heardAgeMs(host, nowMs) ?? Number.POSITIVE_INFINITY) <= core.limits.vetoMs &&
      self.state === 'member' &&
      !self.storageLost
    )
  })
  return good.map(({ host, freeMb }) => ({
    host,
    freeMb,
    reserved: shelf.members.get(host)?.value.reserved ?? false,
    groups: new Set((survey.instances[host] ?? []).flatMap(({ group }) => (group === null ? [] : [group]))),
  }))
}
