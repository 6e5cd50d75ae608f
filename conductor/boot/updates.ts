/** Nodes -> what the boot services answer them. */
import { Turns } from '../../kit/turns.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
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

export class BootUpdates {
  private readonly store: BootStore
  private readonly boot: BootServices | undefined
  private readonly subnets: readonly BootSubnet[]
  private readonly turns = new Turns()

  /** Without boot services nothing is sent. */
  constructor(store: BootStore, boot: BootServices | undefined, subnets: readonly BootSubnet[] = []) {
    this.store = store
    this.boot = boot
    this.subnets = subnets
  }

  readonly ordersOf = async (node: NodeRecord): Promise<{ clients: BootClient[]; media: MediaOrder }> => {
    const at = await this.portsOf(node.uuid)
    return { clients: bootClients(node, at), media: mediaOrder(node, at, this.subnets) }
  }

  /** Sends the boot services the present state of a node. `gone`: MAC addresses that no longer belong to it. */
  readonly refresh = async (nodeUuid: string, gone: readonly string[]): Promise<void> => {
    const { boot } = this
    // In turn: what was read earlier never arrives later.
    if (boot) await this.turns.take(nodeUuid, () => this.send(boot, nodeUuid, gone))
  }

  private async send(boot: BootServices, nodeUuid: string, gone: readonly string[]): Promise<void> {
    const node = await this.store.node(nodeUuid)
    if (!node) return boot.update([], gone, [{ nodeUuid, boot: null }])
    const at = await this.portsOf(nodeUuid)
    const disabled = at.ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    boot.update(bootClients(node, at), [...gone, ...disabled], [mediaOrder(node, at, this.subnets)])
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
  }
}
