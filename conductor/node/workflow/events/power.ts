/** Requests for a power state, and what the power poll reads. Pure. */
import type { Effect } from '../../effect.ts'
import type { FaultCode } from '../../../../kit/fault.ts'
import { isLocked, lockedWhy, type NodeRecord, type PowerTarget } from '../../record.ts'
import { modeWaitWhy } from '../../policy/firmware-target.ts'
import type { FaultNote, StepContext } from '../context.ts'
import { bootPlanOf } from '../boot-plans.ts'
import { usesAgent } from '../../policy/drivers.ts'
import type { EventOf, StepResult } from '../events.ts'
import { newBoot, withFault } from '../flow.ts'
import { STATES } from '../states.ts'

/** Why a node does not accept a request for a power state now; undefined: it does. */
export function refusedPower(
  node: NodeRecord,
  target: PowerTarget,
): { readonly refused: FaultCode; readonly why: string } | undefined {
  if (isLocked(node)) return { refused: 'node.locked', why: lockedWhy(node) }
  if (STATES[node.provisionState].powerFixed)
    return {
      refused: 'node.state',
      why: `the power of node ${node.uuid} cannot be changed in state "${node.provisionState}"`,
    }
  if (node.workflow.phase === 'bmc')
    return {
      refused: 'node.state',
      why: `the BMC of node ${node.uuid} carries out a step, for which the conductor restarts the server itself`,
    }
  const modeWait = modeWaitWhy(node)
  if (modeWait) return { refused: 'object.conflict', why: modeWait }
  const reboots = target === 'rebooting' || target === 'soft rebooting'
  if (node.disablePowerOff && target !== 'power on' && !reboots)
    return { refused: 'object.conflict', why: `node ${node.uuid} must not be switched off (disable_power_off)` }
  return undefined
}

export function onPower(node: NodeRecord, { target, timeoutMs }: EventOf<'power'>, context: StepContext): StepResult {
  const refused = refusedPower(node, target)
  if (refused) return refused
  const soft = target.startsWith('soft')
    ? ({ soft: true, timeoutMs: timeoutMs ?? context.settings.softPowerOffMs } as const)
    : {}
  const limit = timeoutMs === undefined ? {} : { timeoutMs }
  const off: Effect = { do: 'power', to: 'power off', ...limit, ...soft }
  const on: Effect = { do: 'power', to: 'power on', ...limit }
  const reboots = target === 'rebooting' || target === 'soft rebooting'
  const reboot: readonly Effect[] = node.disablePowerOff ? [{ do: 'reset' }] : [off, on]
  const pendingEffects = reboots ? reboot : target === 'power on' ? [on] : [off]
  const lock = {
    pendingVersion: node.workflow.pendingVersion + 1,
    lockedAtMs: context.nowMs,
    tries: 0,
    retryAtMs: context.nowMs,
  }
  const asked: NodeRecord = { ...node, targetPowerState: target, lastError: null, lastFault: null }
  // While the conductor waits for the agent, a boot that an operator requests goes into the ramdisk, and its agent is
  // trusted.
  const boots =
    STATES[node.provisionState].agent === 'works' &&
    usesAgent(node) &&
    (reboots || (target === 'power on' && node.powerState !== 'power on'))
  if (!boots) return { node: { ...asked, workflow: { ...node.workflow, ...lock, pendingEffects } } }
  const plan = bootPlanOf(node)
  const toRamdisk: readonly Effect[] = [
    { do: 'publish' },
    ...pendingEffects.slice(0, -1),
    ...plan.toRamdisk,
    ...pendingEffects.slice(-1),
    ...plan.onTheWay,
  ]
  const workflow = {
    ...newBoot(node.workflow),
    ...lock,
    pendingEffects: toRamdisk,
    deadlineMs: context.nowMs + context.settings.callbackTimeoutMs,
  }
  return { node: { ...asked, agent: null, workflow } }
}

/** A BMC that answers again ends the maintenance that its silence brought. */
export function onPolled(node: NodeRecord, { power, pendingVersion, health }: EventOf<'polled'>): NodeRecord {
  // Effects were pending since the power was read: the reading is out of date.
  if (isLocked(node) || pendingVersion !== node.workflow.pendingVersion) return node
  const back = node.fault === 'power failure'
  const felt = health === undefined || health === node.health ? node : { ...node, health }
  if (!back && node.powerState === power) return felt
  const seen: NodeRecord = { ...felt, powerState: power, targetPowerState: null }
  return back
    ? { ...seen, maintenance: false, maintenanceReason: null, fault: null, lastError: null, lastFault: null }
    : seen
}

export function onPollLost(node: NodeRecord, fault: FaultNote, context: StepContext): NodeRecord {
  if (isLocked(node) || node.maintenance || node.workflow.bmcTask?.hush) return node
  return {
    ...withFault(node, fault, context),
    powerState: 'error',
    maintenance: true,
    maintenanceReason: fault.text,
    fault: 'power failure',
  }
}
