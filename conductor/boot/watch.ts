/** What the boot services saw -> sightings, events, and the addresses of ports. And nodes -> what the boot services answer them. */
import type { EventQueue } from '../events/queue.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { bootClient, type BootClient } from './orders.ts'
import type { BootEvent } from './wire.ts'

const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export interface Updates {
  update(set: readonly BootClient[], gone: readonly string[]): void
}

export class BootWatch {
  private readonly store: Store
  private readonly sightings: Sightings
  private readonly queue: Pick<EventQueue, 'add'>

  constructor({ store, sightings, queue }: { store: Store; sightings: Sightings; queue: Pick<EventQueue, 'add'> }) {
    this.store = store
    this.sightings = sightings
    this.queue = queue
  }

  clientsOf = async (node: NodeRecord): Promise<BootClient[]> =>
    (await this.store.ports({ nodeUuid: node.uuid }, EVERY_PORT)).flatMap((port) => bootClient(node, port) ?? [])

  /** Tells the boot services how a node is answered now. `gone`: MACs that are no longer its. */
  async refresh(boot: Updates | undefined, nodeUuid: string, gone: readonly string[]): Promise<void> {
    if (!boot) return
    const node = await this.store.node(nodeUuid)
    const ports = node ? await this.store.ports({ nodeUuid }, EVERY_PORT) : []
    const silent = ports.filter((port) => !port.pxeEnabled).map((port) => port.address)
    boot.update(node ? ports.flatMap((port) => bootClient(node, port) ?? []) : [], [...gone, ...silent])
  }

  onEvent(event: BootEvent): void {
    const { atMs } = event
    const keep = (nodeUuid: string | null, kind: string, detail: Record<string, unknown>) =>
      this.queue.add({ atMs, nodeUuid, kind, detail })
    if (event.kind === 'unknown-mac') return keep(null, event.kind, { mac: event.mac })
    if (event.kind === 'trouble') return keep(event.nodeUuid, event.kind, { what: event.what })
    const fresh = this.sightings.note(event.nodeUuid, event.step, { atMs, detail: event.detail })
    if (fresh) keep(event.nodeUuid, 'seen', { step: event.step, detail: event.detail, mac: event.mac })
    // Where a node is reached is asked of its port.
    if (event.ip) void this.store.learnPortIp(event.mac, event.ip).catch(() => undefined)
  }
}
