/** Nodes -> what the boot services answer them. */
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { bootClient, type BootClient } from './orders.ts'

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export interface BootServices {
  update(set: readonly BootClient[], gone: readonly string[]): void
  flush(): Promise<void>
}

export class BootUpdates {
  private readonly store: Pick<Store, 'node' | 'ports'>
  private readonly boot: BootServices | undefined

  /** Without boot services nothing is sent. */
  constructor(store: Pick<Store, 'node' | 'ports'>, boot: BootServices | undefined) {
    this.store = store
    this.boot = boot
  }

  readonly clientsOf = async (node: NodeRecord): Promise<BootClient[]> =>
    (await this.store.ports({ nodeUuid: node.uuid }, EVERY_PORT)).flatMap((port) => bootClient(node, port) ?? [])

  /** Sends the boot services the present state of a node. `gone`: MAC addresses that no longer belong to it. */
  readonly refresh = async (nodeUuid: string, gone: readonly string[]): Promise<void> => {
    if (!this.boot) return
    const node = await this.store.node(nodeUuid)
    const ports = node ? await this.store.ports({ nodeUuid }, EVERY_PORT) : []
    const disabled = ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    this.boot.update(node ? ports.flatMap((port) => bootClient(node, port) ?? []) : [], [...gone, ...disabled])
  }

  /** As `refresh`, and waits until the boot services have it. */
  readonly publish = async (nodeUuid: string): Promise<void> => {
    await this.refresh(nodeUuid, [])
    await this.boot?.flush()
  }
}
