/** How a node goes from state to state and from step to step. Pure; `step.ts` says on which event which of these happens. */
import { findArrow } from '../../../kit/arrows.ts'
import { NODE_ARROWS, type NodeEvent, type Phase } from './arrows.ts'
import { ended, keptIn } from './belief.ts'
import type { At, FaultNote } from './context.ts'
import { effectsOf, usesAgent } from './effects.ts'
import { currentStep, isLocked, type Effect, type Machine, type NodeRecord } from '../record.ts'
import { STATES } from './states.ts'

/** Follows one arrow, which must exist, and owes nothing yet. */
export function shift(node: NodeRecord, on: NodeEvent, at: At): NodeRecord {
  const arrow = findArrow(NODE_ARROWS, node.provisionState, on)
  if (!arrow) throw new Error(`no arrow from ${node.provisionState} on ${on}`)
  at.moves.push({ ...arrow, tookMs: at.nowMs - (node.provisionUpdatedAtMs ?? node.createdAtMs) })
  const from = STATES[node.provisionState].kind
  const { agent, machine: kept } = keptIn(arrow.to, node)
  const machine = from === 'stable' || from === 'failed' ? { ...kept, sinceMs: at.nowMs } : kept
  return { ...node, provisionState: arrow.to, provisionUpdatedAtMs: at.nowMs, agent, machine }
}

export const move = (node: NodeRecord, on: NodeEvent, to: At & { phase: Phase }): NodeRecord =>
  enter(shift(node, on, to), to.phase, to)

/** Owes what a phase owes. What owes nothing is performed already. */
export function enter(node: NodeRecord, phase: Phase, at: At): NodeRecord {
  const owed = effectsOf(phase, node)
  const off = owed.some((effect) => effect.do === 'reset' || (effect.do === 'power' && effect.to === 'power off'))
  const machine = {
    ...(bootsRamdisk(owed, node)
      ? newBoot(node.machine)
      : { ...node.machine, bootToken: off ? ended(node.machine.bootToken) : node.machine.bootToken }),
    phase,
    owed,
    owing: node.machine.owing + 1,
    lockedAtMs: owed.length > 0 ? at.nowMs : null,
    tries: 0,
    retryAtMs: at.nowMs,
    deadlineMs: deadlineOf(node, phase, at),
  }
  const entered: NodeRecord = { ...node, machine, agent: off ? null : node.agent }
  return owed.length === 0 && phase !== 'agent' && phase !== 'rest' ? performed(entered, at) : settle(entered, at)
}

/** What is owed brings the node into the ramdisk. Switching on a node whose agent is there boots nothing. */
const bootsRamdisk = (owed: readonly Effect[], node: NodeRecord): boolean =>
  usesAgent(node) &&
  owed.some((effect) => effect.do === 'boot-device' && effect.device === 'pxe' && !effect.always) &&
  (node.agent === null ||
    owed.some((effect) => effect.do === 'reset' || (effect.do === 'power' && effect.to === 'power off')))

/** A boot that we order: its token may be traded once. A generation that had a token is not used for another boot. */
export const newBoot = (machine: Machine): Machine => ({
  ...machine,
  generation: machine.bootToken === 'none' ? machine.generation : machine.generation + 1,
  bootToken: 'good',
})

/** Everything that was owed is done. */
export function performed(node: NodeRecord, at: At): NodeRecord {
  const idle: NodeRecord = { ...node, machine: { ...node.machine, lockedAtMs: null } }
  switch (node.machine.phase) {
    case 'verify':
    case 'start':
      return move({ ...idle, lastError: null }, 'done', { ...at, phase: 'rest' })
    case 'prepare':
      return advance(idle, at)
    case 'boot':
      return advance(idle, { ...at, booted: true })
    case 'act':
      return advance(nextStep(idle), at)
    case 'teardown':
      return advance(shift(idle, 'clean', at), at)
    case 'agent':
    case 'rest':
    case 'halt':
      return settle(idle, at)
  }
}

/** Tries are counted for each step; those of the last one stay to be seen. */
export function nextStep(node: NodeRecord): NodeRecord {
  const { steps, stepIndex, attempt } = node.machine
  return {
    ...node,
    machine: { ...node.machine, stepIndex: stepIndex + 1, attempt: steps[stepIndex + 1] ? 1 : attempt },
  }
}

export const saysHold = (node: NodeRecord): boolean =>
  currentStep(node)?.by === 'conductor' && currentStep(node)?.step === 'hold'

/** Takes up the present step in a working state, or ends the order when there is none left. */
export function advance(node: NodeRecord, at: At & { booted?: boolean }): NodeRecord {
  const step = currentStep(node)
  if (!step) return finish(node, at)
  if (saysHold(node)) return move(node, 'hold', { ...at, phase: 'rest' })
  if (step.by === 'conductor' || !usesAgent(node)) return enter(node, 'act', at)
  if (!at.booted && node.agent === null) return enter(node, 'boot', at)
  return move(node, 'wait', { ...at, phase: 'agent' })
}

/** The last step is done. What went wrong on the way was mended; the events keep it. */
function finish(node: NodeRecord, at: At): NodeRecord {
  const whole: NodeRecord = { ...node, lastError: null }
  const { order, steps, cleaningTo } = node.machine
  const rest = { ...at, phase: 'rest' as const }
  if (order === 'clean') return move(whole, cleaningTo === 'manageable' ? 'manage' : 'done', rest)
  // A service that never left the instance has nothing to start.
  const left =
    order === 'deploy' ||
    (order === 'service' &&
      steps.some((step) => step.by === 'agent' || step.step.startsWith('power_') || step.step === 'reboot'))
  return left ? enter(whole, 'start', at) : move(whole, 'done', rest)
}

/** At rest, an agent that is still there is parked, or switched off where parking is not wanted. */
function settle(node: NodeRecord, at: At): NodeRecord {
  const { kind } = STATES[node.provisionState]
  const idle = node.machine.phase === 'rest' && node.agent !== null && (kind === 'stable' || kind === 'failed')
  if (!idle || keepsRunning(node) || at.settings.parkMs > 0 || node.disablePowerOff || isLocked(node)) return node
  return enter(node, 'halt', at)
}

/** What runs there is not ours to switch off: the instance, or the rescue system. */
export const keepsRunning = (node: NodeRecord): boolean => STATES[node.provisionState].occupied === true

function deadlineOf(node: NodeRecord, phase: Phase, at: At): number | null {
  if (phase === 'agent') return at.nowMs + (node.agent ? at.settings.agentSilenceMs : at.settings.callbackTimeoutMs)
  const parked =
    phase === 'rest' && node.agent !== null && !keepsRunning(node) && STATES[node.provisionState].kind !== 'held'
  return parked ? at.nowMs + at.settings.parkMs : null
}

export function fail(node: NodeRecord, fault: FaultNote, at: At & { phase?: Phase }): NodeRecord {
  const shifted = shift(blame(node, fault, at), 'fail', at)
  const name = STATES[shifted.provisionState].fault
  const out =
    name === undefined || shifted.maintenance
      ? shifted
      : { ...shifted, maintenance: true, maintenanceReason: fault.text, fault: name }
  return enter(out, at.phase ?? 'rest', at)
}

export const blame = (node: NodeRecord, fault: FaultNote, at: At): NodeRecord => ({
  ...node,
  lastError: fault.text,
  lastFault: { code: fault.code, atMs: at.nowMs },
})
