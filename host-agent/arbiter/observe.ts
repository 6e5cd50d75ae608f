/** What the leader remembers from one look to the next: since when a host is silent, how often it came back, since when a majority withholds its lease.
 *  The only place that writes this, once in each tick; whatever decides, or answers a question, reads it. */
import { TICKET_MS } from '../protocol/timing.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { isQuiet } from '../verdict/assess.ts'
import { lifeVeto, type View } from '../verdict/conditions.ts'
import type { Member } from '../protocol/heartbeat.ts'
import type { ArbiterState } from './state.ts'
import { lastBoot } from './leader-context.ts'

export function observe(core: ArbiterState, view: View): void {
  for (const host of core.cluster.hosts) {
    observeIncident(core, host.name)
    observeSilence(core, host, view)
  }
  for (const { value } of core.cluster.incidents.values()) if (!isOver(value)) observeLease(core, value, view)
}

/** What was found out about one incident says nothing about the next; it is forgotten once the store says that the incident is over. */
function observeIncident(core: ArbiterState, host: string): void {
  const post = core.post(host)
  const live = core.cluster.liveIncident(host)?.value.id
  if (post.incident !== undefined && post.incident !== live) post.reset()
  post.incident = live
}

function observeSilence(core: ArbiterState, host: Member, view: View): void {
  const { nowMs, limits } = view
  const post = core.post(host.name)

  if (isQuiet(host, view)) {
    post.quietSinceMs ??= nowMs
    const soft = lifeVeto(host, view, undefined)?.kind === 'soft'
    post.softSinceMs = soft ? (post.softSinceMs ?? nowMs) : undefined
    return
  }

  if (post.quietSinceMs === undefined) return
  if (nowMs - post.quietSinceMs > limits.suspectMs)
    post.flaps = [...post.flaps.filter((atMs) => nowMs - atMs <= limits.flapWindowMs), nowMs]
  // The next time that it falls silent is another trouble.
  if (!core.cluster.liveIncident(host.name)) post.pages.clear()
  post.quietSinceMs = post.softSinceMs = undefined
}

/** Since when a majority of the arbiters is seen to grant the host of an incident nothing, without a sign of life in between. */
function observeLease(core: ArbiterState, incident: Incident, { nowMs, limits }: View): void {
  const { cluster, evidence } = core
  const post = core.post(incident.host)
  const heardMs = evidence.heardAgeMs(incident.host, nowMs)
  if (heardMs !== undefined && heardMs <= limits.vetoMs) post.withheldAtMs = undefined

  const boot = lastBoot(core, incident.host)
  if (boot === undefined || boot.watchdogMs === null || boot.id !== incident.bootId) return
  const others = cluster.arbiters.filter((name) => name !== core.name)
  const withholding = evidence.withholding(incident.host, others, { nowMs, maxAgeMs: TICKET_MS }).length + 1
  if (withholding >= Math.floor(cluster.arbiters.length / 2) + 1) post.withheldAtMs ??= nowMs
}
