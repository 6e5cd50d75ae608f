/** The BMC of a node, for what users ask of it: conductors of its group alone are known to reach it. */
import { Fault } from '../../../kit/fault.ts'
import type { BmcTarget } from '../../bmc/controller.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import type { Store } from '../../store/port.ts'
import type { NodeRecord } from '../record.ts'

export interface ReachParts {
  readonly store: Pick<Store, 'owner'>
  readonly bmcs: Pick<BmcRegistry, 'target'>
}

/** Throws `node.elsewhere` for a node of another conductor group, and `bmc.config`. */
export function reachable({ store, bmcs }: ReachParts, node: NodeRecord): BmcTarget {
  const others = store.owner?.elsewhere(node)
  if (!others) return bmcs.target(node)
  const group = JSON.stringify(node.conductorGroup)
  throw new Fault(
    'node.elsewhere',
    others.length === 0
      ? `node ${node.uuid} is of the conductor group ${group}, of which no conductor runs`
      : `node ${node.uuid} is of the conductor group ${group}, whose conductors are ${others.join(', ')}`,
  )
}
