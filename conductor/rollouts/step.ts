/** What a roll-out does next: which nodes begin, what the stage of each needs, when it stops. Pure. */
import type { Phase } from '../node/workflow/arrows.ts'
import { STATES, type State } from '../node/workflow/states.ts'
import { ARBITER, VERBS, type PlanItem, type Roll, type Stage } from './plan.ts'
import type { SiteAct } from './site-acts.ts'
import type { RolloutState, TurnState } from './states.ts'

export interface Rollout {
  readonly state: RolloutState
  readonly roll: Roll
  /** Failures that an operator has accepted. */
  readonly forgiven: number
  readonly canariesDoneAtMs: number | null
  readonly why: string | null
  /** What is still to be done before the first node is begun. */
  readonly acts?: readonly SiteAct[]
}

/** One node of a roll-out. */
export interface NodeTurn {
  readonly state: TurnState
  readonly position: number
  readonly item: PlanItem
  /** The stage of the moment. */
  readonly stage: number
  /** Of the node: chosen before it is created. */
  readonly nodeUuid: string
  /** Generation of the node before the verb of the stage is sent; null: it was not sent. */
  readonly mark: number | null
  readonly why: string | null
}

export type Deed<T extends NodeTurn> =
  | { readonly do: 'begin' | 'go on'; readonly turn: T }
  | { readonly do: 'act'; readonly act: SiteAct }
  | { readonly do: 'stop'; readonly why: string }
  | { readonly do: 'canaries done' | 'finish' }

export function deedsOf<T extends NodeTurn>(rollout: Rollout, turns: readonly T[], nowMs: number): Deed<T>[] {
  if (rollout.state !== 'running') return []
  const [act] = rollout.acts ?? []
  if (act) return [{ do: 'act', act }]
  const { roll } = rollout
  const failed = turns.filter(({ state }) => state === 'failed')
  const canaries = new Set(roll.canaries)
  const isCanary = ({ item }: NodeTurn) => canaries.has(item.node)
  const failedCanary = failed.find(isCanary)
  if (failedCanary && rollout.forgiven < failed.length)
    return [{ do: 'stop', why: `the canary ${failedCanary.item.node} failed: ${failedCanary.why}` }]
  if (failed.length - rollout.forgiven >= roll.stop_after)
    return [
      {
        do: 'stop',
        why: `${failed.length} nodes failed; the last: ${failed.at(-1)?.item.node}: ${failed.at(-1)?.why}`,
      },
    ]

  const lost = failed.find(({ item }) => item.role === ARBITER)
  if (
    lost &&
    rollout.forgiven < failed.length &&
    turns.some(({ state, item }) => state === 'waiting' && item.role === ARBITER)
  )
    return [{ do: 'stop', why: `the arbiter ${lost.item.node} failed, and another one would be next: ${lost.why}` }]

  const running = turns.filter(({ state }) => state === 'running')
  const waiting = turns.filter(({ state }) => state === 'waiting').toSorted((a, b) => a.position - b.position)
  if (running.length + waiting.length === 0) return [{ do: 'finish' }]
  const goOn = running.map((turn) => ({ do: 'go on', turn }) as const)
  const canariesOpen = [...running, ...waiting].some(isCanary)
  const hasCanaries = turns.some(isCanary)
  if (hasCanaries && !canariesOpen && rollout.canariesDoneAtMs === null) return [...goOn, { do: 'canaries done' }]
  const isHeld = rollout.canariesDoneAtMs !== null && nowMs < rollout.canariesDoneAtMs + roll.hold_seconds * 1000
  const mayBegin = canariesOpen ? waiting.filter(isCanary) : isHeld ? [] : waiting
  return [...goOn, ...chosen(mayBegin, running, roll).map((turn) => ({ do: 'begin', turn }) as const)]
}

/** As many as may run at once, in all, of each rack and of each role. */
function chosen<T extends NodeTurn>(mayBegin: readonly T[], running: readonly NodeTurn[], roll: Roll): T[] {
  const perRack = new Map<string, number>()
  const perRole = new Map<string, number>()
  const add = (counts: Map<string, number>, key: string) => void counts.set(key, (counts.get(key) ?? 0) + 1)
  for (const { item } of running) {
    add(perRack, item.rack)
    if (item.role !== undefined) add(perRole, item.role)
  }
  const begun: T[] = []
  for (const turn of mayBegin) {
    if (running.length + begun.length >= roll.at_once) break
    const inRack = perRack.get(turn.item.rack) ?? 0
    if (roll.at_once_per_rack !== null && inRack >= roll.at_once_per_rack) continue
    const { role } = turn.item
    if (role !== undefined && (perRole.get(role) ?? 0) >= atOnceOf(role, roll)) continue
    add(perRack, turn.item.rack)
    if (role !== undefined) add(perRole, role)
    begun.push(turn)
  }
  return begun
}

/** Of three arbiters, two must be there. */
const atOnceOf = (role: string, { at_once_per_role: limits = {} }: Roll): number =>
  role === ARBITER ? 1 : Object.hasOwn(limits, role) ? (limits[role] ?? 1) : Infinity

/** What is seen of the node of a turn. */
export interface NodeFacts {
  readonly provisionState: State
  readonly generation: number
  readonly phase: Phase
  readonly isLocked: boolean
  readonly lastError: string | null
}

export type Verdict =
  /** The generation is recorded first: a verb that was sent is known by another one, whoever asks later. */
  | { readonly next: 'mark'; readonly mark: number }
  | { readonly next: 'send' | 'wait' | 'next' | 'finish' }
  | { readonly next: 'fail'; readonly why: string }

/** What the present stage needs. The same after an interruption at any point. */
export function verdictOf({ item, stage: index, mark }: NodeTurn, facts: NodeFacts | undefined): Verdict {
  const stage: Stage | undefined = item.stages[index]
  if (!stage) return { next: 'finish' }
  // Requests that set something may be sent twice.
  if (stage.do !== 'verb') return { next: 'send' }
  if (!facts) return { next: 'fail', why: 'the node was deleted' }
  if (mark === null) return facts.isLocked ? { next: 'wait' } : { next: 'mark', mark: facts.generation }
  if (facts.generation === mark) return { next: facts.isLocked ? 'wait' : 'send' }
  const { kind } = STATES[facts.provisionState]
  if (facts.isLocked || kind === 'working' || kind === 'waiting' || kind === 'held' || facts.phase !== 'rest')
    return { next: 'wait' }
  if (facts.provisionState === VERBS[stage.verb]) return { next: 'next' }
  return {
    next: 'fail',
    why: `${stage.verb}: it is ${facts.provisionState}: ${facts.lastError ?? 'somebody else acted on it'}`,
  }
}
