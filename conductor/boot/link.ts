/** The conductor's end: finds the boot services that still run, or starts them; keeps their clients true; hears what
 *  they see. */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Fault } from '../../kit/fault.ts'
import { until, type Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { BootTotals } from './counters.ts'
import type { MediaOrder } from './media-orders.ts'
import type { BootClient } from './orders.ts'
import { readLines, writeLine, type BootEvent, type FromBoot } from './wire.ts'

export interface Launched {
  running(): boolean
}

export interface LinkParts {
  readonly dataDir: string
  readonly fingerprint: string
  /** Starts the boot services as a process of their own. */
  readonly launch: () => Launched
  readonly clock: Clock
  readonly log: Log
  readonly onEvent: (event: BootEvent) => void
}

/** A process that runs is waited for: an emulated or overloaded machine takes minutes. systemd allows 300 s. */
const START_TIMEOUT_MS = 240_000
/** One that ends is started again, because its predecessor may hold the ports for a moment; after this long it has
 *  failed. */
const FAILING_MS = 15_000
const RELAUNCH_MS = 2_000
const ACK_TIMEOUT_MS = 10_000
const RECONNECT_MS = 500
/** Clients of one line. */
const PART = 500

export class BootLink {
  private readonly parts: LinkParts
  private readonly clients = new Map<string, BootClient>()
  /** Of nodes that boot from the boot ISO now. */
  private readonly media = new Map<string, MediaOrder>()
  private socket: Socket | undefined
  private revision = 0
  private acked = 0
  private readonly waiters = new Set<() => void>()
  private stopped = false
  private totalsListener: (totals: BootTotals) => void = () => undefined
  private reconnecting: Promise<void> | undefined

  constructor(parts: LinkParts) {
    this.parts = parts
  }

  async start(clients: readonly BootClient[], media: readonly MediaOrder[] = []): Promise<void> {
    for (const client of clients) this.clients.set(client.mac, client)
    this.keepMedia(media)
    await this.open()
  }

  /** Who hears of the totals of the boot services from now on. */
  onTotals(listener: (totals: BootTotals) => void): void {
    this.totalsListener = listener
  }

  get connected(): boolean {
    return this.socket !== undefined
  }

  /** Stops the boot services too. */
  async stop(): Promise<void> {
    this.stopped = true
    if (this.socket) writeLine(this.socket, { t: 'stop' })
    this.socket?.end()
  }

  /** Changes clients; answers at once. `flush` waits until the boot services have it. What is as it was is not sent: a
   *  change of a node that its boot is not answered with costs them nothing. */
  update(set: readonly BootClient[], gone: readonly string[], media: readonly MediaOrder[] = []): void {
    const changed = set.filter((client) => !isDeepStrictEqual(this.clients.get(client.mac), client))
    for (const client of changed) this.clients.set(client.mac, client)
    const left = gone.filter((mac) => this.clients.has(mac))
    const images = media.filter((order) => !this.hasMedia(order))
    if (changed.length + left.length + images.length === 0) return
    for (const mac of left) this.clients.delete(mac)
    this.keepMedia(images)
    this.revision += 1
    const { revision, socket } = this
    if (socket) writeLine(socket, { t: 'clients', revision, whole: false, set: changed, gone: left, media: images })
  }

  /** Nobody is answered any more. */
  withdraw(): void {
    const media = [...this.media.keys()].map((nodeUuid) => ({ nodeUuid, boot: null }))
    this.update([], [...this.clients.keys()], media)
  }

  private hasMedia(order: MediaOrder): boolean {
    const known = this.media.get(order.nodeUuid)
    return order.boot ? isDeepStrictEqual(known, order) : known === undefined
  }

  private keepMedia(media: readonly MediaOrder[]): void {
    for (const order of media)
      if (order.boot) this.media.set(order.nodeUuid, order)
      else this.media.delete(order.nodeUuid)
  }

  /** Throws `boot.down` when the boot services do not take the newest clients in time. */
  async flush(): Promise<void> {
    const wanted = this.revision
    const endMs = this.parts.clock.now() + ACK_TIMEOUT_MS
    while (this.acked < wanted) {
      if (this.parts.clock.now() >= endMs) throw new Fault('boot.down', 'the boot services did not take the boot order')
      await new Promise<void>((resolve) => {
        const cancel = this.parts.clock.after(ACK_TIMEOUT_MS, resolve)
        this.waiters.add(() => {
          cancel()
          resolve()
        })
      })
    }
  }

  private async open(): Promise<void> {
    const { clock, log } = this.parts
    const beganAtMs = clock.now()
    let process: Launched | undefined
    let launchedAtMs = Number.NEGATIVE_INFINITY
    const look = async (): Promise<true | undefined> => {
      const found = await this.dial()
      if (found && found.fingerprint === this.parts.fingerprint) {
        this.adopt(found.socket)
        return true
      }
      if (found) {
        log.info('boot services with another configuration run; they are replaced')
        writeLine(found.socket, { t: 'stop' })
        found.socket.end()
        process = undefined
        return undefined
      }
      if (process?.running()) return undefined

      const nowMs = clock.now()
      if (process && nowMs - beganAtMs > FAILING_MS) throw new Error('the process ended each time it was started')
      if (process && nowMs - launchedAtMs < RELAUNCH_MS) return undefined
      launchedAtMs = nowMs
      process = this.parts.launch()
      return undefined
    }
    await until(look, { what: 'the boot services', timeoutMs: START_TIMEOUT_MS, everyMs: 100, clock }).catch(
      (error: unknown) => {
        throw new Fault(
          'boot.down',
          `the boot services did not start: ${(error as Error).message}; their own messages are above in the log`,
          { cause: error },
        )
      },
    )
  }

  private dial(): Promise<{ socket: Socket; fingerprint: string } | undefined> {
    return new Promise((resolve) => {
      const socket = connect(join(this.parts.dataDir, 'boot.sock'))
      socket.once('error', () => resolve(undefined))
      socket.once('close', () => resolve(undefined))
      readLines<FromBoot>(socket, (message) => {
        if (message.t === 'hello') resolve({ socket, fingerprint: message.fingerprint })
        else this.take(message)
      })
    })
  }

  private adopt(socket: Socket): true {
    this.socket = socket
    this.revision += 1
    socket.removeAllListeners('error').on('error', () => undefined)
    socket.on('close', () => {
      if (this.socket === socket) this.lost()
    })
    const clients = [...this.clients.values()]
    const about = { t: 'clients', revision: this.revision, whole: true, gone: [] } as const
    let from = 0
    // In parts, so that DHCP is answered between two of them.
    for (; clients.length - from > PART; from += PART)
      writeLine(socket, { ...about, more: true, set: clients.slice(from, from + PART), media: [] })
    writeLine(socket, { ...about, set: clients.slice(from), media: [...this.media.values()] })
    return true
  }

  private take(message: FromBoot): void {
    if (message.t === 'event') return this.parts.onEvent(message.event)
    if (message.t === 'totals') return this.totalsListener(message.totals)
    if (message.t === 'have') {
      this.acked = Math.max(this.acked, message.revision)
      for (const wake of this.waiters) wake()
      this.waiters.clear()
    }
  }

  private lost(): void {
    this.socket = undefined
    if (this.stopped || this.reconnecting) return
    this.parts.log.error('the boot services ended; they are started again')
    this.reconnecting = (async () => {
      while (!this.stopped && !this.socket) {
        await this.open().catch((error: Error) => this.parts.log.error({ error: error.message }, 'boot services'))
        if (!this.socket) await this.parts.clock.sleep(RECONNECT_MS)
      }
    })().finally(() => {
      this.reconnecting = undefined
    })
  }
}
