/** What ends a jump into the image (kexec): a sign of life of the new system, or the cold start that follows one that
 *  failed. Pure. */
import type { FaultCode } from '../../../kit/fault.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import type { StepContext } from './context.ts'
import type { EventOf } from './events.ts'
import { enterPhase, move } from './flow.ts'
import { withReboot } from './jump-state.ts'

const RESTARTED = {
  how: 'cold',
  because: 'the server restarted through its firmware instead',
  failed: true,
  fault: 'jump.restarted',
} as const

/** The system on the disk was heard: after the jump, it is the new one. */
export function onAlive(node: NodeRecord, { atMs, restarted }: EventOf<'alive'>, context: StepContext): NodeRecord {
  const jumpedAtMs = node.workflow.reboot?.jumpedAtMs
  if (node.workflow.phase !== 'jump' || isLocked(node) || jumpedAtMs === undefined || atMs < jumpedAtMs) return node
  const alive = restarted ? { ...withReboot(node, RESTARTED), startedColdAtMs: context.nowMs } : node
  return move({ ...alive, lastError: null }, 'done', { ...context, phase: 'rest' })
}

/** The slower and safe way. */
export const startCold = (
  node: NodeRecord,
  { text, code }: { readonly text: string; readonly code: FaultCode },
  context: StepContext,
): NodeRecord =>
  enterPhase(withReboot(node, { how: 'cold', because: text, failed: true, fault: code }), 'start', context)

export const jumpLate = (node: NodeRecord, context: StepContext): NodeRecord => {
  const seconds = Math.round((context.nowMs - (node.workflow.reboot?.jumpedAtMs ?? context.nowMs)) / 1000)
  const text = `no sign of life of the new system within ${seconds} s`
  return startCold(node, { text, code: 'jump.silent' }, context)
}
