/** What the leader remembers of the evidence: since when a host is silent, how often it came back, since when a
 *  majority withholds its lease. The only place that writes the memory from evidence, once in each tick; whatever
 *  decides, or answers a question, reads it. */
import { afterEvacuation, NOT_DRAINING, observeIntents } from '../evacuate/knowledge.ts'
import { afterIncident } from '../fence/knowledge.ts'
import { expireErrands } from '../evacuate/errands.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { TICKET_MS } from '../protocol/timing.ts'
import { isQuiet, type Verdict } from '../verdict/assess.ts'
import { lifeVeto } from '../verdict/conditions.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { findCut } from '../verdict/cut.ts'
import type { Known } from './known.ts'
import { suspectsOf } from './leader-context.ts'
import type { ArbiterMemory } from './memory.ts'
import { unfitFor } from './plane-policy.ts'

export function observe(memory: ArbiterMemory, known: Known): void {
  const { cluster, nowMs, view } = known
  for (const host of cluster.hosts) {
    observeIncident(memory, host.name, known)
    observeSilence(memory, host, known)
  }
  for (const { value } of cluster.incidents.values()) if (!isOver(value)) observeLease(memory, value, known)

  if (memory.errands.size > 0) memory.errands = expireErrands(memory.errands, nowMs)
  const { limits } = view
  const { isCut } = findCut(suspectsOf(known), { nowMs, hosts: cluster.hosts.length, limits, cutAtMs: undefined })
  if (isCut) memory.cutAtMs = nowMs
}

/** What was found out about one incident says nothing about the next; it is forgotten once the store says that the
 *  incident is over. */
function observeIncident(memory: ArbiterMemory, host: string, { cluster, nowMs }: Known): void {
  const live = cluster.liveIncident(host)?.value.id
  const { incident, drain } = memory.of(host)
  if (live === undefined && incident === undefined && drain === NOT_DRAINING) return
  const about = memory.open(host)

  if (incident !== live) {
    about.alerts.clear()
    if (incident !== undefined) {
      about.fence = afterIncident(about.fence)
      about.evacuation = afterEvacuation(about.evacuation)
    }
    about.incident = live
  }
  if (live !== undefined) {
    const intents = cluster.intentsOf(live).map(({ value }) => value)
    about.evacuation = observeIntents(about.evacuation, intents, nowMs)
  }
  // A listing of an earlier drain says nothing about the next.
  if (cluster.holds.get(host)?.value.kind !== 'drain' || live !== undefined)
    about.drain = { ...about.drain, listing: undefined }
}

function observeSilence(memory: ArbiterMemory, host: Member, { cluster, view }: Known): void {
  const { nowMs, limits } = view
  const { quietSinceMs } = memory.of(host.name)
  if (isQuiet(host, view)) {
    const about = memory.open(host.name)
    about.quietSinceMs ??= nowMs
    const isSoft = lifeVeto(host, view, undefined)?.kind === 'soft'
    about.softSinceMs = isSoft ? (about.softSinceMs ?? nowMs) : undefined
    return
  }

  if (quietSinceMs === undefined) return
  const about = memory.open(host.name)
  if (nowMs - quietSinceMs > limits.suspectMs)
    about.flaps = [...about.flaps.filter((atMs) => nowMs - atMs <= limits.flapWindowMs), nowMs]
  // The next silence is a new failure.
  if (!cluster.liveIncident(host.name)) about.alerts.clear()
  about.quietSinceMs = about.softSinceMs = undefined
}

/** Since when a majority of the arbiters is seen to withhold the lease of the host, without a sign of life in
 *  between. */
function observeLease(memory: ArbiterMemory, { host, bootId }: Incident, { cluster, view, name }: Known): void {
  const { evidence, nowMs, limits } = view
  const about = memory.open(host)
  const heardMs = evidence.heardAgeMs(host, nowMs)
  if (heardMs !== undefined && heardMs <= limits.vetoMs) about.fence = { ...about.fence, withheldSinceMs: undefined }

  const boot = evidence.lastBoot(host, cluster.memberOf(host))
  if (boot === undefined || boot.watchdogMs === null || boot.id !== bootId) return
  const others = cluster.arbiters.filter((arbiter) => arbiter !== name)
  const withholding = evidence.withholding(host, others, { nowMs, maxAgeMs: TICKET_MS }).length + 1
  const isMajority = withholding >= Math.floor(cluster.arbiters.length / 2) + 1
  if (isMajority && about.fence.withheldSinceMs === undefined) about.fence = { ...about.fence, withheldSinceMs: nowMs }
}

/** Since when a living host is useless to its guests, by the verdicts of this tick. */
export function observePlaneLoss(memory: ArbiterMemory, known: Known): void {
  const { cluster, verdicts, nowMs } = known
  for (const verdict of verdicts.values()) {
    if (!isJudgedByPlanes(verdict) || cluster.liveIncident(verdict.host)) continue
    const action = unfitFor(verdict, known)
    const { unfit } = memory.of(verdict.host)
    if (unfit?.action !== action) memory.open(verdict.host).unfit = action && { action, sinceMs: nowMs }
  }
}

const isJudgedByPlanes = ({ state }: Verdict) => state === 'healthy' || state === 'degraded'
