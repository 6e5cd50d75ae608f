/** What a node does in its state, what such times are compared by, and what its order does after it. Pure. */
import type { Compared } from '../../store/durations.ts'
import type { PlannedStep } from '../policy/steps.ts'
import { currentStep, type NodeRecord, type OrderKind } from '../record.ts'
import { STATES, type State } from '../workflow/states.ts'
import { modelOf } from './model.ts'

const nameOf = (step: PlannedStep): string => `${step.interface}.${step.step}`

/** How long nodes stay there is not the decision of a user. */
export const isTimed = (state: string): boolean => {
  const kind = Object.hasOwn(STATES, state) ? STATES[state as State].kind : 'stable'
  return kind === 'working' || kind === 'waiting'
}

/** What the node does in its present state. The same state is passed more than once: with the boot of the ramdisk and
 *  without it, before the image is written and after. */
export function workOf(node: NodeRecord): string {
  const { phase } = node.workflow
  const step = currentStep(node)
  if (phase === 'bmc') return step ? `bmc ${nameOf(step)}` : 'bmc'
  if (STATES[node.provisionState].kind === 'waiting') {
    const booted = node.agent === null || node.agent.helloAtMs >= (node.provisionUpdatedAtMs ?? 0)
    return waitFor(step, booted)
  }
  if (phase === 'step') return step ? nameOf(step) : phase
  return phase === 'prepare' || phase === 'boot' || phase === 'bmc-begin' ? (node.agent ? 'order' : 'boot') : phase
}

const waitFor = (step: PlannedStep | undefined, boots: boolean): string =>
  `${boots ? 'boot, ' : ''}${step ? nameOf(step) : 'agent'}`

const firmwareOf = ({ bootMode, firmwareVersion }: NodeRecord): string | null =>
  bootMode === null && firmwareVersion === null ? null : `${bootMode ?? '-'} ${firmwareVersion ?? '-'}`

/** What its times are compared by now. */
export const comparedOf = (node: NodeRecord): Compared => ({
  model: modelOf(node),
  state: node.provisionState,
  work: workOf(node),
  firmware: firmwareOf(node),
  image: node.workflow.order === 'deploy' ? node.workflow.imageId : null,
})

/** The states in which the conductor and the agent work on an order. */
const STATES_OF: Partial<Record<OrderKind, { readonly waits: State; readonly ends?: State }>> = {
  inspect: { waits: 'inspect wait' },
  clean: { waits: 'clean wait' },
  deploy: { waits: 'wait call-back', ends: 'deploying' },
  service: { waits: 'service wait', ends: 'servicing' },
  rescue: { waits: 'rescue wait' },
}

/** What the order of a node does after its present state. Steps of the conductor are not counted. */
export function restOf(node: NodeRecord): Compared[] {
  const { order, steps, stepIndex, phase } = node.workflow
  const { waits, ends } = (order && STATES_OF[order]) ?? {}
  const last = phase === 'start' || phase === 'jump' || phase === 'firmware-mode'
  if (!waits || last) return []
  const isWaiting = STATES[node.provisionState].kind === 'waiting'
  const now = comparedOf(node)
  const later = steps.slice(stepIndex + (isWaiting ? 1 : 0)).filter(({ by }) => by === 'agent' || by === 'bmc')
  const waiting = later.map((step, i) => {
    const work = step.by === 'bmc' ? `bmc ${nameOf(step)}` : waitFor(step, i === 0 && !isWaiting && !node.agent)
    return { ...now, state: waits, work }
  })
  return ends ? [...waiting, { ...now, state: ends, work: startOf(node) }] : waiting
}

/** How the instance is started; until that is decided, as it was asked for. */
function startOf({ workflow: { reboot }, instanceInfo, driverInfo }: NodeRecord): 'jump' | 'start' {
  const how = reboot ? reboot.how : (instanceInfo.reboot ?? driverInfo.reboot)
  return how === 'kexec' ? 'jump' : 'start'
}
