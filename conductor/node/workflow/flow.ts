/** How a node goes from state to state and from step to step. Pure; the files of `events` decide which event causes
 *  which of these. */
import { findArrow } from '../../../kit/arrows.ts'
import { NODE_ARROWS, type NodeEvent, type Phase } from './arrows.ts'
import { ended, keptIn } from './belief.ts'
import type { StepContext, FaultNote } from './context.ts'
import { isRamdiskBoot } from './boot-plans.ts'
import { canJump, mayJump } from './jump-state.ts'
import { effectsOf } from './effects.ts'
import { ADMISSION, needsAdmission } from '../policy/admission.ts'
import { usesAgent } from '../policy/drivers.ts'
import { wasOff } from '../policy/firmware-target.ts'
import type { Effect } from '../effect.ts'
import { currentStep, isLocked, type Workflow, type NodeRecord } from '../record.ts'
import { STATES } from './states.ts'

/** Follows one arrow, which must exist. The effects of the new state come with its phase. */
export function follow(node: NodeRecord, on: NodeEvent, context: StepContext): NodeRecord {
  const arrow = findArrow(NODE_ARROWS, node.provisionState, on)
  if (!arrow) throw new Error(`no arrow from ${node.provisionState} on ${on}`)
  context.moves.push({ ...arrow, tookMs: context.nowMs - (node.provisionUpdatedAtMs ?? node.createdAtMs) })
  const from = STATES[node.provisionState].kind
  const { agent, workflow: kept } = keptIn(arrow.to, node)
  const workflow = from === 'stable' || from === 'failed' ? { ...kept, sinceMs: context.nowMs } : kept
  return {
    ...node,
    provisionState: arrow.to,
    provisionUpdatedAtMs: context.nowMs,
    agent,
    workflow: workflow.usual ? { ...workflow, usual: null } : workflow,
  }
}

export const move = (node: NodeRecord, on: NodeEvent, to: StepContext & { phase: Phase }): NodeRecord =>
  enterPhase(follow(node, on, to), to.phase, to)

/** Makes the effects of a phase pending. A phase without effects is over at once. */
export function enterPhase(node: NodeRecord, phase: Phase, context: StepContext): NodeRecord {
  const needed = effectsOf(phase, node)
  const queues = context.settings.admission === true && needsAdmission(node, phase)
  const pendingEffects = queues ? [ADMISSION, ...needed] : needed
  const off = restarts(pendingEffects)
  const workflow = {
    ...(bootsRamdisk(pendingEffects, node)
      ? newBoot(node.workflow)
      : { ...node.workflow, bootToken: off ? ended(node.workflow.bootToken) : node.workflow.bootToken }),
    phase,
    pendingEffects,
    pendingVersion: node.workflow.pendingVersion + 1,
    lockedAtMs: pendingEffects.length > 0 ? context.nowMs : null,
    tries: 0,
    retryAtMs: context.nowMs,
    deadlineMs: deadlineOf(node, phase, context),
  }
  const entered: NodeRecord = { ...node, workflow, agent: off ? null : node.agent }
  return pendingEffects.length === 0 && !WAITS.has(phase) ? afterPhase(entered, context) : parkOrHalt(entered, context)
}

/** Phases without effects that are not over at once. */
const WAITS: ReadonlySet<Phase> = new Set(['agent', 'bmc', 'jump', 'rest'])

/** Effects that come in the middle of a phase. */
export function owe(node: NodeRecord, pendingEffects: readonly Effect[], context: StepContext): NodeRecord {
  const boots = bootsRamdisk(pendingEffects, node)
  const { bootToken } = node.workflow
  const workflow = {
    ...(boots
      ? newBoot(node.workflow)
      : { ...node.workflow, bootToken: restarts(pendingEffects) ? ended(bootToken) : bootToken }),
    pendingEffects,
    pendingVersion: node.workflow.pendingVersion + 1,
    lockedAtMs: node.workflow.lockedAtMs ?? context.nowMs,
    tries: 0,
    retryAtMs: context.nowMs,
  }
  return { ...node, workflow, agent: boots ? null : node.agent }
}

/** The BMC has carried out the present step. A server that it restarted into the ramdisk is on its way there, and is
 *  not restarted again. */
function bmcDone(node: NodeRecord, context: StepContext): NodeRecord {
  const next = nextStep({ ...node, lastError: null, workflow: { ...node.workflow, bmcTask: null } })
  const isWaiting = STATES[node.provisionState].kind === 'waiting'
  if (node.workflow.order === 'inspect' && isWaiting) return move(next, 'done', { ...context, phase: 'rest' })
  if (saysHold(next)) return move(next, 'hold', { ...context, phase: 'rest' })
  const booted = next.workflow.bootToken === 'good'
  return advance(isWaiting ? follow(next, 'resume', context) : next, { ...context, booted })
}

/** The effects bring the node into the ramdisk. Switching on a node whose agent is running boots nothing. */
const bootsRamdisk = (pendingEffects: readonly Effect[], node: NodeRecord): boolean =>
  usesAgent(node) && pendingEffects.some(isRamdiskBoot) && (node.agent === null || restarts(pendingEffects))

/** Whatever runs on the server ends. */
const restarts = (effects: readonly Effect[]): boolean =>
  effects.some((effect) => effect.do === 'reset' || (effect.do === 'power' && effect.to === 'power off'))

/** A boot that the conductor orders: its token may be traded once. A generation that had a token is not used for
 *  another boot. */
export const newBoot = (workflow: Workflow): Workflow => ({
  ...workflow,
  generation: workflow.bootToken === 'none' ? workflow.generation : workflow.generation + 1,
  bootToken: 'good',
})

/** All effects of the phase have been performed. */
export function afterPhase(node: NodeRecord, context: StepContext): NodeRecord {
  const idle: NodeRecord = { ...node, workflow: { ...node.workflow, lockedAtMs: null } }
  switch (node.workflow.phase) {
    case 'jump':
      return mayJump(idle, context)
    case 'start':
      return move(startedCold(idle, context), 'done', { ...context, phase: 'rest' })
    case 'verify':
      return move({ ...idle, lastError: null }, 'done', { ...context, phase: 'rest' })
    case 'prepare':
      return advance(idle, context)
    case 'boot':
      return advance(idle, { ...context, booted: true })
    case 'step':
      return advance(nextStep(idle), context)
    case 'bmc-begin':
      return idle.workflow.bmcTask?.stage === 'done'
        ? bmcDone(idle, context)
        : move(idle, 'wait', { ...context, phase: 'bmc' })
    case 'bmc':
      return idle.workflow.bmcTask?.stage === 'done' ? bmcDone(idle, context) : idle
    case 'firmware-mode':
      return idle.workflow.bmcTask && idle.workflow.bmcTask.stage !== 'done' ? idle : modeProven(idle, context)
    case 'teardown':
      return advance(follow(idle, 'clean', context), context)
    case 'agent':
    case 'rest':
    case 'halt':
      return parkOrHalt(idle, context)
  }
}

const startedCold = (node: NodeRecord, { nowMs }: StepContext): NodeRecord => ({
  ...node,
  lastError: null,
  startedColdAtMs: node.workflow.order === 'deploy' ? nowMs : node.startedColdAtMs,
})

/** What the firmware was changed to holds: the order of the node is over, or a node at rest is as it was before, off
 *  again if it was off. */
function modeProven(node: NodeRecord, context: StepContext): NodeRecord {
  const { bmcTask } = node.workflow
  const free = modeOver(node)
  if (STATES[node.provisionState].kind === 'working')
    return move({ ...free, lastError: null }, 'done', { ...context, phase: 'rest' })
  return bmcTask && wasOff(bmcTask) ? owe(free, [{ do: 'power', to: 'power off' }], context) : free
}

export const modeOver = (node: NodeRecord): NodeRecord => ({
  ...node,
  workflow: { ...node.workflow, phase: 'rest', bmcTask: null, deadlineMs: null },
})

/** Attempts are counted for each step; those of the last step remain visible. */
export function nextStep(node: NodeRecord): NodeRecord {
  const { steps, stepIndex, attempt } = node.workflow
  return {
    ...node,
    workflow: { ...node.workflow, stepIndex: stepIndex + 1, attempt: steps[stepIndex + 1] ? 1 : attempt },
  }
}

export const saysHold = (node: NodeRecord): boolean =>
  currentStep(node)?.by === 'conductor' && currentStep(node)?.step === 'hold'

/** Begins the present step in a working state, or ends the order when no step is left. */
export function advance(node: NodeRecord, context: StepContext & { booted?: boolean }): NodeRecord {
  const step = currentStep(node)
  if (!step) return finishOrder(node, context)
  if (saysHold(node)) return move(node, 'hold', { ...context, phase: 'rest' })
  if (step.by === 'conductor' || !usesAgent(node)) return enterPhase(node, 'step', context)
  if (step.by === 'bmc') return enterPhase(node, 'bmc-begin', context)
  if (!context.booted && node.agent === null) return enterPhase(node, 'boot', context)
  return move(node, 'wait', { ...context, phase: 'agent' })
}

/** The last step is done. Earlier errors have been overcome; the events keep them. */
function finishOrder(node: NodeRecord, context: StepContext): NodeRecord {
  const whole: NodeRecord = { ...node, lastError: null }
  const { order, steps, cleaningTo, restartedForBmc } = node.workflow
  const rest = { ...context, phase: 'rest' as const }
  if (order === 'clean') {
    // A server that was restarted for its BMC runs a ramdisk that nobody waits for.
    const idle = node.agent === null && node.powerState === 'power on' && steps.some(({ by }) => by === 'bmc')
    return move(whole, cleaningTo === 'manageable' ? 'manage' : 'done', idle ? { ...context, phase: 'halt' } : rest)
  }
  // A service during which the instance kept running has nothing to start. A real server is on when the agent reports
  // the rescue login.
  const left =
    order === 'deploy' ||
    (order === 'rescue' && !usesAgent(node)) ||
    (order === 'service' &&
      steps.some(
        ({ by, step, children }) => by === 'agent' || (!children && (step.startsWith('power_') || step === 'reboot')),
      ))
  if (left) return enterPhase(whole, order === 'deploy' && canJump(node) ? 'jump' : 'start', context)
  // A server that was restarted for its BMC was started with what its instance wants of the firmware.
  return order === 'service' && restartedForBmc
    ? enterPhase(whole, 'firmware-mode', context)
    : move(whole, 'done', rest)
}

/** At rest, a node with a running agent is parked, or switched off where parking is disabled. */
function parkOrHalt(node: NodeRecord, context: StepContext): NodeRecord {
  const { kind } = STATES[node.provisionState]
  const idle = node.workflow.phase === 'rest' && node.agent !== null && (kind === 'stable' || kind === 'failed')
  if (!idle || keepsRunning(node) || context.settings.parkMs > 0 || node.disablePowerOff || isLocked(node)) return node
  return enterPhase(node, 'halt', context)
}

/** The instance or the rescue system runs on the node: it is not switched off. */
export const keepsRunning = (node: NodeRecord): boolean => STATES[node.provisionState].occupied === true

function deadlineOf(node: NodeRecord, phase: Phase, context: StepContext): number | null {
  if (phase === 'bmc') return node.workflow.bmcTask?.deadlineMs ?? null
  if (phase === 'agent')
    return context.nowMs + (node.agent ? context.settings.agentSilenceMs : context.settings.callbackTimeoutMs)
  const parked =
    phase === 'rest' && node.agent !== null && !keepsRunning(node) && STATES[node.provisionState].kind !== 'held'
  return parked ? context.nowMs + context.settings.parkMs : null
}

export function fail(node: NodeRecord, fault: FaultNote, context: StepContext & { phase?: Phase }): NodeRecord {
  const given = { ...node, workflow: { ...node.workflow, bmcTask: null } }
  const shifted = follow(withFault(given, fault, context), 'fail', context)
  const name = STATES[shifted.provisionState].fault
  const out =
    name === undefined || shifted.maintenance
      ? shifted
      : { ...shifted, maintenance: true, maintenanceReason: fault.text, fault: name }
  return enterPhase(out, context.phase ?? 'rest', context)
}

export const withFault = (node: NodeRecord, fault: FaultNote, context: StepContext): NodeRecord => ({
  ...node,
  lastError: fault.text,
  lastFault: { code: fault.code, atMs: context.nowMs },
})
