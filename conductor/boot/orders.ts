/** Node -> what its network boot is answered with now. Pure, and derived from the records alone: there is nothing to
 *  forget to update. */
import type { Architecture } from '../../kit/architecture.ts'
import { isFault } from '../../kit/fault.ts'
import { saidOf } from '../node/policy/architecture.ts'
import { usesAgent } from '../node/policy/drivers.ts'
import { hostNameOf, type InstanceBoot, type NodeRecord } from '../node/record.ts'
import { bootsSigned, bootsUki } from '../node/policy/firmware-target.ts'
import { bootPlanOf } from '../node/workflow/boot-plans.ts'
import { STATES } from '../node/workflow/states.ts'
import { cardOf, type PortSighting } from '../store/seen-of-port.ts'
import type { ObjectRecord, PortRecord } from '../store/port.ts'
import { bundleOf, fixedAddressOf, type BootGroup } from './bonds.ts'
import type { OrderVersion } from './rooms/version.ts'

export type OrderNow =
  /** `token`: the script carries a boot token of this generation. */
  | { readonly kind: 'ramdisk'; readonly generation: number; readonly rescue: boolean; readonly token: boolean }
  /** The instance itself. What it boots is never given a token. */
  | { readonly kind: 'instance'; readonly boot: InstanceBoot }
  | { readonly kind: 'local' }
  | { readonly kind: 'nothing' }

/** One MAC of one known node, as the boot services hold it. */
export interface BootClient {
  readonly mac: string
  readonly nodeUuid: string
  readonly label: string
  readonly order: OrderNow
  readonly fixedIp: string | null
  readonly hostName: string | null
  /** The model of the card by its PCI ids, as "0x8086:0x1593"; null: it was not inspected. */
  readonly card: string | null
  /** It boots through shim and GRUB instead of iPXE. Absent in snapshots of before. */
  readonly signed?: boolean
  /** It boots the signed ramdisk of the site, when it boots a ramdisk. */
  readonly uki?: boolean
  /** What the record of the node says; null or absent: nothing. */
  readonly architecture?: Architecture | null
  /** What the firmware of the node said last. */
  readonly firmware?: Architecture | null
  /** The bundle of cards that it belongs to, all of which have one address. */
  readonly group?: BootGroup
  /** The VLAN that the ramdisk sends in. */
  readonly vlan?: number
  /** Why it is answered nothing. */
  readonly refusal?: string
  /** Of the records that this was made of; boot rooms have it alone. */
  readonly version?: OrderVersion
}

/** Ports of a node, and what is known of them. */
export interface BootPorts {
  readonly ports: readonly PortRecord[]
  readonly groups: readonly ObjectRecord[]
  readonly sightings: readonly PortSighting[]
}

export function orderNow(node: NodeRecord): OrderNow {
  const { phase, generation, bootToken, order } = node.workflow
  const { booting } = STATES[node.provisionState]
  if (booting === 'disk' || phase === 'start' || phase === 'jump')
    return node.instanceBoot ? { kind: 'instance', boot: node.instanceBoot } : { kind: 'local' }
  if (booting === 'ramdisk' && usesAgent(node))
    return {
      kind: 'ramdisk',
      generation,
      rescue: order === 'rescue',
      token: bootToken === 'good' || bootToken === 'traded',
    }
  return { kind: 'nothing' }
}

/** A node that boots its ramdisk from the boot ISO does not get it from the network as well. */
function networkOrder(node: NodeRecord): OrderNow {
  const order = orderNow(node)
  return order.kind === 'ramdisk' && bootPlanOf(node).servesIso ? { kind: 'nothing' } : order
}

export const bootClients = (node: NodeRecord, at: BootPorts): BootClient[] =>
  at.ports.filter(({ pxeEnabled }) => pxeEnabled).map((port) => bootClient(node, port, at))

function bootClient(node: NodeRecord, port: PortRecord, { ports, groups, sightings }: BootPorts): BootClient {
  const { recorded: architecture, firmware } = saidOf(node, sightings)
  return {
    mac: port.address,
    nodeUuid: node.uuid,
    label: node.name ?? node.uuid,
    order: networkOrder(node),
    fixedIp: fixedAddressOf(port, ports),
    hostName: hostNameOf(node),
    card: cardOf(sightings.filter(({ portUuid }) => portUuid === port.uuid)),
    signed: bootsSigned(node),
    uki: bootsUki(node),
    architecture,
    firmware,
    ...bundlePart(port, { ports, groups }),
  }
}

function bundlePart(
  port: PortRecord,
  at: Pick<BootPorts, 'ports' | 'groups'>,
): Pick<BootClient, 'group' | 'vlan' | 'refusal'> {
  try {
    const { group, vlan, standalone } = bundleOf(port, at)
    if (!standalone)
      return { refusal: 'the ports of its port group boot alone in no case (standalone_ports_supported is false)' }
    return { ...(group ? { group } : {}), ...(vlan === null ? {} : { vlan }) }
  } catch (error) {
    if (isFault(error, 'node.network-data')) return { refusal: error.detail }
    throw error
  }
}
