/** What the record says of a jump into the image (kexec): decided, loaded by the agent, ordered, given up. Pure. */
import { jumpLimitMs } from '../policy/reboot.ts'
import { noJumpWhy } from '../policy/tpm.ts'
import { toldBefore } from '../policy/usual-time.ts'
import { currentStep, type NodeRecord, type Reboot } from '../record.ts'
import type { StepContext } from './context.ts'
import type { JumpReady } from './events.ts'

/** What the agent says of the kernel when it has written the image. An older agent says nothing. */
export function withJump(node: NodeRecord, jump: JumpReady | undefined): NodeRecord {
  const { reboot, generation } = node.workflow
  if (reboot?.how !== 'kexec' || currentStep(node)?.step !== 'write_image') return node
  // The proof of this boot may have come after the decision.
  const doubt = noJumpWhy(node)
  if (doubt !== undefined) return withReboot(node, { how: 'cold', because: doubt })
  if (jump?.ready) return withReboot(node, { ...reboot, readyIn: generation })
  const { why, fault } = jump ?? { why: 'the agent in the ramdisk cannot jump', fault: undefined }
  return withReboot(node, { how: 'cold', because: why, ...(fault ? { fault } : {}) })
}

export const withReboot = (node: NodeRecord, reboot: Reboot): NodeRecord => ({
  ...node,
  workflow: { ...node.workflow, reboot },
})

/** The boot services and the BMC know where the server goes: the agent may jump, and its time runs. */
export function mayJump(node: NodeRecord, { nowMs }: StepContext): NodeRecord {
  const { reboot, usual } = node.workflow
  if (!reboot || reboot.jumpedAtMs !== undefined) return node
  const deadlineMs = nowMs + jumpLimitMs(usual)
  const told = usual && toldBefore(usual, { sinceMs: nowMs, deadlineMs })
  return {
    ...node,
    workflow: {
      ...node.workflow,
      ...(told ? { usual: told } : {}),
      deadlineMs,
      reboot: { ...reboot, jumpedAtMs: nowMs },
    },
  }
}

/** The agent of the present boot has loaded the kernel. */
export const canJump = ({ agent, workflow: { reboot, generation } }: NodeRecord): boolean =>
  reboot?.how === 'kexec' && agent !== null && reboot.readyIn === generation
