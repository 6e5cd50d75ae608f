/** Steps of a node that are carried out on its child nodes (Ironic's execute_on_child_nodes): which steps, and on which
 *  children. Pure. */
import { Fault, isFault } from '../../../kit/fault.ts'
import { fakeStep, stepsOfFake } from '../../fake/steps.ts'
import type { NodeRecord } from '../record.ts'
import type { PlannedStep, StepKind } from './steps.ts'

/** Throws when who asks may not have this done to the child. */
export type MayUseChild = (child: NodeRecord, step: PlannedStep) => Promise<void>

export const POWER_STEPS = { power_on: 'power on', power_off: 'power off', reboot: 'rebooting' } as const
export const isPowerStep = (step: string): step is keyof typeof POWER_STEPS => Object.hasOwn(POWER_STEPS, step)

/** Steps of interfaces that end the same when a conductor that starts again repeats them. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'bios.apply_configuration',
  'bios.factory_reset',
  'firmware.update',
  'raid.delete_configuration',
])

/** The steps with the UUIDs of their children. A node that was named and is no child is refused. Throws `input.invalid`
 *  for a step that a child cannot carry out. */
export function withChildren(
  kind: StepKind,
  steps: readonly PlannedStep[],
  at: { node: NodeRecord; children: readonly NodeRecord[] },
): PlannedStep[] {
  return steps.map((step) => {
    if (!step.children) return step
    const chosen = chosenOf(step.children, at.children, at.node)
    for (const child of chosen) checkStep(kind, step, child)
    return { ...step, children: chosen.map(({ uuid }) => uuid) }
  })
}

function chosenOf(named: readonly string[], children: readonly NodeRecord[], node: NodeRecord): NodeRecord[] {
  const stranger = named.find((uuid) => !children.some((child) => child.uuid === uuid))
  if (stranger)
    throw new Fault(
      'input.invalid',
      `limit_child_node_execution: node ${node.uuid} has no child node ${JSON.stringify(stranger.slice(0, 64))}`,
    )
  return children.filter((child) => named.length === 0 || named.includes(child.uuid))
}

/** No agent works on a child: only what its BMC or its model does at once can be carried out there. */
function checkStep(kind: StepKind, step: PlannedStep, child: NodeRecord): void {
  if (isPowerStep(step.step)) return
  const name = `${step.interface}.${step.step}`
  const known = REPEATABLE.has(name) && stepsOfFake(child)[name]?.in[kind] !== undefined
  if (!known)
    throw new Fault(
      'input.invalid',
      `execute_on_child_nodes: the step ${name} cannot be carried out on the child node ${child.uuid}; these can: ${Object.keys(POWER_STEPS).join(', ')}, and where its interface has them ${[...REPEATABLE].join(', ')}`,
    )
  try {
    fakeStep(child, step, 0)
  } catch (error) {
    if (!isFault(error)) throw error
    throw new Fault(error.code, `${name} on the child node ${child.uuid}: ${error.detail}`, { cause: error })
  }
}
