/** Events on their way to the conductor: they wait here while none is connected or while it takes them slowly, up to a
 *  limit; what is dropped is counted and told. */
import type { Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { writeLine, type BootEvent } from './wire.ts'

const GATHER_MS = 5

export class Outbox {
  private readonly limit: number
  private readonly clock: Pick<Clock, 'now' | 'after'>
  private readonly onDropped: () => void
  private readonly waiting: BootEvent[] = []
  private dropped = 0
  private socket: Socket | undefined
  private full = false
  private gathering: Socket | undefined

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
    this.flush()
  }

  /** The connection to write to from now on; undefined: none. */
  attach(socket: Socket | undefined): void {
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
    if (this.socket && this.waiting.length > 0) this.gather(this.socket)
    let sent = 0
    while (this.socket && !this.full && sent < this.waiting.length) {
      this.full = !writeLine(this.socket, { t: 'event', event: this.waiting[sent] as BootEvent })
      sent += 1
    }
    if (this.socket && this.full) this.letGo(this.socket)
    if (sent > 0) this.waiting.splice(0, sent)
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

  /** What is told within a few milliseconds goes out in one write, or the conductor would wake for each. */
  private gather(socket: Socket): void {
    if (this.gathering === socket) return
    this.gathering = socket
    socket.cork()
    this.clock.after(GATHER_MS, () => this.letGo(socket))
  }

  private letGo(socket: Socket): void {
    if (this.gathering !== socket) return
    this.gathering = undefined
    socket.uncork()
  }
}
