/** A conductor's end of the connection of one boot room: sends it the orders of its segments, and takes what it
 *  reports. */
import type { Socket } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { BootTotals } from '../counters.ts'
import { readLines, type BootEvent } from '../wire.ts'
import type { RoomListener, RoomHub } from './hub.ts'
import type { RoomRecord } from './records.ts'
import { eventOf } from './reports.ts'
import {
  ALIVE_MS,
  FromRoom,
  ROOM_LINE_LENGTH,
  SILENT_MS,
  WIRE,
  type Gone,
  type HeldClient,
  type RoomClient,
  type RoomSettings,
  type ToRoom,
} from './wire.ts'

export type RoomHello = FromRoom & { readonly t: 'hello' }

export interface RoomSessionParts {
  readonly socket: Socket
  readonly room: RoomRecord
  readonly hub: RoomHub
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
  /** It said hello. */
  readonly welcome: (hello: RoomHello) => Promise<RoomSettings>
  /** How many reports of this queue were taken, by any conductor. */
  readonly takenOf: (queue: string) => Promise<number>
  /** Everything that it holds; afterwards it is told what it is to hold. */
  readonly onHeld: (hello: RoomHello, held: readonly HeldClient[]) => Promise<void>
  readonly onEvent: (event: BootEvent) => void
  readonly onTotals: (totals: BootTotals) => void
  /** Its reports up to this number are in the journal. */
  readonly keepTaken: (queue: string, upTo: number) => Promise<void>
  readonly onEnd: () => void
}

/** Clients of one line. */
const PART = 500
const FLUSH_MS = 10_000
const MAX_HELD = 100_000

export class RoomSession implements RoomListener {
  readonly segments: ReadonlySet<string>
  private readonly parts: RoomSessionParts
  private hello: RoomHello | undefined
  private heardAtMs: number
  private isToldOf = false
  private revision = 0
  private acked = 0
  /** Undefined: it reported nothing here yet. */
  private taken: number | undefined
  private held: HeldClient[] = []
  private readonly waiters = new Set<() => void>()
  private leave: () => void = () => undefined
  private cancelAlive: () => void = () => undefined
  private last: Promise<void> = Promise.resolve()

  constructor(parts: RoomSessionParts) {
    this.parts = parts
    this.segments = new Set(parts.room.segments)
    this.heardAtMs = parts.clock.now()
  }

  get room(): string {
    return this.parts.room.name
  }

  get address(): { readonly address: string; readonly port: number } | undefined {
    return this.hello
  }

  start(): void {
    const { socket } = this.parts
    socket.on('error', () => undefined)
    socket.on('close', () => this.ended())
    readLines<unknown>(socket, (line) => this.read(line), ROOM_LINE_LENGTH)
    this.beat()
  }

  end(): void {
    this.parts.socket.destroy()
  }

  send(set: readonly RoomClient[], gone: readonly Gone[]): void {
    this.revision += 1
    this.write({ t: 'orders', revision: this.revision, whole: false, mark: this.parts.hub.mark, set, gone })
  }

  async flush(): Promise<boolean> {
    const { clock, socket } = this.parts
    const wanted = this.revision
    const endMs = clock.now() + FLUSH_MS
    while (this.acked < wanted && !socket.destroyed && clock.now() < endMs)
      await new Promise<void>((resolve) => {
        const cancel = clock.after(endMs - clock.now(), resolve)
        this.waiters.add(() => {
          cancel()
          resolve()
        })
      })
    // One that takes nothing goes on with what it has, and is to know that it is cut off.
    if (this.acked < wanted) this.end()
    return this.acked >= wanted
  }

  private read(line: unknown): void {
    const { success, data } = FromRoom.safeParse(line)
    if (!success || (data.t !== 'hello') !== (this.hello !== undefined)) return this.refuse()
    this.heardAtMs = this.parts.clock.now()
    // One after the other: what waits is not read from the wire.
    this.parts.socket.pause()
    this.last = this.last
      .then(() => this.take(data))
      .catch((error: Error) => {
        this.parts.log.warn({ room: this.room, error: error.message }, 'a boot room is disconnected')
        this.end()
      })
      .finally(() => void this.parts.socket.resume())
    if (data.t === 'hello') this.hello = data
  }

  private refuse(): void {
    this.parts.log.warn(
      { room: this.room },
      'a boot room is disconnected: it says what no boot room of this version says',
    )
    this.end()
  }

  private async take(message: FromRoom): Promise<void> {
    const { parts } = this
    const { hub } = parts
    switch (message.t) {
      case 'hello': {
        if (message.wire !== WIRE) return this.refuse()
        const settings = await parts.welcome(message)
        const taken = await parts.takenOf(message.queue)
        return this.write({ t: 'welcome', wire: WIRE, settings, taken })
      }
      case 'held':
        this.held.push(...message.clients)
        if (this.held.length > MAX_HELD) return this.refuse()
        if (message.more || !this.hello) return undefined
        await parts.onHeld(this.hello, this.held.splice(0))
        // Who has gone meanwhile left nothing to leave.
        if (parts.socket.destroyed) return undefined
        this.leave()
        this.leave = hub.join(this)
        return this.sendAll()
      case 'have':
        this.acked = Math.max(this.acked, Math.min(message.revision, this.revision))
        return this.wake()
      case 'reports':
        return this.takeReports(message)
      case 'totals':
        return parts.onTotals(message.totals)
      case 'alive':
        return undefined
    }
  }

  private async takeReports({ from, reports }: FromRoom & { t: 'reports' }): Promise<void> {
    const { room, hub, clock, onEvent, keepTaken, takenOf } = this.parts
    const queue = this.hello?.queue ?? ''
    // Another conductor may have taken some since the welcome, whose word of it was lost.
    const taken = (this.taken ??= await takenOf(queue))
    const isOwn = (nodeUuid: string) => hub.isIn(this.segments, nodeUuid)
    const upTo = from + reports.length - 1
    for (const [i, report] of reports.entries()) {
      if (from + i <= taken) continue
      const event = eventOf(report, { room: room.name, nowMs: clock.now(), isOwn })
      if (event) onEvent(event)
    }
    if (upTo > taken) await keepTaken(queue, upTo)
    this.taken = Math.max(taken, upTo)
    this.write({ t: 'taken', upTo: this.taken })
  }

  /** Everything that it is to hold, once it has said what it holds. */
  tellAll(): void {
    if (this.hello && this.isToldOf) this.sendAll()
  }

  private sendAll(): void {
    this.isToldOf = true
    // It goes on with what it has.
    if (!this.parts.hub.mayTell) return
    const clients = this.parts.hub.clientsOf(this.segments)
    this.revision += 1
    const about = { t: 'orders', revision: this.revision, whole: true, mark: this.parts.hub.mark, gone: [] } as const
    let from = 0
    for (; clients.length - from > PART; from += PART)
      this.write({ ...about, more: true, set: clients.slice(from, from + PART) })
    this.write({ ...about, set: clients.slice(from) })
  }

  private write(message: ToRoom): void {
    if (!this.parts.socket.destroyed) this.parts.socket.write(`${JSON.stringify(message)}\n`)
  }

  private beat(): void {
    const { clock } = this.parts
    this.cancelAlive = clock.after(ALIVE_MS, () => {
      if (clock.now() - this.heardAtMs > SILENT_MS) return this.end()
      this.write({ t: 'alive' })
      this.beat()
    })
  }

  private ended(): void {
    this.cancelAlive()
    this.leave()
    this.wake()
    this.parts.onEnd()
  }

  private wake(): void {
    for (const wake of this.waiters) wake()
    this.waiters.clear()
  }
}
