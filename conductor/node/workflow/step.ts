/** (record, event, now) -> record. Pure: no clock, no port, no await. Every event that can move a node is here; `flow.ts` has the moves. */
import { findArrow } from '../../../kit/arrows.ts'
import { Fault, type FaultCode } from '../../../kit/fault.ts'
import { NODE_ARROWS, type Verb } from './arrows.ts'
import { believes, ended } from './belief.ts'
import type { At, FaultNote } from './context.ts'
import { usesAgent } from './effects.ts'
import {
  advance,
  blame,
  enter,
  fail,
  keepsRunning,
  move,
  newBoot,
  nextStep,
  performed,
  saysHold,
  shift,
} from './flow.ts'
import {
  isLocked,
  lockedWhy,
  orderId,
  type AgentRecord,
  type Effect,
  type NodeRecord,
  type OrderKind,
  type PowerState,
  type PowerTarget,
} from '../record.ts'
import { NODE_FAULTS, STATES } from './states.ts'
import type { PlannedStep } from '../policy/steps.ts'

export type StepEvent =
  /** `warm`: the agent of the node was heard a moment ago. */
  | {
      readonly type: 'verb'
      readonly verb: Verb
      readonly patch?: Partial<NodeRecord>
      readonly warm: boolean
      readonly plan?: readonly PlannedStep[]
    }
  | { readonly type: 'power'; readonly target: PowerTarget; readonly timeoutMs?: number }
  | {
      readonly type: 'effect-done'
      readonly effect: Effect
      readonly owing: number
      readonly found?: { powerState?: PowerState; imageId?: string; patch?: Partial<NodeRecord> }
    }
  | { readonly type: 'effect-failed'; readonly effect: Effect; readonly owing: number; readonly fault: FaultNote }
  | { readonly type: 'hello'; readonly agent: AgentRecord }
  | { readonly type: 'agent-done'; readonly orderId: string; readonly patch?: Partial<NodeRecord> }
  | { readonly type: 'agent-failed'; readonly orderId: string; readonly fault: FaultNote }
  /** `agentSeen`: the agent of this order had said hello; `lastSeen`: what was last seen of the node, for a person. */
  | { readonly type: 'deadline'; readonly agentSeen: boolean; readonly lastSeen: string }
  /** The wall clock was set: what is counted by it moves along. */
  | { readonly type: 'clock-set'; readonly byMs: number }
  /** The power poll saw this. */
  | { readonly type: 'polled'; readonly power: PowerState; readonly owing: number }
  /** The power poll failed so often that the BMC counts as lost. */
  | { readonly type: 'poll-lost'; readonly fault: FaultNote }
  /** An operator breaks the lock: what is owed is given up. */
  | { readonly type: 'break-lock'; readonly why: string }

/** A refusal may come with a change all the same: who asks is refused, and the node is stopped. */
export type Stepped =
  { readonly node: NodeRecord } | { readonly refused: FaultCode; readonly why: string; readonly node?: NodeRecord }

const VERB_ORDER: Partial<Record<Verb, OrderKind>> = {
  inspect: 'inspect',
  provide: 'clean',
  clean: 'clean',
  delete: 'clean',
  deploy: 'deploy',
  rebuild: 'deploy',
  rescue: 'rescue',
  unrescue: 'unrescue',
  service: 'service',
  adopt: 'adopt',
}

export function step(node: NodeRecord, event: StepEvent, at: At): Stepped {
  switch (event.type) {
    case 'verb':
      return onVerb(node, event, at)
    case 'power':
      return onPower(node, event, at)
    case 'effect-done':
      return onEffectDone(node, event, at)
    case 'effect-failed':
      return onEffectFailed(node, event, at)
    case 'hello':
      return onHello(node, event.agent, at)
    case 'agent-done':
      return onAgentDone(node, event, at)
    case 'agent-failed':
      if (event.orderId !== orderId(node) || !believes(node, 'failed')) return stale(event.orderId)
      return isLocked(node) ? { refused: 'node.locked', why: lockedWhy(node) } : { node: fail(node, event.fault, at) }
    case 'deadline':
      return onDeadline(node, event, at)
    case 'clock-set':
      return { node: onClockSet(node, event.byMs) }
    case 'polled':
      return { node: onPolled(node, event) }
    case 'poll-lost':
      return { node: onPollLost(node, event.fault, at) }
    case 'break-lock':
      return onBreakLock(node, event.why, at)
  }
}

type Of<T extends StepEvent['type']> = Extract<StepEvent, { type: T }>

/** Why a node takes no such verb now. */
export function refusedVerb(
  node: NodeRecord,
  verb: Verb,
): { readonly refused: FaultCode; readonly why: string } | undefined {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (findArrow(NODE_ARROWS, node.provisionState, verb)) return undefined
  return {
    refused: 'node.state',
    why: `the verb ${verb} is not allowed while node ${node.uuid} is in state "${node.provisionState}"`,
  }
}

function onVerb(node: NodeRecord, event: Of<'verb'>, at: At): Stepped {
  const { verb } = event
  const refused = refusedVerb(node, verb)
  if (refused) return refused
  if (verb === 'unhold') return { node: advance(nextStep(shift(shift(node, 'unhold', at), 'resume', at)), at) }
  const cleaningTo = verb === 'clean' || node.retired ? 'manageable' : 'available'
  const presence = STATES[node.provisionState].agent
  const agent = event.warm && (presence === 'parked' || presence === 'held') ? node.agent : null
  const machine = {
    ...node.machine,
    generation: node.machine.generation + 1,
    attempt: 1,
    order: VERB_ORDER[verb] ?? null,
    steps: event.plan ?? [],
    stepIndex: 0,
    cleaningTo,
    imageId: null,
    // An agent that is there already stands for the boot of this generation: who else claims it is a second machine.
    bootToken: agent ? 'traded' : 'none',
  } as const
  // Whoever acts on a node that failed has looked at it: the maintenance that the failure brought ends.
  const looked =
    node.fault !== null && NODE_FAULTS[node.fault].endsWithVerb
      ? { maintenance: false, maintenanceReason: null, fault: null }
      : {}
  const began: NodeRecord = { ...node, ...looked, ...event.patch, machine, agent, lastError: null, lastFault: null }
  return { node: begin(began, verb, at) }
}

function begin(node: NodeRecord, verb: Exclude<Verb, 'unhold'>, at: At): NodeRecord {
  switch (verb) {
    case 'manage':
      return move(node, verb, { ...at, phase: node.provisionState === 'enroll' ? 'verify' : 'rest' })
    case 'adopt':
      return move(node, verb, { ...at, phase: 'verify' })
    case 'deploy':
    case 'rebuild':
      return move(node, verb, { ...at, phase: 'prepare' })
    case 'unrescue':
      return move(node, verb, { ...at, phase: 'start' })
    case 'abort': {
      const waits = STATES[node.provisionState].kind === 'waiting'
      const why = { lastError: `the operator aborted it while it was in state "${node.provisionState}"` }
      const aborted = node.provisionState === 'service failed' ? node : { ...node, ...why }
      return move(aborted, verb, { ...at, phase: waits ? 'halt' : 'rest' })
    }
    case 'delete': {
      // The ramdisk replaces the instance; without one, somebody must stop it.
      const left = shift(node, verb, at)
      return node.machine.steps.length > 0 && usesAgent(node)
        ? advance(shift(left, 'clean', at), at)
        : enter(left, 'teardown', at)
    }
    default:
      return advance(shift(node, verb, at), at)
  }
}

function onPower(node: NodeRecord, { target, timeoutMs }: Of<'power'>, at: At): Stepped {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (STATES[node.provisionState].powerFixed)
    return {
      refused: 'node.state',
      why: `the power of node ${node.uuid} cannot be changed in state "${node.provisionState}"`,
    }
  const soft = target.startsWith('soft')
    ? ({ soft: true, timeoutMs: timeoutMs ?? at.settings.softPowerOffMs } as const)
    : {}
  const limit = timeoutMs === undefined ? {} : { timeoutMs }
  const off: Effect = { do: 'power', to: 'power off', ...limit, ...soft }
  const on: Effect = { do: 'power', to: 'power on', ...limit }
  const reboots = target === 'rebooting' || target === 'soft rebooting'
  if (node.disablePowerOff && target !== 'power on' && !reboots)
    return { refused: 'object.conflict', why: `node ${node.uuid} must not be switched off (disable_power_off)` }
  const reboot: readonly Effect[] = node.disablePowerOff ? [{ do: 'reset' }] : [off, on]
  const owed = reboots ? reboot : target === 'power on' ? [on] : [off]
  const lock = { owing: node.machine.owing + 1, lockedAtMs: at.nowMs, tries: 0, retryAtMs: at.nowMs }
  const asked: NodeRecord = { ...node, targetPowerState: target, lastError: null, lastFault: null }
  // Where the agent is waited for, an operator's boot is one of ours like any other: it goes into the ramdisk, and its agent is believed.
  const boots =
    STATES[node.provisionState].agent === 'works' &&
    usesAgent(node) &&
    (reboots || (target === 'power on' && node.powerState !== 'power on'))
  if (!boots) return { node: { ...asked, machine: { ...node.machine, ...lock, owed } } }
  const toRamdisk: readonly Effect[] = [
    { do: 'publish' },
    ...owed.slice(0, -1),
    { do: 'boot-device', device: 'pxe' },
    ...owed.slice(-1),
  ]
  const machine = {
    ...newBoot(node.machine),
    ...lock,
    owed: toRamdisk,
    deadlineMs: at.nowMs + at.settings.callbackTimeoutMs,
  }
  return { node: { ...asked, agent: null, machine } }
}

function onEffectDone(node: NodeRecord, { effect, owing, found }: Of<'effect-done'>, at: At): Stepped {
  const [head, ...rest] = node.machine.owed
  if (!head || owing !== node.machine.owing || !sameEffect(head, effect))
    return { refused: 'store.stale', why: `the effect ${effect.do} is not owed` }
  const isOff = effect.do === 'power' && effect.to === 'power off'
  const bootToken =
    isOff && !rest.some((next) => next.do === 'power') ? ended(node.machine.bootToken) : node.machine.bootToken
  const machine = {
    ...node.machine,
    owed: rest,
    tries: 0,
    retryAtMs: at.nowMs,
    imageId: found?.imageId ?? node.machine.imageId,
    bootToken,
  }
  const powered = effect.do === 'power' ? { powerState: effect.to, ...(isOff ? { agent: null } : {}) } : {}
  const next: NodeRecord = {
    ...node,
    ...found?.patch,
    machine,
    ...powered,
    ...(found?.powerState ? { powerState: found.powerState } : {}),
  }
  if (rest.length > 0) return { node: next }
  const free: NodeRecord = { ...next, targetPowerState: null, machine: { ...machine, lockedAtMs: null } }
  return { node: STATES[node.provisionState].kind === 'working' ? performed(free, at) : free }
}

function onHello(node: NodeRecord, agent: AgentRecord, at: At): Stepped {
  // The answer to the first asking got lost, with the connection or with the conductor; or the agent was started again in the same boot.
  if (node.agent?.sessionHash === agent.sessionHash && node.agent.tokenMs === agent.tokenMs) return { node }
  const { generation, bootToken } = node.machine
  if (agent.generation !== generation)
    return {
      refused: 'agent.token',
      why: `the boot token is of boot ${agent.generation}, the node is at ${generation}`,
    }
  if (bootToken === 'none' || bootToken === 'over')
    return { refused: 'agent.token', why: 'the boot token was used already, or its boot is over' }
  // The boot is still being ordered, or the next step prepared: the same call again is judged by what comes of it.
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (bootToken === 'traded') return secondClaim(node, at)
  if (!believes(node, 'trade'))
    return {
      refused: 'node.locked',
      why: `node ${node.uuid} is in state "${node.provisionState}" and waits for no agent yet`,
    }
  const deadlineMs = at.nowMs + at.settings.agentSilenceMs
  return { node: { ...node, agent, machine: { ...node.machine, deadlineMs, bootToken: 'traded' } } }
}

/** Two machines hold tokens of one boot, or the server restarted by itself. Nobody can say which of them is the server, so neither is believed. */
function secondClaim(node: NodeRecord, at: At): Stepped {
  const why = `two machines claimed boot ${node.machine.generation} of this node, or its server restarted by itself; neither is believed, and the node is switched off`
  const fault: FaultNote = { code: 'node.claimed', retry: false, text: new Fault('node.claimed', why).message }
  const alone: NodeRecord = { ...node, agent: null, machine: { ...node.machine, bootToken: 'over' } }
  const refusal = { refused: 'agent.token', why } as const
  if (STATES[node.provisionState].agent === 'works')
    return { ...refusal, node: fail(alone, fault, { ...at, phase: 'halt' }) }
  // What it reported before is doubtful too: nothing is deployed there before a person looked.
  const out = node.maintenance
    ? {}
    : ({ maintenance: true, maintenanceReason: why, fault: 'boot claimed twice' } as const)
  return { ...refusal, node: enter({ ...blame(alone, fault, at), ...out }, 'halt', at) }
}

function onEffectFailed(node: NodeRecord, { effect, owing, fault }: Of<'effect-failed'>, at: At): Stepped {
  const head = node.machine.owed[0]
  if (!head || owing !== node.machine.owing || !sameEffect(head, effect))
    return { refused: 'store.stale', why: `the effect ${effect.do} is not owed` }
  const tries = node.machine.tries + 1
  if (fault.retry && tries < at.settings.effectTries && !('soft' in effect && effect.soft)) {
    const machine = { ...node.machine, tries, retryAtMs: at.nowMs + at.settings.effectRetryMs * 2 ** (tries - 1) }
    return { node: { ...node, machine, lastError: fault.text, lastFault: { code: fault.code, atMs: at.nowMs } } }
  }
  return { node: giveUp(node, fault, at) }
}

/** What is owed will not be done. */
function giveUp(node: NodeRecord, fault: FaultNote, at: At): NodeRecord {
  const machine = { ...node.machine, owed: [], owing: node.machine.owing + 1, lockedAtMs: null, tries: 0 }
  const dropped: NodeRecord = { ...node, targetPowerState: null, machine }
  return STATES[node.provisionState].kind === 'working' ? fail(dropped, fault, at) : blame(dropped, fault, at)
}

function onAgentDone(node: NodeRecord, event: Of<'agent-done'>, at: At): Stepped {
  if (event.orderId !== orderId(node) || !believes(node, 'done')) return stale(event.orderId)
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  const whole: NodeRecord = { ...node, ...event.patch, lastError: null }
  if (node.machine.order === 'inspect') return { node: move(whole, 'done', { ...at, phase: 'rest' }) }
  const next = nextStep(whole)
  if (saysHold(next)) return { node: move(next, 'hold', { ...at, phase: 'rest' }) }
  return { node: advance(shift(next, 'resume', at), at) }
}

function onDeadline(node: NodeRecord, event: Of<'deadline'>, at: At): Stepped {
  if (node.machine.deadlineMs === null || node.machine.deadlineMs > at.nowMs) return { node }
  if (STATES[node.provisionState].kind !== 'waiting') return { node: unpark(node, at) }
  if (event.agentSeen && node.machine.attempt < at.settings.maxAttempts) {
    const machine = {
      ...node.machine,
      generation: node.machine.generation + 1,
      attempt: node.machine.attempt + 1,
      bootToken: 'none',
    } as const
    const lost: NodeRecord = {
      ...node,
      agent: null,
      machine,
      lastError: `the agent was lost (${event.lastSeen}); trying again`,
    }
    return { node: move(lost, 'resume', { ...at, phase: 'boot' }) }
  }
  const what = event.agentSeen ? 'the agent fell silent' : 'the node never called back'
  const fault: FaultNote = { code: 'node.timeout', retry: true, text: `${what}; last seen: ${event.lastSeen}` }
  // Whatever runs on the node now must not go on writing behind our back.
  return { node: fail({ ...node, agent: null }, fault, { ...at, phase: 'halt' }) }
}

function onClockSet(node: NodeRecord, byMs: number): NodeRecord {
  const { deadlineMs, retryAtMs } = node.machine
  return {
    ...node,
    machine: {
      ...node.machine,
      deadlineMs: deadlineMs === null ? null : deadlineMs + byMs,
      retryAtMs: retryAtMs + byMs,
    },
  }
}

/** The idle agent's time is over: power off, and the next order boots the node. */
function unpark(node: NodeRecord, at: At): NodeRecord {
  if (node.agent && !isLocked(node) && !keepsRunning(node) && !node.disablePowerOff)
    return enter({ ...node, agent: null }, 'halt', at)
  return { ...node, machine: { ...node.machine, deadlineMs: null } }
}

/** A BMC that answers again ends the maintenance that its silence brought. */
function onPolled(node: NodeRecord, { power, owing }: Of<'polled'>): NodeRecord {
  // Something was owed since it was read: what was read is about the past.
  if (isLocked(node) || owing !== node.machine.owing) return node
  const back = node.fault === 'power failure'
  if (!back && node.powerState === power) return node
  const seen: NodeRecord = { ...node, powerState: power, targetPowerState: null }
  return back
    ? { ...seen, maintenance: false, maintenanceReason: null, fault: null, lastError: null, lastFault: null }
    : seen
}

function onPollLost(node: NodeRecord, fault: FaultNote, at: At): NodeRecord {
  if (isLocked(node) || node.maintenance) return node
  return {
    ...blame(node, fault, at),
    powerState: 'error',
    maintenance: true,
    maintenanceReason: fault.text,
    fault: 'power failure',
  }
}

function onBreakLock(node: NodeRecord, why: string, at: At): Stepped {
  if (!isLocked(node)) return { refused: 'node.state', why: `node ${node.uuid} is not locked` }
  return { node: giveUp(node, { code: 'node.lock-broken', retry: false, text: why }, at) }
}

const stale = (id: string): Stepped => ({ refused: 'store.stale', why: `order ${id} is not the node's present order` })

const sameEffect = (a: Effect, b: Effect): boolean => JSON.stringify(a) === JSON.stringify(b)
