/** The result of an effect, and effects that are abandoned. Pure. */
import type { Effect } from '../../effect.ts'
import { ADMISSION, waitsForAdmission } from '../../policy/admission.ts'
import { isLocked, isLookedAt, type NodeRecord } from '../../record.ts'
import { ended } from '../belief.ts'
import type { FaultNote, StepContext } from '../context.ts'
import type { EventOf, StepResult } from '../events.ts'
import { restartForBmc } from '../effects.ts'
import { afterPhase, fail, modeOver, owe, withFault } from '../flow.ts'
import { STATES } from '../states.ts'

export function onEffectDone(
  node: NodeRecord,
  { effect, pendingVersion, found }: EventOf<'effect-done'>,
  context: StepContext,
): StepResult {
  const [head, ...rest] = node.workflow.pendingEffects
  if (!head || pendingVersion !== node.workflow.pendingVersion || !sameEffect(head, effect))
    return { refused: 'store.stale', why: `the effect ${effect.do} is not pending` }
  const isOff = effect.do === 'power' && effect.to === 'power off'
  const bootToken =
    isOff && !rest.some((next) => next.do === 'power') ? ended(node.workflow.bootToken) : node.workflow.bootToken
  const workflow = {
    ...node.workflow,
    pendingEffects: rest,
    tries: 0,
    retryAtMs: context.nowMs,
    imageId: found?.imageId ?? node.workflow.imageId,
    ...(found?.reboot ? { reboot: found.reboot } : {}),
    bmcTask: found?.bmcTask ?? node.workflow.bmcTask,
    phase: effect.do === 'firmware-mode' && found?.bmcTask ? ('firmware-mode' as const) : node.workflow.phase,
    bootToken,
  }
  const powered = effect.do === 'power' ? { powerState: effect.to, ...(isOff ? { agent: null } : {}) } : {}
  const next: NodeRecord = {
    ...node,
    ...found?.patch,
    workflow,
    ...powered,
    ...(found?.powerState ? { powerState: found.powerState } : {}),
  }
  if (found?.restart) {
    const restarting: NodeRecord = { ...next, workflow: { ...workflow, restartedForBmc: true } }
    return { node: owe(restarting, [...rest, ...restartForBmc(next)], context) }
  }
  if (rest.length > 0) return { node: next }
  const free: NodeRecord = { ...next, targetPowerState: null, workflow: { ...workflow, lockedAtMs: null } }
  return { node: isAtWork(free) ? afterPhase(free, context) : free }
}

/** What is usual and what is late is counted from here on: nothing times out because others were before it. */
export function onAdmitted(node: NodeRecord, context: StepContext): StepResult {
  if (!waitsForAdmission(node)) return { refused: 'store.stale', why: `node ${node.uuid} does not wait for admission` }
  const { nowMs } = context
  const workflow = { ...node.workflow, admittedAtMs: nowMs, lockedAtMs: nowMs }
  const admitted: NodeRecord = { ...node, provisionUpdatedAtMs: nowMs, workflow }
  const { pendingVersion } = workflow
  return onEffectDone(admitted, { type: 'effect-done', effect: ADMISSION, pendingVersion }, context)
}

export function onEffectFailed(
  node: NodeRecord,
  { effect, pendingVersion, fault }: EventOf<'effect-failed'>,
  context: StepContext,
): StepResult {
  const head = node.workflow.pendingEffects[0]
  if (!head || pendingVersion !== node.workflow.pendingVersion || !sameEffect(head, effect))
    return { refused: 'store.stale', why: `the effect ${effect.do} is not pending` }
  const tries = node.workflow.tries + 1
  if (fault.retry && tries < context.settings.effectTries && !('soft' in effect && effect.soft)) {
    const workflow = {
      ...node.workflow,
      tries,
      retryAtMs: context.nowMs + context.settings.effectRetryMs * 2 ** (tries - 1),
    }
    return { node: { ...node, workflow, lastError: fault.text, lastFault: { code: fault.code, atMs: context.nowMs } } }
  }
  return { node: giveUp(node, fault, context) }
}

/** What is owed will not be done. */
function giveUp(node: NodeRecord, fault: FaultNote, context: StepContext): NodeRecord {
  const workflow = {
    ...node.workflow,
    pendingEffects: [],
    pendingVersion: node.workflow.pendingVersion + 1,
    lockedAtMs: null,
    tries: 0,
  }
  const dropped: NodeRecord = { ...node, targetPowerState: null, workflow }
  // A change of the firmware that was asked for at rest leaves the node at rest.
  if (node.workflow.phase === 'firmware-mode' && !isWorking(node)) return withFault(modeOver(dropped), fault, context)
  return isAtWork(node) ? fail(dropped, fault, context) : withFault(dropped, fault, context)
}

const isWorking = ({ provisionState }: NodeRecord): boolean => STATES[provisionState].kind === 'working'

/** The order goes on with what the effects end in. */
const isAtWork = (node: NodeRecord): boolean => isWorking(node) || isLookedAt(node.workflow.phase)

export function onBreakLock(node: NodeRecord, why: string, context: StepContext): StepResult {
  if (!isLocked(node) && node.workflow.phase !== 'firmware-mode')
    return { refused: 'node.state', why: `node ${node.uuid} is not locked` }
  return { node: giveUp(node, { code: 'node.lock-broken', retry: false, text: why }, context) }
}

const sameEffect = (a: Effect, b: Effect): boolean => JSON.stringify(a) === JSON.stringify(b)
