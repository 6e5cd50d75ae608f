/** Which architecture a node has: what its record says, else what its firmware said in DHCP. Pure. */
import { architectureOf, type Architecture } from '../../../kit/architecture.ts'
import { firmwareArchitecture, type PortSighting } from '../../store/seen-of-port.ts'
import type { NodeRecord } from '../record.ts'

export interface NodeArchitecture {
  readonly architecture: Architecture
  /** For people. */
  readonly from: string
}

/** Null: nothing says it, or it is one that is not known here. */
export const recordedArchitecture = ({ properties }: Pick<NodeRecord, 'properties'>): Architecture | null =>
  architectureOf(properties.cpu_arch) ?? null

/** What its record and its firmware say. */
export const saidOf = (node: Pick<NodeRecord, 'properties'>, sightings: readonly PortSighting[]) => ({
  recorded: recordedArchitecture(node),
  firmware: firmwareArchitecture(sightings),
})

export function nodeArchitecture(
  node: Pick<NodeRecord, 'properties'>,
  sightings: readonly PortSighting[],
): NodeArchitecture | undefined {
  const { recorded, firmware } = saidOf(node, sightings)
  if (recorded) return { architecture: recorded, from: 'properties/cpu_arch' }
  return firmware ? { architecture: firmware, from: 'its firmware says so in DHCP' } : undefined
}
