/** Requests for a boot mode or for Secure Boot, which end with a proof. Pure. */
import type { Effect } from '../../effect.ts'
import { isLocked, lockedWhy, type NodeRecord } from '../../record.ts'
import { ended } from '../belief.ts'
import { modeWaitWhy } from '../../policy/firmware-target.ts'
import type { StepContext } from '../context.ts'
import type { EventOf, StepResult } from '../events.ts'
import { keepsRunning } from '../flow.ts'
import { STATES } from '../states.ts'

/** A server that runs an instance is not restarted: the change holds from its next start on. */
export function onFirmwareMode(
  node: NodeRecord,
  { bootMode, secureBoot }: EventOf<'firmware-mode'>,
  context: StepContext,
): StepResult {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  const modeWait = modeWaitWhy(node)
  if (modeWait) return { refused: 'object.conflict', why: modeWait }
  const { kind } = STATES[node.provisionState]
  if (kind !== 'stable' && kind !== 'failed')
    return {
      refused: 'node.state',
      why: `boot mode and Secure Boot of node ${node.uuid} cannot be changed in state "${node.provisionState}"`,
    }
  const restarts = !keepsRunning(node)
  const effect: Effect = {
    do: 'firmware-mode',
    ...(bootMode === undefined ? {} : { bootMode }),
    ...(secureBoot === undefined ? {} : { secureBoot }),
    how: restarts ? 'restart' : 'set',
    ...(node.powerState === 'power off' ? { wasOff: true } : {}),
  }
  const workflow = {
    ...node.workflow,
    pendingEffects: [effect],
    pendingVersion: node.workflow.pendingVersion + 1,
    lockedAtMs: context.nowMs,
    tries: 0,
    retryAtMs: context.nowMs,
    bootToken: restarts ? ended(node.workflow.bootToken) : node.workflow.bootToken,
  }
  // An agent that waits for an order ends with the restart.
  const agent = restarts ? null : node.agent
  return { node: { ...node, agent, lastError: null, lastFault: null, workflow } }
}
