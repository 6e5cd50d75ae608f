/** A host that lives, and whose lost planes make its guests useless where they are. By the table of planes and by the policy it is emptied, or asked to stop
 *  its guests and then switched off. Nothing is done against its word: it must agree itself. */
import { isCooperative } from '../fence/states.ts'
import { permissions, type Verdict } from '../verdict/assess.ts'
import type { View } from '../verdict/conditions.ts'
import { isUnfit } from '../verdict/planes.ts'
import type { ArbiterState } from './state.ts'
import { openIncident } from './open-incident.ts'
import { holdKey } from '../protocol/records.ts'
import { sharedOf, standingOf, type Shared } from './leader-context.ts'

/** How long it must last, by what the table says. */
const WAIT_MS = { 'stop guests': 3_000, isolated: 30_000, unreachable: 60_000 } as const
type Unfit = keyof typeof WAIT_MS
const LOST: Readonly<Record<Unfit, string>> = {
  'stop guests': 'it has lost its storage',
  isolated: 'it is cut off from all but its storage',
  unreachable: 'its guests cannot be reached',
}

interface At {
  readonly view: View
  readonly shared: () => Shared
}

/** What all hosts share is looked up once, and only when something needs it. */
export function shareOnce(core: ArbiterState, view: View): () => Shared {
  let shared: Shared | undefined
  return () => (shared ??= sharedOf(core, view))
}

export function reactToUnfit(core: ArbiterState, verdict: Verdict, at: At): void {
  const { nowMs } = at.view
  const post = core.post(verdict.host)
  const action = unfitFor(core, verdict)
  if (post.unfit?.action !== action) post.unfit = action && { action, sinceMs: nowMs }
  if (!action || nowMs - (post.unfit?.sinceMs ?? nowMs) < WAIT_MS[action]) return
  if (action === 'unreachable') return drain(core, verdict.host, at)
  const wrong = forbidden(core, verdict.host, { action, ...at })
  if (wrong) return core.page(verdict.host, action, `${LOST[action]} and is left alone: ${wrong}`)
  if (core.cluster.policy.value.dryRun)
    return core.page(
      verdict.host,
      `dry run ${action}`,
      `dry run: would stop the guests of ${verdict.host}: ${LOST[action]}`,
    )
  if (!core.evidence.selfOf(verdict.host)?.consents)
    return core.page(verdict.host, `asked ${action}`, `${LOST[action]}, and is asked to stop its guests`)
  openIncident(
    core,
    { ...verdict, says: `${LOST[action]}; it stopped its guests and agreed to be switched off` },
    { cause: action === 'isolated' ? 'isolated' : 'storage', nowMs },
  )
}

/** Hosts that the leader wants to stop their guests, of those whose last verdict is that they are useless. Found once in a tick; the answer to each heartbeat looks it up. */
export function hostsToStop(core: ArbiterState, view: View): Set<string> {
  const out = new Set<string>()
  if (core.cluster.policy.value.dryRun) return out
  const shared = shareOnce(core, view)
  for (const { host, action } of core.verdicts.values())
    if (isUnfit(action) && mustStop(core, { host, action }, { view, shared })) out.add(host)
  return out
}

function mustStop(core: ArbiterState, { host, action }: Pick<Verdict, 'host' | 'action'>, at: At): boolean {
  // Asked for as long as it is pursued, by whoever leads: a word that nobody asks for any more is taken back.
  const incident = core.cluster.liveIncident(host)?.value
  if (incident) return isCooperative(incident) && incident.proof === null
  const { unfit } = core.remembered(host)
  if (!unfit || (unfit.action !== 'stop guests' && unfit.action !== 'isolated')) return false
  if (at.view.nowMs - unfit.sinceMs < WAIT_MS[unfit.action] || action !== unfit.action) return false
  return forbidden(core, host, { action: unfit.action, ...at }) === undefined
}

function unfitFor(core: ArbiterState, { host, action }: Pick<Verdict, 'host' | 'action'>): Unfit | undefined {
  const self = core.evidence.selfOf(host)
  const policy = core.cluster.policy.value
  if (self?.state !== 'member') return undefined
  // It says so itself, and its peers agree.
  if (action === 'stop guests') return self.storageLost ? action : undefined
  if (action === 'isolated') return policy.isolated === 'fence' ? action : undefined
  return action === 'unreachable' && policy.tenantLost === 'drain' ? action : undefined
}

/** What speaks against stopping the guests of a host that lives: the leader, the policy, or that so many have the same trouble that the trouble is elsewhere. */
function forbidden(core: ArbiterState, host: string, about: At & { action: Unfit }): string | undefined {
  const { action, view } = about
  const shared = about.shared()
  if (hasMany(core, action, shared)) return 'so have others'
  const member = core.cluster.memberOf(host)
  if (!member) return 'it is no member'
  const wrong = permissions(member, view, standingOf(core, member, { view, shared })).filter(({ holds }) => !holds)
  return wrong.map(({ says }) => says).join(', ') || undefined
}

function hasMany(core: ArbiterState, action: Unfit, shared: Shared): boolean {
  if (action === 'stop guests') return shared.storageSick
  const { limits, cluster } = core
  const same = cluster.hosts.filter(({ name }) => core.verdicts.get(name)?.action === action).length
  return same > Math.max(limits.cutHosts, Math.floor(limits.cutShare * cluster.hosts.length))
}

/** The hold stays when the plane comes back: whether it may have instances again is for a person to say. */
function drain(core: ArbiterState, host: string, { view: { nowMs }, shared }: At): void {
  const { policy, holds } = core.cluster
  if (holds.has(host)) return
  const wrong = !policy.value.armed
    ? 'the mesh is disarmed'
    : hasMany(core, 'unreachable', shared())
      ? 'neither can those of others'
      : undefined
  if (wrong) return core.page(host, 'unreachable', `${LOST.unreachable}, and it is not drained: ${wrong}`)
  if (policy.value.dryRun) return core.page(host, 'dry run drain', `dry run: would drain ${host}: ${LOST.unreachable}`)
  const value = { kind: 'drain', why: 'its tenant plane is down', by: 'rackward', seconds: null }
  const guards = [{ key: policy.key, index: policy.index }]
  core.put(
    [{ key: holdKey(host), value, index: 0 }],
    { nowMs, guards },
    (ok) => ok && core.page(host, 'draining', `${host} is drained: ${LOST.unreachable}`),
  )
}
