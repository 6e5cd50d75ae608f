/** Deadlines that have passed, and a wall clock that was set. Pure. */
import { deadlineAtMs, isLocked, lateAtMs, isLookedAt, type NodeRecord } from '../../record.ts'
import type { FaultNote, StepContext } from '../context.ts'
import type { EventOf, StepResult } from '../events.ts'
import { enterPhase, fail, keepsRunning, move, owe } from '../flow.ts'
import { jumpLate } from '../jump.ts'
import { STATES } from '../states.ts'

export function onDeadline(node: NodeRecord, event: EventOf<'deadline'>, context: StepContext): StepResult {
  const dueMs = deadlineAtMs(node)
  if (dueMs === null || dueMs > context.nowMs) return { node }
  // While an agent is silent because the BMC works, nothing is late: the look says how far the BMC is.
  if (isLookedAt(node.workflow.phase)) return { node: isLocked(node) ? node : owe(node, [{ do: 'bmc-look' }], context) }
  if (node.workflow.phase === 'jump') return { node: isLocked(node) ? node : jumpLate(node, context) }
  if (STATES[node.provisionState].kind !== 'waiting') return { node: unpark(node, context) }
  if (event.agentSeen && node.workflow.attempt < context.settings.maxAttempts) {
    const workflow = {
      ...node.workflow,
      generation: node.workflow.generation + 1,
      attempt: node.workflow.attempt + 1,
      bootToken: 'none',
    } as const
    const lost: NodeRecord = {
      ...node,
      agent: null,
      workflow,
      lastError: `the agent was lost (${event.lastSeen}); trying again`,
    }
    return { node: move(lost, 'resume', { ...context, phase: 'boot' }) }
  }
  const what = event.agentSeen ? 'the agent fell silent' : 'the node never called back'
  const fault: FaultNote = { code: 'node.timeout', retry: true, text: `${what}; last seen: ${event.lastSeen}` }
  // Whatever runs on the node now must not go on writing to its disks.
  return { node: fail({ ...node, agent: null }, fault, { ...context, phase: 'halt' }) }
}

/** The state lasts longer than usual, which is told once. */
export function onLate(node: NodeRecord, { nowMs }: StepContext): NodeRecord {
  const { workflow } = node
  const lateMs = lateAtMs(node)
  if (!workflow.usual || lateMs === null || lateMs > nowMs) return node
  return { ...node, workflow: { ...workflow, usual: { ...workflow.usual, lateAtMs: null } } }
}

export function onClockSet(node: NodeRecord, byMs: number): NodeRecord {
  const { deadlineMs, retryAtMs, bmcTask, usual, reboot } = node.workflow
  const movedUsual = usual && usual.lateAtMs !== null ? { ...usual, lateAtMs: usual.lateAtMs + byMs } : usual
  return {
    ...node,
    workflow: {
      ...node.workflow,
      deadlineMs: deadlineMs === null ? null : deadlineMs + byMs,
      retryAtMs: retryAtMs + byMs,
      ...(movedUsual === undefined ? {} : { usual: movedUsual }),
      ...(reboot?.jumpedAtMs === undefined ? {} : { reboot: { ...reboot, jumpedAtMs: reboot.jumpedAtMs + byMs } }),
      bmcTask: bmcTask && {
        ...bmcTask,
        beganAtMs: bmcTask.beganAtMs + byMs,
        deadlineMs: bmcTask.deadlineMs + byMs,
        lookAtMs: bmcTask.lookAtMs + byMs,
      },
    },
  }
}

/** The parking time of an idle agent has passed: power off, and the next order boots the node. */
function unpark(node: NodeRecord, context: StepContext): NodeRecord {
  if (node.agent && !isLocked(node) && !keepsRunning(node) && !node.disablePowerOff)
    return enterPhase({ ...node, agent: null }, 'halt', context)
  return { ...node, workflow: { ...node.workflow, deadlineMs: null } }
}
