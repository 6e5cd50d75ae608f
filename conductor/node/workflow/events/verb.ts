/** A provision request: which verbs a node accepts, and what each begins. Pure. */
import { findArrow } from '../../../../kit/arrows.ts'
import type { FaultCode } from '../../../../kit/fault.ts'
import { currentStep, isLocked, lockedWhy, type NodeRecord, type OrderKind } from '../../record.ts'
import { NODE_ARROWS, type Verb } from '../arrows.ts'
import { modeWaitWhy } from '../../policy/firmware-target.ts'
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

export function onVerb(node: NodeRecord, event: EventOf<'verb'>, context: StepContext): StepResult {
  const { verb } = event
  const refused = refusedVerb(node, verb)
  if (refused) return refused
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
  return { node: begin(began, verb, context) }
}

function begin(node: NodeRecord, verb: Exclude<Verb, 'unhold'>, context: StepContext): NodeRecord {
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
      const waits = STATES[node.provisionState].kind === 'waiting'
      const why = { lastError: `the operator aborted it while it was in state "${node.provisionState}"` }
      const aborted = node.provisionState === 'service failed' ? node : { ...node, ...why }
      return move(aborted, verb, { ...context, phase: waits ? 'halt' : 'rest' })
    }
    case 'delete': {
      // Booting the ramdisk stops the instance; without a ramdisk, the node is switched off first.
      const left = follow(node, verb, context)
      return node.workflow.steps.length > 0 && usesAgent(node)
        ? advance(follow(left, 'clean', context), context)
        : enterPhase(left, 'teardown', context)
    }
    default:
      return advance(follow(node, verb, context), context)
  }
}
