/** What the boot services saw -> sightings, events, and the addresses of ports. */
import type { EventQueue } from '../events/queue.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { Store } from '../store/port.ts'
import type { BootEvent } from './wire.ts'

export class BootWatch {
  private readonly store: Store
  private readonly sightings: Sightings
  private readonly queue: Pick<EventQueue, 'add'>

  constructor({ store, sightings, queue }: { store: Store; sightings: Sightings; queue: Pick<EventQueue, 'add'> }) {
    this.store = store
    this.sightings = sightings
    this.queue = queue
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
