/** Evidence -> what a host is taken for, with every condition and what it found. Pure: simulator, model check and
 *  production run this. */
import type { Condition, Veto } from './conditions.ts'
import { heartbeatSilence, lifeVeto, peerSilence, planeStates, storageSilence } from './conditions.ts'
import { seconds, type View } from './view.ts'
import { cutCondition, type CutFinding } from './cut.ts'
import type { Member, Plane } from '../protocol/heartbeat.ts'
import { planeAction, type PlaneAction, type PlaneState, type PlaneStates } from './planes.ts'

export type VerdictState = 'healthy' | 'degraded' | 'suspect' | 'held' | 'confirmed'

export interface Verdict {
  readonly host: string
  readonly state: VerdictState
  readonly conditions: readonly Condition[]
  readonly veto: Veto | undefined
  readonly planes: Readonly<Record<Plane, PlaneState>>
  readonly action: PlaneAction
  /** One sentence: why, or why not. */
  readonly says: string
}

/** The leader's own position: what it knows beside the evidence. */
export interface LeaderContext {
  /** Undefined: this arbiter does not lead. */
  readonly lease: { readonly leftMs: number; readonly ageMs: number; readonly storeOkAgeMs: number } | undefined
  /** Why this host must be left alone: maintenance, a deploy, a planned leave. */
  readonly hold: string | undefined
  /** Why the mesh fences nobody: disarmed. */
  readonly disarmed: string | undefined
  /** Why no further host may be fenced now: the budget. */
  readonly spent: string | undefined
  /** Whether something can take its most important instance. */
  readonly capacity: { readonly fits: boolean; readonly says: string }
  /** What all hosts that are silent now have in common. */
  readonly cut: CutFinding
  /** Its BMC says twice that it is off. */
  readonly provenOff: boolean
  /** Doubles with each flap, up to 8. */
  readonly factor: number
  /** Since when only forgeable signs of life have held up the fence; given only where the policy limits that. */
  readonly softSinceMs: number | undefined
  /** The storage fails for more hosts than deaths explain. */
  readonly storageSick: boolean
  /** How many of the other hosts the leader hears, silent ones within the limit of a cut left out. */
  readonly reach: { readonly heard: number; readonly of: number }
}

/** Cheap: whether a host is silent enough at the leader to be looked at closely. */
export const isQuiet = (host: Member, view: View): boolean =>
  (view.evidence.heardAgeMs(host.name, view.nowMs) ?? view.uptimeMs) >= view.limits.suspectMs

/** The verdict on a host that is heard: its planes alone can be wrong. Cheap, for the many. */
export function heardFrom(host: Member, planes: PlaneStates): Verdict {
  const { action, because } = planeAction(planes)
  return {
    host: host.name,
    conditions: NO_CONDITIONS,
    veto: undefined,
    planes,
    action,
    state: action === 'none' ? 'healthy' : 'degraded',
    says: because,
  }
}

const NO_CONDITIONS: readonly Condition[] = []

export function assess(host: Member, view: View, context: LeaderContext): Verdict {
  const veto = lifeVeto(host, view, context.softSinceMs)
  const quiet = isQuiet(host, view)
  const conditions = [
    ...deathConditions(host, view, context),
    {
      id: 'C4' as const,
      holds: !veto,
      says: veto ? `${veto.says} ${seconds(veto.ageMs)} ago (${veto.kind} veto)` : 'no sign of life',
    },
    cutCondition(context, context.cut),
    ...permissions(host, view, context),
    { id: 'C8' as const, holds: context.capacity.fits, says: context.capacity.says },
  ]
  const planes = planeStates(host, view)
  const dead = conditions.filter(({ id }) => DEATH.has(id)).every(({ holds }) => holds)
  const allowed = conditions.filter(({ id }) => PERMISSION.has(id)).every(({ holds }) => holds)
  const { action, because } = planeAction(planes)
  const base = { host: host.name, conditions, veto, planes, action }
  if (!quiet && !context.provenOff) return { ...base, state: action === 'none' ? 'healthy' : 'degraded', says: because }
  if (dead && allowed) return { ...base, state: 'confirmed', says: 'silent everywhere, and nothing speaks against it' }
  const against = conditions.filter(({ id, holds }) => !holds && id !== 'C8').map(({ id, says }) => `${id}: ${says}`)
  return { ...base, state: dead ? 'held' : 'suspect', says: against.join(' | ') }
}

/** Whether the leader and the policy allow acting on this host at all: C6 and C7. */
export const permissions = (host: Member, view: View, context: LeaderContext): Condition[] => [
  leaderCondition(view, context),
  policyCondition(host, view, context),
]

/** What makes it dead, and what makes acting on that permissible. C8 is told and never forbids: a fence protects data
 *  even where nothing can be moved. */
const DEATH = new Set(['C1', 'C2', 'C3', 'C4'])
const PERMISSION = new Set(['C5', 'C6', 'C7'])

/** A BMC that says twice that the machine is off makes waiting for silence needless; it never overrules a sign of
 *  life. */
function deathConditions(host: Member, view: View, context: LeaderContext): Condition[] {
  const found = [
    heartbeatSilence(host, view, context.factor),
    peerSilence(host, view),
    storageSilence(host, view, context.storageSick),
  ]
  if (!context.provenOff) return found
  return found.map((condition) =>
    condition.holds
      ? condition
      : { ...condition, holds: true, says: `its BMC says twice that it is off (${condition.says})` },
  )
}

function leaderCondition(view: View, { lease, reach }: Pick<LeaderContext, 'lease' | 'reach'>): Condition {
  if (!lease) return { id: 'C6', holds: false, says: `${view.evidence.owner} does not lead` }
  const { limits } = view
  const wrong = [
    ...(lease.leftMs < limits.leaseLeftMs ? [`its lease has ${seconds(lease.leftMs)} left`] : []),
    ...(lease.storeOkAgeMs > limits.vetoMs * 2
      ? [`the store last took a write ${seconds(lease.storeOkAgeMs)} ago`]
      : []),
    ...(reach.of > 0 && (reach.heard === 0 || reach.heard < limits.leaderReach * reach.of)
      ? [`it hears only ${reach.heard} of ${reach.of} other hosts`]
      : []),
  ]
  return {
    id: 'C6',
    holds: wrong.length === 0,
    says:
      wrong.join(', ') ||
      `${view.evidence.owner} leads, ${seconds(lease.leftMs)} left, hears ${reach.heard} of ${reach.of} other hosts`,
  }
}

/** By its own record, which an arbiter has that heard nothing of the boot that left. */
const hasLeft = ({ name, boot }: Member, { evidence }: View) =>
  boot?.leaving === true && (evidence.bootOf(name)?.bootId ?? boot.id) === boot.id

function policyCondition(
  host: Member,
  view: View,
  context: Pick<LeaderContext, 'lease' | 'disarmed' | 'hold' | 'spent'>,
): Condition {
  const self = view.evidence.selfOf(host.name)
  const young = context.lease && context.lease.ageMs < view.limits.leaderAgeMs
  const wrong = [
    ...(context.disarmed ? [context.disarmed] : []),
    ...(context.hold ? [context.hold] : []),
    ...(context.spent ? [context.spent] : []),
    ...(self?.state === 'leaving' || hasLeft(host, view) ? ['it said that it leaves'] : []),
    ...(view.evidence.isDumping(host.name, view.nowMs, view.limits) ? ['it writes a crash dump (fence_kdump)'] : []),
    ...(self?.gate === 'none' ? ['it has no boot gate: it could start its guests again by itself'] : []),
    ...(young ? ['the leader is new and still watches'] : []),
  ]
  return { id: 'C7', holds: wrong.length === 0, says: wrong.join(', ') || 'armed, and nothing holds it' }
}
