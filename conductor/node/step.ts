/** (record, event, now) -> record. Pure: no clock, no port, no await. Everything that moves a node is here. */
import { findArrow } from '../../kit/arrows.ts'
import type { FaultCode } from '../../kit/fault.ts'
import { NODE_ARROWS, type NodeEvent, type Phase, type Verb } from './arrows.ts'
import { effectsOf, skipsClean, usesAgent } from './effects.ts'
import { isLocked, lockedWhy, orderId, type AgentRecord, type Effect, type NodeRecord, type OrderKind, type PowerState, type PowerTarget } from './record.ts'
import { STATES } from './states.ts'

export interface Settings {
  /** How long a node may take from power-on to the agent's first word. */
  readonly callbackTimeoutMs: number
  /** How long an agent may be silent while it works. */
  readonly agentSilenceMs: number
  /** How long an idle agent is kept running for the next order; 0: not at all. */
  readonly parkMs: number
  /** Boots per order when the agent is lost half-way. */
  readonly maxAttempts: number
  readonly effectTries: number
  readonly effectRetryMs: number
}

export interface FaultNote {
  readonly code: FaultCode
  readonly text: string
  readonly retry: boolean
}

export type StepEvent =
  | { readonly type: 'verb'; readonly verb: Verb; readonly patch?: Partial<NodeRecord>; readonly warm: boolean }
  | { readonly type: 'power'; readonly target: PowerTarget }
  | { readonly type: 'effect-done'; readonly effect: Effect; readonly found?: { powerState?: PowerState; imageId?: string } }
  | { readonly type: 'effect-failed'; readonly effect: Effect; readonly fault: FaultNote }
  | { readonly type: 'hello'; readonly agent: AgentRecord }
  | { readonly type: 'agent-done'; readonly orderId: string; readonly patch?: Partial<NodeRecord> }
  | { readonly type: 'agent-failed'; readonly orderId: string; readonly fault: FaultNote }
  /** `agentSeen`: the agent of this order had said hello; `lastSeen`: what was last seen of the node, for a person. */
  | { readonly type: 'deadline'; readonly agentSeen: boolean; readonly lastSeen: string }

export type Stepped = { readonly node: NodeRecord } | { readonly refused: FaultCode; readonly why: string }

const VERB_ORDER: Partial<Record<Verb, OrderKind>> = {
  inspect: 'inspect',
  provide: 'clean',
  clean: 'clean',
  delete: 'clean',
  deploy: 'deploy',
  rebuild: 'deploy',
}

export function step(node: NodeRecord, event: StepEvent, at: { nowMs: number; settings: Settings }): Stepped {
  switch (event.type) {
    case 'verb':
      return onVerb(node, event, at)
    case 'power':
      return onPower(node, event.target, at)
    case 'effect-done':
      return onEffectDone(node, event, at)
    case 'effect-failed':
      return onEffectFailed(node, event, at)
    case 'hello':
      return onHello(node, event.agent, at)
    case 'agent-done':
      return onAgentDone(node, event, at)
    case 'agent-failed':
      if (event.orderId !== orderId(node) || STATES[node.provisionState].kind !== 'waiting') return stale(event.orderId)
      return { node: fail(node, event.fault, at) }
    case 'deadline':
      return onDeadline(node, event, at)
  }
}

type At = { nowMs: number; settings: Settings }
type Of<T extends StepEvent['type']> = Extract<StepEvent, { type: T }>

function onVerb(node: NodeRecord, { verb, patch, warm }: Of<'verb'>, at: At): Stepped {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (!findArrow(NODE_ARROWS, node.provisionState, verb)) {
    return { refused: 'node.state', why: `the verb ${verb} is not allowed while node ${node.uuid} is in state "${node.provisionState}"` }
  }
  const order = VERB_ORDER[verb] ?? null
  const cleaningTo = verb === 'clean' ? 'manageable' : 'available'
  const machine = { ...node.machine, generation: node.machine.generation + 1, attempt: 1, order, cleaningTo, imageId: null } as const
  const began = { ...node, ...patch, machine, lastError: null, lastFault: null }
  const moved = move(began, verb, { ...at, warm })
  if (verb === 'abort') return { node: { ...moved, lastError: `the operator aborted it while it was in state "${node.provisionState}"` } }
  // Taking an instance away is nothing but cleaning: Ironic's two states are passed in one step.
  return { node: verb === 'delete' ? move(moved, 'clean', { ...at, warm }) : moved }
}

function onPower(node: NodeRecord, target: PowerTarget, at: At): Stepped {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (node.provisionState === 'cleaning' || node.provisionState === 'clean wait')
    return { refused: 'node.state', why: `the power of node ${node.uuid} cannot be changed in state "${node.provisionState}"` }
  const owed: Effect[] =
    target === 'rebooting'
      ? [
          { do: 'power', to: 'power off' },
          { do: 'power', to: 'power on' },
        ]
      : [{ do: 'power', to: target }]
  return { node: { ...node, targetPowerState: target, lastError: null, lastFault: null, machine: { ...node.machine, owed, tries: 0, retryAtMs: at.nowMs } } }
}

function onEffectDone(node: NodeRecord, { effect, found }: Of<'effect-done'>, at: At): Stepped {
  const [head, ...rest] = node.machine.owed
  if (!head || !sameEffect(head, effect)) return { refused: 'store.stale', why: `the effect ${effect.do} is not owed` }
  const machine = { ...node.machine, owed: rest, tries: 0, retryAtMs: at.nowMs, imageId: found?.imageId ?? node.machine.imageId }
  const powered = effect.do === 'power' ? { powerState: effect.to, ...(effect.to === 'power off' ? { agent: null } : {}) } : {}
  const next: NodeRecord = { ...node, machine, ...powered, ...(found?.powerState ? { powerState: found.powerState } : {}) }
  return { node: rest.length > 0 ? next : performed({ ...next, targetPowerState: null }, at) }
}

function onHello(node: NodeRecord, agent: AgentRecord, at: At): Stepped {
  // The answer to the first asking got lost, with the connection or with the conductor.
  if (node.agent?.sessionHash === agent.sessionHash && node.agent.tokenMs === agent.tokenMs) return { node }
  if (agent.generation !== node.machine.generation)
    return { refused: 'agent.token', why: `the boot token is of boot ${agent.generation}, the node is at ${node.machine.generation}` }
  if (agent.tokenMs <= node.machine.lastTokenMs) return { refused: 'agent.token', why: 'the boot token was used already, or a newer one was' }
  const machine = { ...deadline(node, at.nowMs + at.settings.agentSilenceMs), lastTokenMs: agent.tokenMs }
  return { node: { ...node, agent, machine } }
}

/** Everything that was owed is done. */
function performed(node: NodeRecord, at: At): NodeRecord {
  if (STATES[node.provisionState].kind !== 'working') return node
  const boots = node.machine.phase === 'boot' && usesAgent(node) && !skipsClean(node)
  if (boots) return move(node, 'wait', at)
  return node.machine.phase === 'boot' ? finishOrder(node, at) : move({ ...node, lastError: null }, 'done', at)
}

function onEffectFailed(node: NodeRecord, { effect, fault }: Of<'effect-failed'>, at: At): Stepped {
  const head = node.machine.owed[0]
  if (!head || !sameEffect(head, effect)) return { refused: 'store.stale', why: `the effect ${effect.do} is not owed` }
  const tries = node.machine.tries + 1
  if (fault.retry && tries < at.settings.effectTries) {
    const machine = { ...node.machine, tries, retryAtMs: at.nowMs + at.settings.effectRetryMs * 2 ** (tries - 1) }
    return { node: { ...node, machine, lastError: fault.text } }
  }
  const dropped: NodeRecord = { ...node, targetPowerState: null, machine: { ...node.machine, owed: [], tries: 0 } }
  if (STATES[node.provisionState].kind !== 'working') return { node: blame(dropped, fault, at) }
  return { node: fail(dropped, fault, at) }
}

function onAgentDone(node: NodeRecord, event: Of<'agent-done'>, at: At): Stepped {
  if (event.orderId !== orderId(node) || STATES[node.provisionState].kind !== 'waiting') return stale(event.orderId)
  return { node: finishOrder({ ...node, ...event.patch }, at) }
}

/** Cleaning ends where the verb wanted to; everything else by its own arrow. */
function finishOrder(node: NodeRecord, at: At): NodeRecord {
  const cleaning = node.provisionState === 'cleaning' || node.provisionState === 'clean wait'
  // What went wrong on the way was mended; the events keep it.
  return move({ ...node, lastError: null }, cleaning && node.machine.cleaningTo === 'manageable' ? 'manage' : 'done', at)
}

function onDeadline(node: NodeRecord, event: Of<'deadline'>, at: At): Stepped {
  if (node.machine.deadlineMs === null || node.machine.deadlineMs > at.nowMs) return { node }
  if (STATES[node.provisionState].kind !== 'waiting') return { node: unpark(node, at) }
  const lost = event.agentSeen && node.machine.attempt < at.settings.maxAttempts
  if (lost) {
    const machine = { ...node.machine, generation: node.machine.generation + 1, attempt: node.machine.attempt + 1 }
    return {
      node: move({ ...node, agent: null, machine, lastError: `the agent was lost (${event.lastSeen}); trying again` }, 'resume', { ...at, warm: false }),
    }
  }
  const what = event.agentSeen ? 'the agent fell silent' : 'the node never called back'
  const fault: FaultNote = { code: 'node.timeout', retry: true, text: `${what}; last seen: ${event.lastSeen}` }
  const failed = fail({ ...node, agent: null }, fault, at)
  // Whatever runs on the node now must not go on writing behind our back.
  return { node: enter(failed, 'halt', { ...at, warm: false }) }
}

/** The idle agent's time is over: power off, and the next order boots the node. */
function unpark(node: NodeRecord, at: At): NodeRecord {
  return node.agent && !isLocked(node)
    ? enter({ ...node, agent: null }, 'halt', { ...at, warm: false })
    : { ...node, machine: { ...node.machine, deadlineMs: null } }
}

/** Follows one arrow, which must exist. */
function move(node: NodeRecord, on: NodeEvent, at: At & { warm?: boolean }): NodeRecord {
  const arrow = findArrow(NODE_ARROWS, node.provisionState, on)
  if (!arrow) throw new Error(`no arrow from ${node.provisionState} on ${on}`)
  const from = STATES[node.provisionState].kind
  const machine = from === 'stable' || from === 'failed' ? { ...node.machine, sinceMs: at.nowMs } : node.machine
  return enter({ ...node, provisionState: arrow.to, provisionUpdatedAtMs: at.nowMs, machine }, arrow.phase, { ...at, warm: at.warm ?? false })
}

function enter(node: NodeRecord, phase: Phase, at: At & { warm: boolean }): NodeRecord {
  const owed = effectsOf(phase, node, at.warm)
  const machine = { ...node.machine, phase, owed, tries: 0, retryAtMs: at.nowMs, deadlineMs: deadlineOf(node, phase, at) }
  const agent = owed.some((effect) => effect.do === 'power' && effect.to === 'power off') ? null : node.agent
  const entered = { ...node, machine, agent }
  // A warm boot owes nothing, so it is performed already.
  return phase === 'boot' && owed.length === 0 ? performed(entered, at) : settle(entered, at)
}

/** At rest, an agent that is still there is parked, or switched off where parking is not wanted. */
function settle(node: NodeRecord, at: At): NodeRecord {
  const idle = node.machine.phase === 'rest' && node.agent !== null && STATES[node.provisionState].kind !== 'working'
  if (!idle || node.provisionState === 'active' || at.settings.parkMs > 0) return node
  return enter(node, 'halt', { ...at, warm: false })
}

function deadlineOf(node: NodeRecord, phase: Phase, at: At): number | null {
  if (phase === 'agent') return at.nowMs + (node.agent ? at.settings.agentSilenceMs : at.settings.callbackTimeoutMs)
  return phase === 'rest' && node.agent ? at.nowMs + at.settings.parkMs : null
}

const deadline = (node: NodeRecord, deadlineMs: number) => (node.machine.phase === 'agent' ? { ...node.machine, deadlineMs } : node.machine)

function fail(node: NodeRecord, fault: FaultNote, at: At): NodeRecord {
  return move(blame(node, fault, at), 'fail', at)
}

const blame = (node: NodeRecord, fault: FaultNote, at: At): NodeRecord => ({ ...node, lastError: fault.text, lastFault: { code: fault.code, atMs: at.nowMs } })

const stale = (id: string): Stepped => ({ refused: 'store.stale', why: `order ${id} is not the node's present order` })

const sameEffect = (a: Effect, b: Effect): boolean => JSON.stringify(a) === JSON.stringify(b)
