/** The conditions C1 to C4 of a confirmed death: what each found, in words. Pure. */
import type { Member, Plane } from '../protocol/heartbeat.ts'
import type { PlaneState } from './planes.ts'
import { seconds, type View } from './view.ts'

export type ConditionId = 'C1' | 'C2' | 'C3' | 'C4' | 'C5' | 'C6' | 'C7' | 'C8'

export interface Condition {
  readonly id: ConditionId
  readonly holds: boolean
  /** What was found, for a person. */
  readonly says: string
  /** C1: how long ago each arbiter heard the host. */
  readonly heardAgesMs?: Readonly<Record<string, number>>
  /** C2: who hears the host on which plane. */
  readonly observers?: readonly PlaneFinding[]
}

/** C1: no heartbeat at a majority of the arbiters, each by its own fresh statement. */
export function heartbeatSilence(host: Member, view: View, factor: number): Condition {
  const { evidence, nowMs, limits, arbiters } = view
  const wanted = limits.silentMs * factor
  const found = arbiters.map((arbiter) => {
    if (arbiter === evidence.owner) return { arbiter, ageMs: evidence.heardAgeMs(host.name, nowMs) ?? view.uptimeMs }
    const statement = evidence.attested(arbiter, host.name, nowMs)
    if (!statement || statement.reportMs > limits.reportMs) return { arbiter, ageMs: undefined }
    // An arbiter that has only just started has heard nobody; that is no silence.
    return { arbiter, ageMs: statement.silentMs ?? (statement.settled ? Number.POSITIVE_INFINITY : undefined) }
  })
  const silent = found.filter(({ ageMs }) => ageMs !== undefined && ageMs >= wanted).length
  const needed = Math.floor(arbiters.length / 2) + 1
  const ages = found
    .map(({ arbiter, ageMs }) => `${arbiter} ${ageMs === undefined ? 'says nothing' : seconds(ageMs)}`)
    .join(', ')
  return {
    id: 'C1',
    holds: silent >= needed,
    says: `last heartbeat, by arbiter: ${ages}; silent for ${seconds(wanted)} at ${silent} of ${needed} needed`,
    heardAgesMs: Object.fromEntries(
      found.flatMap(({ arbiter, ageMs }) => (Number.isFinite(ageMs) ? [[arbiter, ageMs as number]] : [])),
    ),
  }
}

export interface PlaneFinding {
  readonly plane: Plane
  readonly silent: readonly string[]
  readonly answered: readonly string[]
  /** Observers that say nothing worth hearing: stale, slow, or blind on this plane themselves. */
  readonly mute: readonly string[]
}

/** What the observers that can be believed say of one plane of a host. */
export function planeFinding(host: Member, plane: Plane, view: View): PlaneFinding {
  const out = { plane, silent: [] as string[], answered: [] as string[], mute: [] as string[] }
  for (const observer of view.observersOf(host)) {
    if (view.gone.has(observer)) continue
    const held = view.evidence.newest(observer)
    const misses = held?.heartbeat.peers[host.name]?.planes[plane]?.misses
    if (!held || misses === undefined || view.nowMs - held.atMs > view.limits.reportMs) {
      out.mute.push(observer)
      continue
    }
    if (misses < view.limits.misses) out.answered.push(observer)
    else if (isBelievable(observer, { plane, about: host.name }, view)) out.silent.push(observer)
    else out.mute.push(observer)
  }
  return out
}

/** A plane is down when more believable observers find it silent than hear it. In the tick of every host that is heard,
 *  so it counts and collects nothing. */
export function planeStates(host: Member, view: View): Record<Plane, PlaneState> {
  const { evidence, gone, limits, nowMs } = view
  const balance = { management: NOBODY, storage: NOBODY, tenant: NOBODY }
  for (const observer of view.observersOf(host)) {
    const held = evidence.newest(observer)
    if (!held || nowMs - held.atMs > limits.reportMs || gone.has(observer)) continue
    const sights = held.heartbeat.peers[host.name]?.planes
    if (!sights) continue
    for (const plane of host.planes) {
      const misses = sights[plane]?.misses
      if (misses === undefined) continue
      const before = balance[plane] === NOBODY ? 0 : balance[plane]
      if (misses < limits.misses) balance[plane] = before - 1
      else if (isBelievable(observer, { plane, about: host.name }, view)) balance[plane] = before + 1
    }
  }
  const state = (plane: Plane): PlaneState => {
    if (!host.planes.includes(plane)) return 'up'
    if (balance[plane] === NOBODY) return 'unknown'
    return balance[plane] > 0 ? 'down' : 'up'
  }
  return { management: state('management'), storage: state('storage'), tenant: state('tenant') }
}
/** No observer says anything of the plane. */
const NOBODY = Number.NEGATIVE_INFINITY

/** An observer that is slow, or that reaches few others on the plane, tells more about itself than about its target. */
function isBelievable(observer: string, about: { plane: Plane; about: string }, view: View): boolean {
  const heartbeat = view.evidence.heartbeatOf(observer)
  if (!heartbeat || heartbeat.self.lagMs > view.limits.observerLagMs || heartbeat.self.strained) return false
  let [seen, reached] = [0, 0]
  for (const name in heartbeat.peers) {
    const sight = heartbeat.peers[name]?.planes[about.plane]
    if (!sight || name === about.about || view.gone.has(name)) continue
    seen += 1
    if (sight.misses < view.limits.misses) reached += 1
  }
  // One more that is silent may be dead as well: a pair of deaths must not blind everybody.
  return seen > 0 && reached > 0 && reached >= view.limits.observerReach * (seen - 1)
}

/** C2: on every plane that the host has, enough observers in enough failure domains find it silent. */
export function peerSilence(host: Member, view: View): Condition {
  const findings = host.planes.map((plane) => planeFinding(host, plane, view))
  // The host's own domain is no other, whoever else is in it.
  const own = host.rack ?? host.name
  const others = view.domains.size - (view.domains.has(own) ? 1 : 0)
  const judged = findings.map(({ plane, silent, answered, mute }) => {
    const asked = silent.length + answered.length + mute.length
    const needed = Math.max(2, Math.ceil((asked < 8 ? view.limits.quorumSmall : view.limits.quorum) * asked))
    const domains = new Set(silent.map(view.domainOf))
    domains.delete(own)
    const spread = domains.size >= Math.min(2, others)
    return {
      holds: silent.length >= needed && spread,
      says: `${plane}: silent for ${silent.length} of ${asked} observers (${needed} needed)${tail(mute, spread)}`,
    }
  })
  return {
    id: 'C2',
    holds: judged.length > 0 && judged.every(({ holds }) => holds),
    says: judged.map(({ says }) => says).join('; ') || 'the host has no plane',
    observers: findings,
  }
}

const tail = (mute: readonly string[], spread: boolean) =>
  `${mute.length > 0 ? `, not counted: ${mute.join(', ')}` : ''}${spread ? '' : ', all in the host’s own failure domain'}`

/** C3: the storage heartbeat stands still while reading works. `storageSick`: the storage fails for many, so it says
 *  nothing about one. */
export function storageSilence(host: Member, view: View, storageSick: boolean): Condition {
  if (!host.writesStorageHeartbeat) return { id: 'C3', holds: true, says: 'the host writes no storage heartbeat' }
  if (storageSick)
    return { id: 'C3', holds: true, says: 'the storage fails for many hosts at once, so its heartbeat is ignored' }
  const views = view.evidence.storageHeartbeatOf(host.name, view.observersOf(host), view.nowMs)
  const reading = views.filter(({ readingMs }) => readingMs >= view.limits.tickMs)
  if (reading.length === 0)
    return {
      id: 'C3',
      holds: false,
      says: 'nobody could read the storage for long enough to say whether the storage heartbeat stands still',
    }
  const fresh = Math.min(...reading.map(({ staleMs }) => staleMs))
  return {
    id: 'C3',
    holds: fresh >= view.limits.tickMs,
    says: `the storage heartbeat last advanced ${seconds(fresh)} ago, by ${reading.length} readers`,
  }
}

export interface Veto {
  readonly kind: 'hard' | 'soft'
  readonly says: string
  readonly ageMs: number
}

/** C4: any fresh sign of life forbids. `softSinceMs`: since when signs that anybody could forge have held it up alone;
 *  given only where the policy lets them hold it up no longer than `softVetoMs`. */
export function lifeVeto(host: Member, view: View, softSinceMs: number | undefined): Veto | undefined {
  const { evidence, nowMs, limits, arbiters } = view
  const observers = view.observersOf(host)
  const life = evidence.newestLife(host.name, observers, { nowMs, arbiters })
  if (life && nowMs - life.atMs <= limits.vetoMs) return { kind: 'hard', says: life.how, ageMs: nowMs - life.atMs }
  const hint = evidence.newestHint(host.name, observers)
  if (!hint || nowMs - hint.atMs > limits.vetoMs) return undefined
  if (softSinceMs !== undefined && nowMs - softSinceMs > limits.softVetoMs) return undefined
  return { kind: 'soft', says: hint.how, ageMs: nowMs - hint.atMs }
}
