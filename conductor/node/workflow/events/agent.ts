/** What the deploy agent of a node sends: hello, and the end of its order. Pure. */
import { Fault } from '../../../../kit/fault.ts'
import { isLocked, lockedWhy, orderId, type AgentRecord, type NodeRecord } from '../../record.ts'
import { isSameBoot } from '../../policy/tpm.ts'
import { believes } from '../belief.ts'
import type { FaultNote, StepContext } from '../context.ts'
import type { EventOf, StepResult } from '../events.ts'
import { advance, enterPhase, fail, follow, move, nextStep, saysHold, withFault } from '../flow.ts'
import { startCold } from '../jump.ts'
import { withJump } from '../jump-state.ts'
import { STATES } from '../states.ts'

export function onHello(node: NodeRecord, agent: AgentRecord, context: StepContext): StepResult {
  // The answer to the first hello was lost, with the connection or with the conductor; or the agent restarted within
  // the same boot.
  if (node.agent && isSameBoot(node.agent, agent)) return { node }
  const { generation, bootToken } = node.workflow
  if (agent.generation !== generation)
    return {
      refused: 'agent.token',
      why: `the boot token is of boot ${agent.generation}, the node is at ${generation}`,
    }
  if (bootToken === 'none' || bootToken === 'over')
    return { refused: 'agent.token', why: 'the boot token was used already, or its boot is over' }
  // The boot is still being prepared, or the next step: the agent repeats its hello, which is answered when the effects
  // are done.
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (bootToken === 'traded') return secondClaim(node, context)
  if (!believes(node, 'trade'))
    return {
      refused: 'node.locked',
      why: `node ${node.uuid} is in state "${node.provisionState}" and expects no agent yet`,
    }
  const deadlineMs = context.nowMs + context.settings.agentSilenceMs
  return { node: { ...node, agent, workflow: { ...node.workflow, deadlineMs, bootToken: 'traded' } } }
}

/** Two machines hold tokens of one boot, or the server restarted by itself. The conductor cannot tell which of them is
 *  the server, so it trusts neither. */
function secondClaim(node: NodeRecord, context: StepContext): StepResult {
  const why = `two machines claimed boot ${node.workflow.generation} of this node, or its server restarted by itself; neither is trusted, and the node is switched off`
  const fault: FaultNote = { code: 'node.claimed', retry: false, text: new Fault('node.claimed', why).message }
  const alone: NodeRecord = { ...node, agent: null, workflow: { ...node.workflow, bootToken: 'over' } }
  const refusal = { refused: 'agent.token', why } as const
  if (STATES[node.provisionState].agent === 'works')
    return { ...refusal, node: fail(alone, fault, { ...context, phase: 'halt' }) }
  // Its earlier reports are doubtful too: nothing is deployed there before an operator has looked at it.
  // The reason of whoever had it in maintenance stays; the fault says that this is not over when theirs is.
  const out = {
    maintenance: true,
    maintenanceReason: node.maintenance ? node.maintenanceReason : why,
    fault: node.fault ?? 'boot claimed twice',
  }
  return { ...refusal, node: enterPhase({ ...withFault(alone, fault, context), ...out }, 'halt', context) }
}

export function onAgentDone(node: NodeRecord, event: EventOf<'agent-done'>, context: StepContext): StepResult {
  if (event.orderId !== orderId(node) || !believes(node, 'done')) return stale(event.orderId)
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  const whole = withJump({ ...node, ...event.patch, lastError: null }, event.jump)
  if (node.workflow.order === 'inspect') return { node: move(whole, 'done', { ...context, phase: 'rest' }) }
  const next = nextStep(whole)
  if (saysHold(next)) return { node: move(next, 'hold', { ...context, phase: 'rest' }) }
  return { node: advance(follow(next, 'resume', context), context) }
}

export function onAgentFailed(node: NodeRecord, event: EventOf<'agent-failed'>, context: StepContext): StepResult {
  if (event.orderId !== orderId(node) || !believes(node, 'failed')) return stale(event.orderId)
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (node.workflow.phase === 'jump') return { node: startCold(node, event.fault, context) }
  return { node: fail(node, event.fault, context) }
}

const stale = (id: string): StepResult => ({
  refused: 'store.stale',
  why: `order ${id} is not the node's present order`,
})
