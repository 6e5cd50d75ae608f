/** Phase -> the acts that are owed, in order. Pure: `worker.ts` performs them. */
import type { Phase } from './arrows.ts'
import type { Effect, NodeRecord } from './record.ts'

/** Hardware types, and whether their nodes boot our ramdisk. */
export const DRIVERS = {
  ipmi: { agent: true, says: 'a server with an IPMI 2.0 BMC' },
  'fake-hardware': { agent: false, says: 'no server at all, for practice and for load tests' },
} as const

export type Driver = keyof typeof DRIVERS
export const isDriver = (name: string): name is Driver => Object.hasOwn(DRIVERS, name)
export const usesAgent = (node: NodeRecord): boolean => isDriver(node.driver) && DRIVERS[node.driver].agent

/** A node whose automated cleaning is switched off becomes available as it is; asked-for clean steps are done all the same. */
export const skipsClean = (node: NodeRecord): boolean =>
  node.machine.order === 'clean' && node.machine.cleaningTo === 'available' && node.automatedClean === false

const OFF: Effect = { do: 'power', to: 'power off' }
const ON: Effect = { do: 'power', to: 'power on' }

export function effectsOf(phase: Phase, node: NodeRecord, warm: boolean): readonly Effect[] {
  const image: readonly Effect[] = node.machine.order === 'deploy' ? [{ do: 'image' }] : []
  switch (phase) {
    case 'verify':
      return [{ do: 'bmc-check' }]
    case 'boot':
      if (!usesAgent(node)) return [{ do: 'pretend' }]
      if (skipsClean(node)) return []
      // The image comes first: a server is not touched for a deploy that cannot be made.
      return warm ? image : [...image, { do: 'publish' }, OFF, { do: 'boot-device', device: 'pxe' }, ON]
    case 'start':
      return [{ do: 'publish' }, OFF, { do: 'boot-device', device: 'disk' }, ON]
    case 'halt':
      return [{ do: 'publish' }, OFF]
    case 'agent':
    case 'rest':
      return []
  }
}
