/** What is waited for while a BMC carries out a step, in its own words. Pure. */
import { isoTime } from '../../../kit/clock.ts'
import type { TaskStage } from '../../bmc/task.ts'
import { modeOf, modeWords } from '../policy/firmware-target.ts'
import { currentStep, type NodeRecord } from '../record.ts'

const STAGES: Readonly<Record<TaskStage, string>> = {
  prepared: 'everything was checked, and the order has not been sent yet',
  asked: 'the BMC has the order',
  rebooted: 'the server was restarted for it',
  settling: 'the wanted state was seen, and must hold',
  done: 'the wanted state is proven',
}

/** How far the BMC is: "the server was restarted for it; 40 %; Applying". */
const progressOf = ({ stage, seen }: NonNullable<NodeRecord['workflow']['bmcTask']>): string =>
  [STAGES[stage], seen.percent === null ? '' : `${seen.percent} %`, seen.words ?? '']
    .filter((part) => part !== '')
    .join('; ')

export function waitsForBmc(node: NodeRecord): string {
  const step = currentStep(node)
  const { bmcTask, phase } = node.workflow
  const what =
    bmcTask && phase === 'firmware-mode'
      ? `the server to start with ${modeWords(modeOf(bmcTask))}`
      : `the BMC to carry out ${step?.interface}.${step?.step}`
  return bmcTask ? `${what} (${progressOf(bmcTask)})` : what
}

/** Why the power of the node is not known meanwhile. */
export function causesOfBmc({ workflow: { bmcTask } }: NodeRecord, nowMs: number) {
  if (!bmcTask?.hush) return []
  return [
    {
      cause: `${bmcTask.hush}: its power is not polled, and it cannot be fenced (bmc.updating)`,
      evidence: [
        `it has worked for ${Math.round((nowMs - bmcTask.beganAtMs) / 1000)} s`,
        ...(bmcTask.seen.words ? [bmcTask.seen.words] : []),
      ],
      remedy: `wait; the step fails at ${isoTime(bmcTask.deadlineMs)}`,
    },
  ]
}
