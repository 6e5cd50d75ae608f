/** A host that lives, and whose lost planes make its guests useless where they are. By the table of planes and by the
 *  policy it is emptied, or asked to stop its guests and then switched off. Nothing is done against its word: it must
 *  agree itself. Pure. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import { isCooperative } from '../fence/states.ts'
import { holdKey, type Hold } from '../protocol/records.ts'
import { permissions, type Verdict } from '../verdict/assess.ts'
import { deathsAllowed } from '../verdict/cut.ts'
import { isUnfit, type UnfitAction } from '../verdict/planes.ts'
import type { Known } from './known.ts'
import { contextOf, type SharedContext } from './leader-context.ts'
import { openingOf } from './opening.ts'

/** How long it must last, by what the table says. */
const WAIT_MS: Readonly<Record<UnfitAction, number>> = { 'stop guests': 3_000, isolated: 30_000, unreachable: 60_000 }
const LOST: Readonly<Record<UnfitAction, string>> = {
  'stop guests': 'it has lost its storage',
  isolated: 'it is cut off from all but its storage',
  unreachable: 'its guests cannot be reached',
}

/** What the table and the policy say about a living host; undefined: it is left alone. */
export function unfitFor(
  { host, action }: Pick<Verdict, 'host' | 'action'>,
  { view, cluster }: Known,
): UnfitAction | undefined {
  const self = view.evidence.selfOf(host)
  const policy = cluster.policy.value
  if (self?.state !== 'member') return undefined
  // It says so itself, and its peers agree.
  if (action === 'stop guests') return self.storageLost ? action : undefined
  if (action === 'isolated') return policy.isolated === 'fence' ? action : undefined
  return action === 'unreachable' && policy.tenantLost === 'drain' ? action : undefined
}

/** What is done about a living host that has been unfit for long enough. */
export function decidePlaneLoss(verdict: Verdict, known: Known, shared: SharedContext): Decision<never> {
  const { host } = verdict
  const { unfit } = known.memory.of(host)
  if (!unfit || known.nowMs - unfit.sinceMs < WAIT_MS[unfit.action]) return {}
  const { action } = unfit
  if (action === 'unreachable') return drain(host, known, shared)

  const lost = LOST[action]
  const wrong = forbidden(host, { known, shared }, action)
  if (wrong) return { alerts: [alertOf(host, action, `${lost} and is left alone: ${wrong}`)] }
  if (known.cluster.policy.value.dryRun)
    return { alerts: [alertOf(host, `dry run ${action}`, `dry run: would stop the guests of ${host}: ${lost}`)] }
  if (!known.view.evidence.selfOf(host)?.consents)
    return { alerts: [alertOf(host, `asked ${action}`, `${lost}, and is asked to stop its guests`)] }
  return openingOf(
    { ...verdict, says: `${lost}; it stopped its guests and agreed to be switched off` },
    { cause: action === 'isolated' ? 'isolated' : 'storage' },
    known,
  )
}

/** Hosts that the leader wants to stop their guests, of those whose verdict is that they are useless. Found once in a
 *  tick; the reply to each heartbeat looks it up. */
export function hostsToStop(known: Known, shared: SharedContext): ReadonlySet<string> {
  const out = new Set<string>()
  if (known.cluster.policy.value.dryRun) return out
  for (const { host, action } of known.verdicts.values())
    if (isUnfit(action) && mustStop({ host, action }, known, shared)) out.add(host)
  return out
}

function mustStop({ host, action }: Pick<Verdict, 'host' | 'action'>, known: Known, shared: SharedContext): boolean {
  // Asked for as long as it is pursued, by whoever leads: consent that nobody asks for any more is taken back.
  const incident = known.cluster.liveIncident(host)?.value
  if (incident) return isCooperative(incident) && incident.proof === null
  const { unfit } = known.memory.of(host)
  if (!unfit || unfit.action === 'unreachable' || action !== unfit.action) return false
  if (known.nowMs - unfit.sinceMs < WAIT_MS[unfit.action]) return false
  return forbidden(host, { known, shared }, unfit.action) === undefined
}

/** What speaks against stopping the guests of a host that lives: the leader, the policy, or that so many have the same
 *  failure that it is elsewhere. */
function forbidden(
  host: string,
  { known, shared }: { known: Known; shared: SharedContext },
  action: UnfitAction,
): string | undefined {
  if (haveMany(action, known, shared)) return 'so have others'
  const member = known.cluster.memberOf(host)
  if (!member) return 'it is no member'
  const wrong = permissions(member, known.view, contextOf(member, known, shared)).filter(({ holds }) => !holds)
  return wrong.map(({ says }) => says).join(', ') || undefined
}

function haveMany(action: UnfitAction, { cluster, verdicts, view }: Known, { storageSick }: SharedContext): boolean {
  if (action === 'stop guests') return storageSick
  const same = cluster.hosts.filter(({ name }) => verdicts.get(name)?.action === action).length
  return same > deathsAllowed(view.limits, cluster.hosts.length)
}

/** The hold stays when the plane comes back: whether it may have instances again is for a person to say. */
function drain(host: string, known: Known, shared: SharedContext): Decision<never> {
  const { policy, holds } = known.cluster
  const key = holdKey(host)
  if (holds.has(host) || known.writing.has(key)) return {}
  const wrong = !policy.value.armed
    ? 'the mesh is disarmed'
    : haveMany('unreachable', known, shared)
      ? 'neither can those of others'
      : undefined
  if (wrong) return { alerts: [alertOf(host, 'unreachable', `${LOST.unreachable}, and it is not drained: ${wrong}`)] }
  if (policy.value.dryRun)
    return { alerts: [alertOf(host, 'dry run drain', `dry run: would drain ${host}: ${LOST.unreachable}`)] }

  const value: Hold = { kind: 'drain', why: 'its tenant plane is down', by: 'rackward', seconds: null }
  return {
    changes: [{ key, value, index: 0 }],
    guards: [{ key: policy.key, index: policy.index }],
    alertsOnceStored: [alertOf(host, 'draining', `${host} is drained: ${LOST.unreachable}`)],
  }
}
