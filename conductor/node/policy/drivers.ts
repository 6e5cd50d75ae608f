/** The drivers that a node may have (Ironic's hardware types). Pure. */
import type { NodeRecord } from '../record.ts'

/** Hardware types, and whether their nodes boot our ramdisk. */
export const DRIVERS = {
  ipmi: { agent: true, says: 'a server with an IPMI 2.0 BMC' },
  redfish: { agent: true, says: 'a server whose BMC speaks Redfish' },
  idrac: { agent: true, says: 'a Dell server, through Redfish' },
  'fake-hardware': { agent: false, says: 'no server at all, for practice and for load tests' },
} as const

export type Driver = keyof typeof DRIVERS
export const isDriver = (name: string): name is Driver => Object.hasOwn(DRIVERS, name)
export const usesAgent = (node: Pick<NodeRecord, 'driver'>): boolean =>
  isDriver(node.driver) && DRIVERS[node.driver].agent
