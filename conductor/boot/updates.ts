/** Nodes -> what the boot services answer them. */
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { mediaOrder, type MediaOrder } from './media-orders.ts'
import type { BootSubnet } from './network-data.ts'
import { bootClient, type BootClient } from './orders.ts'

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export interface BootServices {
  update(set: readonly BootClient[], gone: readonly string[], media: readonly MediaOrder[]): void
  flush(): Promise<void>
}

export class BootUpdates {
  private readonly store: Pick<Store, 'node' | 'ports' | 'portSightings'>
  private readonly boot: BootServices | undefined
  private readonly subnets: readonly BootSubnet[]

  /** Without boot services nothing is sent. */
  constructor(
    store: Pick<Store, 'node' | 'ports' | 'portSightings'>,
    boot: BootServices | undefined,
    subnets: readonly BootSubnet[] = [],
  ) {
    this.store = store
    this.boot = boot
    this.subnets = subnets
  }

  readonly ordersOf = async (node: NodeRecord): Promise<{ clients: BootClient[]; media: MediaOrder }> => {
    const ports = await this.store.ports({ nodeUuid: node.uuid }, EVERY_PORT)
    const sightings = await this.store.portSightings(node.uuid)
    const clients = ports.flatMap((port) => bootClient(node, port, sightings) ?? [])
    return { clients, media: mediaOrder(node, ports, this.subnets) }
  }

  /** Sends the boot services the present state of a node. `gone`: MAC addresses that no longer belong to it. */
  readonly refresh = async (nodeUuid: string, gone: readonly string[]): Promise<void> => {
    if (!this.boot) return
    const node = await this.store.node(nodeUuid)
    const ports = node ? await this.store.ports({ nodeUuid }, EVERY_PORT) : []
    const disabled = ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    const sightings = node ? await this.store.portSightings(nodeUuid) : []
    const clients = node ? ports.flatMap((port) => bootClient(node, port, sightings) ?? []) : []
    const media = node ? mediaOrder(node, ports, this.subnets) : { nodeUuid, boot: null }
    this.boot.update(clients, [...gone, ...disabled], [media])
  }

  /** As `refresh`, and waits until the boot services have it. */
  readonly publish = async (nodeUuid: string): Promise<void> => {
    await this.refresh(nodeUuid, [])
    await this.boot?.flush()
  }
}
