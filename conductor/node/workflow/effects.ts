/** Phase -> the acts that are owed, in order. Pure: `worker.ts` performs them. */
import type { Phase } from './arrows.ts'
import { currentStep, type Effect, type NodeRecord } from '../record.ts'

/** Hardware types, and whether their nodes boot our ramdisk. */
export const DRIVERS = {
  ipmi: { agent: true, says: 'a server with an IPMI 2.0 BMC' },
  'fake-hardware': { agent: false, says: 'no server at all, for practice and for load tests' },
} as const

export type Driver = keyof typeof DRIVERS
export const isDriver = (name: string): name is Driver => Object.hasOwn(DRIVERS, name)
export const usesAgent = (node: Pick<NodeRecord, 'driver'>): boolean =>
  isDriver(node.driver) && DRIVERS[node.driver].agent

const OFF: Effect = { do: 'power', to: 'power off' }
const ON: Effect = { do: 'power', to: 'power on' }

export function effectsOf(phase: Phase, node: NodeRecord): readonly Effect[] {
  const real = usesAgent(node)
  const publish: readonly Effect[] = real ? [{ do: 'publish' }] : []
  switch (phase) {
    case 'verify':
      return [{ do: 'bmc-check' }]
    case 'prepare':
      return real ? [{ do: 'image' }] : []
    case 'boot':
      return [...publish, ...restart(node, 'pxe')]
    case 'start':
      return real ? [...publish, ...restart(node, 'disk')] : [ON]
    case 'halt':
    case 'teardown':
      // A node that must never be off keeps its agent, which does nothing without an order.
      return node.disablePowerOff ? publish : [...publish, OFF]
    case 'act':
      return actOf(node)
    case 'agent':
    case 'rest':
      return []
  }
}

/** A server that must not be switched off is reset instead (Ironic's disable_power_off). */
const restart = (node: NodeRecord, device: 'pxe' | 'disk'): readonly Effect[] =>
  node.disablePowerOff ? [{ do: 'boot-device', device }, { do: 'reset' }] : [OFF, { do: 'boot-device', device }, ON]

function actOf(node: NodeRecord): readonly Effect[] {
  const step = currentStep(node)
  // Fake hardware has no agent, so its steps are all ours.
  if (step && step.by !== 'conductor') return [{ do: 'pretend' }]
  switch (step?.step) {
    case 'power_on':
      return [{ do: 'boot-device', device: 'pxe' }, ON]
    case 'power_off':
      return [OFF]
    case 'reboot':
      return usesAgent(node) ? [{ do: 'publish' }, ...restart(node, 'pxe')] : [OFF, ON]
    case 'wait':
      return [{ do: 'wait', seconds: Number(step.args.seconds ?? 0) }]
    default:
      return []
  }
}
