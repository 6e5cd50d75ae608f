/** Nodes -> what the boot services answer them. */
import { Turns } from '../../kit/turns.ts'
import type { NodeRecord } from '../node/record.ts'
import type { PortRecord, Store } from '../store/port.ts'
import { mediaOrder, type MediaOrder } from './media-orders.ts'
import type { BootSubnet } from './network-data.ts'
import { bootClients, type BootClient, type BootPorts } from './orders.ts'

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const
const EVERY_GROUP = EVERY_PORT

type BootStore = Pick<Store, 'node' | 'ports' | 'portSightings' | 'objects'>

export interface BootServices {
  update(set: readonly BootClient[], gone: readonly string[], media: readonly MediaOrder[]): void
  flush(): Promise<void>
}

/** What one node boots now. */
export interface NodeOrders {
  readonly nodeUuid: string
  /** Undefined: it is gone. */
  readonly node: NodeRecord | undefined
  readonly ports: readonly PortRecord[]
  readonly clients: readonly BootClient[]
}

/** The boot rooms, which hold orders of some nodes each. */
export interface RoomServices {
  take(orders: NodeOrders): Promise<void>
  flush(nodeUuid: string): Promise<void>
}

export class BootUpdates {
  private readonly store: BootStore
  private readonly boot: BootServices | undefined
  private readonly rooms: RoomServices | undefined
  private readonly subnets: readonly BootSubnet[]
  private readonly mayTell: () => boolean
  private readonly turns = new Turns()

  /** Without boot services and boot rooms nothing is sent; nor are the boot services while `mayTell` says no. */
  constructor(
    store: BootStore,
    boot: BootServices | undefined,
    {
      subnets = [],
      rooms,
      mayTell = () => true,
    }: {
      readonly subnets?: readonly BootSubnet[]
      readonly rooms?: RoomServices | undefined
      readonly mayTell?: () => boolean
    } = {},
  ) {
    this.store = store
    this.boot = boot
    this.rooms = rooms
    this.subnets = subnets
    this.mayTell = mayTell
  }

  readonly ordersOf = async (node: NodeRecord): Promise<NodeOrders & { clients: BootClient[]; media: MediaOrder }> => {
    const at = await this.portsOf(node.uuid)
    const clients = bootClients(node, at)
    return { nodeUuid: node.uuid, node, ports: at.ports, clients, media: mediaOrder(node, at, this.subnets) }
  }

  /** Sends the boot services the present state of a node. `gone`: MAC addresses that no longer belong to it. */
  readonly refresh = async (nodeUuid: string, gone: readonly string[]): Promise<void> => {
    // In turn: what was read earlier never arrives later.
    if (this.boot || this.rooms) await this.turns.take(nodeUuid, () => this.send(nodeUuid, gone))
  }

  private async send(nodeUuid: string, gone: readonly string[]): Promise<void> {
    const { rooms } = this
    const boot = this.mayTell() ? this.boot : undefined
    const node = await this.store.node(nodeUuid)
    if (!node) {
      boot?.update([], gone, [{ nodeUuid, boot: null }])
      return rooms?.take({ nodeUuid, node, ports: [], clients: [] })
    }
    const at = await this.portsOf(nodeUuid)
    const disabled = at.ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    const clients = bootClients(node, at)
    boot?.update(clients, [...gone, ...disabled], [mediaOrder(node, at, this.subnets)])
    await rooms?.take({ nodeUuid, node, ports: at.ports, clients })
  }

  private async portsOf(nodeUuid: string): Promise<BootPorts> {
    const ports = await this.store.ports({ nodeUuid }, EVERY_PORT)
    const isBundled = ports.some(({ portgroupUuid }) => portgroupUuid !== null)
    const groups = isBundled ? await this.store.objects.list('portgroup', { nodeUuid }, EVERY_GROUP) : []
    return { ports, groups, sightings: await this.store.portSightings(nodeUuid) }
  }

  /** As `refresh`, and waits until the boot services have it. */
  readonly publish = async (nodeUuid: string): Promise<void> => {
    await this.refresh(nodeUuid, [])
    await this.boot?.flush()
    await this.rooms?.flush(nodeUuid)
  }
}
