/** Node -> the ISO image that it boots by virtual media now. Pure, and derived from the record alone. */
import { isFault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import { bootPlanOf } from '../node/workflow/boot-plans.ts'
import type { ObjectRecord, PortRecord } from '../store/port.ts'
import { staticNetwork, withBundle, type BootSubnet, type StaticNetwork } from './network-data.ts'
import { orderNow } from './orders.ts'

export interface MediaOrder {
  readonly nodeUuid: string
  /** Null: it boots from none. */
  readonly boot: MediaBoot | null
}

export interface MediaBoot {
  readonly generation: number
  readonly system: 'deploy' | 'rescue'
  readonly network: StaticNetwork
}

/** An image is there for as long as its boot token is good: once an agent has called, nobody needs it any more. */
export function mediaOrder(
  node: NodeRecord,
  at: { readonly ports: readonly PortRecord[]; readonly groups: readonly ObjectRecord[] },
  subnets: readonly BootSubnet[],
): MediaOrder {
  const none = { nodeUuid: node.uuid, boot: null }
  if (!bootPlanOf(node).servesIso) return none
  const order = orderNow(node)
  if (order.kind !== 'ramdisk' || node.workflow.bootToken !== 'good') return none
  try {
    const network = withBundle(staticNetwork(node, at.ports, subnets), at)
    return {
      nodeUuid: node.uuid,
      boot: { generation: order.generation, system: order.rescue ? 'rescue' : 'deploy', network },
    }
  } catch (error) {
    // Who boots the node is told by the effect that inserts the image.
    if (isFault(error, 'node.network-data')) return none
    throw error
  }
}
