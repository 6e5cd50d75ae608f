/** A provision request: which verbs a node accepts, and what each begins. Pure. */
import { findArrow } from '../../../../kit/arrows.ts'
import type { FaultCode } from '../../../../kit/fault.ts'
import { currentStep, isLocked, lockedWhy, type NodeRecord, type OrderKind } from '../../record.ts'
import { NODE_ARROWS, type Verb } from '../arrows.ts'
import { modeWaitWhy } from '../../policy/firmware-target.ts'
import { waitsForAdmission } from '../../policy/admission.ts'
import { mayKeepAgent } from '../../policy/tpm.ts'
import type { StepContext } from '../context.ts'
import { usesAgent } from '../../policy/drivers.ts'
import type { EventOf, StepResult } from '../events.ts'
import { advance, enterPhase, follow, move, nextStep } from '../flow.ts'
import { NODE_FAULTS, STATES } from '../states.ts'

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

/** Why a node does not accept a verb now; undefined: it does. */
export function refusedVerb(
  node: NodeRecord,
  verb: Verb,
): { readonly refused: FaultCode; readonly why: string } | undefined {
  if (leavesQueue(node, verb)) return undefined
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  const modeWait = modeWaitWhy(node)
  if (modeWait) return { refused: 'object.conflict', why: modeWait }
  const step = currentStep(node)
  if (node.workflow.phase === 'bmc' && step?.abortable === false)
    return {
      refused: 'node.state',
      why: `the step ${step.interface}.${step.step} of node ${node.uuid} cannot be aborted while its BMC works; it ends by itself at its deadline`,
    }
  if (findArrow(NODE_ARROWS, node.provisionState, verb)) return undefined
  return {
    refused: 'node.state',
    why: `the verb ${verb} is not allowed while node ${node.uuid} is in state "${node.provisionState}"`,
  }
}

/** Nothing was begun for a node that waits for admission: an operator may take it back, as from the waiting state that
 *  comes next (Ironic's `wait call-back` and its like). */
export const leavesQueue = (node: NodeRecord, verb: Verb): boolean => {
  const next = waitsForAdmission(node) ? findArrow(NODE_ARROWS, node.provisionState, 'wait') : undefined
  return (verb === 'delete' || verb === 'abort') && next !== undefined && !!findArrow(NODE_ARROWS, next.to, verb)
}

export function onVerb(given: NodeRecord, event: EventOf<'verb'>, context: StepContext): StepResult {
  const { verb } = event
  const refused = refusedVerb(given, verb)
  if (refused) return refused
  const queued = leavesQueue(given, verb)
  // The time in the queue is not one that the state usually takes.
  const node = queued ? follow({ ...given, provisionUpdatedAtMs: context.nowMs }, 'wait', context) : given
  if (verb === 'unhold')
    return { node: advance(nextStep(follow(follow(node, 'unhold', context), 'resume', context)), context) }
  const cleaningTo = verb === 'clean' || node.retired ? 'manageable' : 'available'
  const presence = STATES[node.provisionState].agent
  const isWarm = event.warm && mayKeepAgent(node) && (presence === 'parked' || presence === 'held')
  const agent = isWarm ? node.agent : null
  const workflow = {
    ...node.workflow,
    generation: node.workflow.generation + 1,
    attempt: 1,
    order: VERB_ORDER[verb] ?? null,
    project: event.project ?? null,
    steps: event.plan ?? [],
    stepIndex: 0,
    cleaningTo,
    imageId: null,
    reboot: null,
    bmcTask: null,
    admittedAtMs: null,
    restartedForBmc: false,
    // An agent that is running already holds the token of this generation: another claim of it comes from a second
    // machine.
    bootToken: agent ? 'traded' : 'none',
  } as const
  // An operator who acts on a failed node has looked at it: the maintenance that the failure brought ends.
  const looked =
    node.fault !== null && NODE_FAULTS[node.fault].endsWithVerb
      ? { maintenance: false, maintenanceReason: null, fault: null }
      : {}
  const began: NodeRecord = { ...node, ...looked, ...event.patch, workflow, agent, lastError: null, lastFault: null }
  const isUntouched = queued && given.agent === null && given.workflow.stepIndex === 0
  return { node: begin(began, verb, { ...context, isUntouched }) }
}

type BeginContext = StepContext & {
  /** The order did nothing to the server yet. */
  readonly isUntouched: boolean
}

function begin(node: NodeRecord, verb: Exclude<Verb, 'unhold'>, context: BeginContext): NodeRecord {
  switch (verb) {
    case 'manage':
      return move(node, verb, { ...context, phase: node.provisionState === 'enroll' ? 'verify' : 'rest' })
    case 'adopt':
      return move(node, verb, { ...context, phase: 'verify' })
    case 'deploy':
    case 'rebuild':
      return move(node, verb, { ...context, phase: 'prepare' })
    case 'unrescue':
      return move(node, verb, { ...context, phase: 'start' })
    case 'abort': {
      const waits = STATES[node.provisionState].kind === 'waiting' && !context.isUntouched
      const why = { lastError: `the operator aborted it while it was in state "${node.provisionState}"` }
      const aborted = node.provisionState === 'service failed' ? node : { ...node, ...why }
      return move(aborted, verb, { ...context, phase: waits ? 'halt' : 'rest' })
    }
    case 'delete': {
      // Booting the ramdisk stops the instance. Without a ramdisk, or where the boot may wait for its turn, the node is
      // switched off first: nobody expects a deleted instance to go on.
      const left = follow(node, verb, context)
      const waitsToBoot = context.settings.admission === true && node.agent === null
      return node.workflow.steps.length > 0 && usesAgent(node) && !waitsToBoot
        ? advance(follow(left, 'clean', context), context)
        : enterPhase(left, 'teardown', context)
    }
    default:
      return advance(follow(node, verb, context), context)
  }
}
