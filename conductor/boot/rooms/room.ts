/** A boot room: the boot services of a conductor, with conductors far away. It keeps what they told it, of each client
 *  the newest state, and goes on with it while all of them are away. */
import { isDeepStrictEqual } from 'node:util'
import { join } from 'node:path'
import { Semaphore } from '../../../kit/semaphore.ts'
import type { BootClients } from '../clients.ts'
import type { BootControl } from '../control.ts'
import { BootService, type RemoteControl } from '../service.ts'
import type { BootClient } from '../orders.ts'
import type { BootEvent, FromBoot, ToBoot } from '../wire.ts'
import { FileCache } from './cache.ts'
import { Fetcher } from './fetch.ts'
import { hello } from './hello.ts'
import { RoomLink } from './link.ts'
import { isImage } from './manifest.ts'
import { merge, type Tombstone } from './merge.ts'
import type { RoomParts, RoomReport } from './parts.ts'
import { ReportQueue } from './queue.ts'
import { serveCached } from './serve-cached.ts'
import { needsSameSockets, ROOM_LIMITS, serviceConfig, type RoomServiceConfig } from './service-config.ts'
import { NO_STATE, readState, writeState, type RoomState } from './state.ts'
import type { OrderVersion } from './version.ts'
import type { FromRoom, RoomSettings, ToRoom } from './wire.ts'

const QUEUE_BYTES = 16
const NOTE_MS = 10_000
/** Ranges of images that are sent at once; others wait for their turn. Each holds up to three blocks in memory. */
const IMAGE_TRANSFERS = 24
type ListedOrders = ToRoom & { readonly t: 'orders' }

export class BootRoom {
  private readonly parts: RoomParts
  private readonly links: readonly RoomLink[]
  private readonly queue: ReportQueue
  private readonly cache: FileCache
  private readonly fetcher: Fetcher
  private readonly imageTransfers = new Semaphore(IMAGE_TRANSFERS)
  private state: RoomState = NO_STATE
  private service: BootService | undefined
  private clients: BootClients | undefined
  private take: ((message: ToBoot & { t: 'clients' }) => void) | undefined
  /** Of whole lists that come in parts. */
  private readonly coming = new Map<RoomLink, ListedOrders[]>()
  private sending: RoomLink | undefined
  private changing: Promise<void> = Promise.resolve()
  private olderRefused = 0
  private cancelNote: () => void = () => undefined

  constructor(parts: RoomParts) {
    this.parts = parts
    const { clock, log, bundle, random } = parts
    const name = random.bytes(QUEUE_BYTES).toString('hex')
    this.queue = new ReportQueue({ name, limit: ROOM_LIMITS.boot.queuedEvents, nowMs: () => clock.now() })
    this.queue.onMore(() => this.sendReports())
    this.fetcher = new Fetcher(
      () => this.links.toSorted((a, b) => Number(b.connected) - Number(a.connected)).map(({ url }) => url),
      bundle,
    )
    this.cache = new FileCache({
      directory: join(parts.data, 'cache'),
      sizeBytes: parts.cacheBytes,
      clock,
      log,
      fetchManifest: this.fetcher.manifest,
      fetchBlock: this.fetcher.block,
    })
    this.links = parts.conductors.map((url) => {
      const link: RoomLink = new RoomLink({
        url,
        bundle,
        clock,
        log,
        hello: () => hello(parts, { mark: this.state.mark, queue: this.queue.name, clients: this.holds() }),
        onMessage: (message) => this.inTurn(() => this.heard(link, message)),
        onEnd: () => this.left(link),
      })
      return link
    })
  }

  async start(): Promise<void> {
    const { log } = this.parts
    this.state = await readState(this.statePath, (why) =>
      log.warn({ why }, 'what this room kept is damaged; nobody is answered until a conductor connects'),
    )
    await this.cache.load()
    await this.restart()
    for (const link of this.links) link.start()
    this.note()
  }

  async stop(): Promise<void> {
    this.cancelNote()
    await Promise.all(this.links.map((link) => link.stop()))
    await this.changing
    await this.service?.stop()
    this.fetcher.stop()
    await this.save()
  }

  /** Something that was seen here, for the next conductor. */
  report(event: BootEvent): void {
    this.queue.push(event)
  }

  look(): RoomReport {
    const { clock, bundle } = this.parts
    const { heardAtMs } = this.state
    const isFresh = this.links.some(({ connected }) => connected)
    return {
      room: bundle.room,
      state: !this.service ? 'empty' : isFresh ? 'fresh' : 'away',
      clients: this.clients?.size ?? 0,
      ageSeconds: isFresh ? 0 : heardAtMs === 0 ? null : Math.round((clock.now() - heardAtMs) / 1000),
      conductors: this.links.map(({ url, connected, trouble }) => ({ url, connected, trouble: trouble ?? null })),
      reportsWaiting: this.queue.size,
      cacheBytes: this.cache.sizeBytes,
      fetchedBytes: this.cache.fetchedBytes,
      damagedBlocks: this.cache.damaged,
      olderRefused: this.olderRefused,
    }
  }

  /** The orders that it serves now. */
  holds(): readonly BootClient[] {
    return [...(this.clients?.all() ?? [])]
  }

  private get statePath(): string {
    return join(this.parts.data, 'room-state.json')
  }

  /** One change of what it knows after the other, whichever conductor brings it. */
  private inTurn(change: () => Promise<void>): Promise<void> {
    const changed = this.changing.catch(() => undefined).then(change)
    this.changing = changed.catch(() => undefined)
    return changed
  }

  private async heard(link: RoomLink, message: ToRoom): Promise<void> {
    this.state = { ...this.state, heardAtMs: this.parts.clock.now() }
    switch (message.t) {
      case 'welcome':
        await this.welcome(message.settings)
        if (!this.sending) this.sendFrom(link, message.taken)
        return
      case 'orders':
        return this.orders(link, message)
      case 'taken':
        this.queue.taken(message.upTo)
        if (this.sending === link) this.reporting = false
        return this.sendReports()
      case 'alive':
        return undefined
    }
  }

  private async welcome(settings: RoomSettings): Promise<void> {
    const { settings: before } = this.state
    if (this.service && isDeepStrictEqual(before, settings)) return
    const isOtherScope = !isDeepStrictEqual(before?.segments, settings.segments)
    this.state = { ...this.state, settings, tombstones: isOtherScope ? [] : this.state.tombstones }
    await this.save()
    // Where agents call is read for each script; all else needs other sockets.
    if (before && needsSameSockets(before, settings) && this.service && this.config)
      Object.assign(this.config, { agent: settings.agent })
    else await this.restart()
  }

  private async orders(link: RoomLink, message: ListedOrders): Promise<void> {
    const parts = [...(this.coming.get(link) ?? []), message]
    if (message.more) return void this.coming.set(link, parts)
    this.coming.delete(link)
    const { clients, take } = this
    if (!clients || !take) return
    const known = {
      versions: new Map(
        [...clients.all()].flatMap(({ mac, version }): [string, OrderVersion][] => (version ? [[mac, version]] : [])),
      ),
      tombstones: new Map(this.state.tombstones.map((one): [string, Tombstone] => [one.mac, one])),
      mark: this.state.mark,
    }
    const told = { ...message, set: parts.flatMap(({ set }) => set), gone: parts.flatMap(({ gone }) => gone) }
    const merged = merge(known, told, this.parts.clock.now())
    const isNoted = merged.gone.length > 0 || merged.mark.epoch !== this.state.mark.epoch
    this.olderRefused += merged.older.length
    this.state = { ...this.state, mark: merged.mark, tombstones: [...merged.tombstones.values()] }
    take({ t: 'clients', revision: message.revision, whole: false, set: merged.set, gone: merged.gone, media: [] })
    if (isNoted) await this.save()
    link.send({ t: 'have', revision: message.revision })
  }

  private config: RoomServiceConfig | undefined

  /** The boot services begin anew, with the present settings. */
  private async restart(): Promise<void> {
    const { settings } = this.state
    const { clock, log, bundle } = this.parts
    await this.service?.stop()
    this.service = undefined
    if (!settings) return
    const config = serviceConfig(this.parts, settings)
    this.config = config
    const service = new BootService({
      config,
      pin: settings.pin,
      tokenKey: Buffer.from(settings.tokenKey, 'base64'),
      room: bundle.room,
      clock,
      log,
      remote: this.remote(),
      cached: (at) => {
        const answer = () => serveCached(this.cache, at)
        return isImage(at.path) ? this.imageTransfers.run(answer) : answer()
      },
      onEnd: () => undefined,
    })
    await service.start()
    this.service = service
    log.info({ segments: settings.segments.map(({ name }) => name) }, 'the boot room serves')
  }

  private remote(): RemoteControl {
    return {
      outbox: this.queue,
      control: ({ onConductor, onClients }, clients): BootControl => {
        this.clients = clients
        this.take = onClients
        onConductor()
        return {
          listen: async () => undefined,
          tell: (message: FromBoot) => message.t === 'totals' && (this.sending?.send(message) ?? false),
          close: () => {
            this.take = undefined
          },
        }
      },
    }
  }

  /** Reports go to one conductor at a time, one line after the other. */
  private reporting = false

  private sendFrom(link: RoomLink, taken: number): void {
    this.sending = link
    this.reporting = false
    this.queue.taken(taken)
    this.sendReports()
  }

  private sendReports(): void {
    if (this.reporting || !this.sending) return
    const next = this.queue.next()
    if (next) this.reporting = this.sending.send({ t: 'reports', ...next } as FromRoom)
  }

  private left(link: RoomLink): void {
    this.coming.delete(link)
    if (this.sending !== link) return
    this.sending = undefined
    this.reporting = false
    const other = this.links.find(({ connected }) => connected)
    if (other) this.sendFrom(other, 0)
  }

  private note(): void {
    this.cancelNote = this.parts.clock.after(NOTE_MS, () => {
      void this.inTurn(() => this.save())
        .catch((error: Error) => this.parts.log.warn({ error: error.message }, 'the state of this room cannot be kept'))
        .finally(() => this.note())
    })
  }

  private async save(): Promise<void> {
    if (this.state !== NO_STATE) await writeState(this.statePath, this.state)
  }
}
