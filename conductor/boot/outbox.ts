/** Events on their way to the conductor: they wait here while none is connected or while it takes them slowly, up to a
 *  limit; what is dropped is counted and told. */
import type { Writable } from 'node:stream'
import type { Clock } from '../../kit/clock.ts'
import { linesOf, type BootEvent } from './wire.ts'

/** What is told within a few milliseconds goes out in one write, or both ends would wake for each. */
const GATHER_MS = 5
const LINES_PER_WRITE = 64

export class Outbox {
  private readonly limit: number
  private readonly clock: Pick<Clock, 'now' | 'after'>
  private readonly onDropped: () => void
  private waiting: BootEvent[] = []
  private dropped = 0
  private socket: Writable | undefined
  private full = false
  private isDue = false

  constructor(parts: { limit: number; clock: Pick<Clock, 'now' | 'after'>; onDropped?: () => void }) {
    this.limit = parts.limit
    this.clock = parts.clock
    this.onDropped = parts.onDropped ?? (() => undefined)
  }

  /** How many events wait. */
  get size(): number {
    return this.waiting.length
  }

  push(event: BootEvent): void {
    if (this.waiting.length < this.limit) this.waiting.push(event)
    else {
      this.dropped += 1
      this.onDropped()
    }
    if (!this.socket || this.full) return
    if (this.waiting.length >= Math.min(this.limit, LINES_PER_WRITE)) return this.flush()
    if (this.isDue) return
    this.isDue = true
    this.clock.after(GATHER_MS, () => {
      this.isDue = false
      this.flush()
    })
  }

  /** The connection to write to from now on; undefined: none. */
  attach(socket: Writable | undefined): void {
    this.socket = socket
    this.full = false
    socket?.on('drain', () => {
      if (this.socket !== socket) return
      this.full = false
      this.flush()
    })
    this.flush()
  }

  private flush(): void {
    let sent = 0
    while (this.socket && !this.full && sent < this.waiting.length) {
      const events = this.waiting.slice(sent, sent + LINES_PER_WRITE)
      this.full = !this.socket.write(linesOf(events.map((event) => ({ t: 'event', event }))))
      sent += events.length
    }
    if (sent > 0) this.waiting = this.waiting.slice(sent)
    if (this.dropped === 0 || this.waiting.length > 0) return
    const count = this.dropped
    this.dropped = 0
    this.push({
      kind: 'trouble',
      atMs: this.clock.now(),
      nodeUuid: null,
      what: `${count} events were dropped: the conductor did not take them in time`,
      count,
    })
  }
}
