/** The boot services: DHCP, TFTP and HTTP in a process of their own, from clients that they keep. They go on answering
 *  while the conductor restarts, and end by themselves when none comes back. This file puts their parts together. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { Lifecycle } from '../../kit/lifecycle.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { LoaderPaths } from '../../pxe/loader-paths.ts'
import type { Config } from '../config.ts'
import { Admission } from './admission.ts'
import { openClientFile } from './client-file.ts'
import { BootClients } from './clients.ts'
import { BootCounters } from './counters.ts'
import { ControlSocket, type BootControl, type ControlParts } from './control.ts'
import { readLoaders, startDhcp, startHttp, startTftp, type Doors, type ServiceParts } from './doors.ts'
import { BootEvents } from './events.ts'
import { SqliteLeases } from './leases.ts'
import { bootMedia, startMedia } from './media-door.ts'
import type { BootMedia } from './media.ts'
import { BootLoaders, lenient } from './loaders.ts'
import { Observer } from './observe.ts'
import { Outbox } from './outbox.ts'
import { startRouterAdvertisements } from './router.ts'
import type { BootEvent, ToBoot } from './wire.ts'

/** Where the clients of a boot room come from, and where what it sees goes. */
export interface RemoteControl {
  readonly outbox: { push(event: BootEvent): void }
  readonly control: (
    parts: Omit<ControlParts, 'path' | 'hello' | 'outbox' | 'orphanMs'>,
    clients: BootClients,
  ) => BootControl
}

export type BootServiceParts = ServiceParts & {
  /** Absent: a conductor of this machine connects. */
  readonly remote?: RemoteControl
}

/** What is remembered of the boots of clients. */
type Memory = Pick<BootLoaders, 'macs' | 'forget'>

/** Changes when a running service could not serve this configuration. */
export const bootFingerprint = (config: Pick<Config, 'boot' | 'agent' | 'images' | 'limits'>, pin: string): string =>
  createHash('sha256')
    .update(JSON.stringify([11, config.boot, config.agent, config.images.store, config.limits.boot, pin]))
    .digest('hex')

export class BootService {
  private readonly parts: BootServiceParts
  private readonly life = new Lifecycle()
  private readonly outbox: Outbox
  private readonly events: BootEvents
  private readonly counters = new BootCounters()
  private readonly clients: BootClients
  private readonly media: BootMedia
  private readonly admission: Admission

  constructor(parts: BootServiceParts) {
    this.parts = parts
    const { config, clock, log } = parts
    const { eventsPerSecond, queuedEvents } = config.limits.boot
    const { counters } = this
    this.admission = new Admission(config.limits.boot.ramdiskTransfers)
    this.outbox = new Outbox({
      limit: queuedEvents,
      clock,
      onDropped: () => counters.limit('boot.queuedEvents'),
    })
    this.events = new BootEvents({
      perSecond: eventsPerSecond,
      clock,
      log,
      emit: (event) => (parts.remote?.outbox ?? this.outbox).push(event),
      onHeldBack: () => counters.limit('boot.eventsPerSecond'),
    })
    this.media = bootMedia(parts, {
      onAsked: (nodeUuid, mac, detail) => this.events.seen({ nodeUuid, mac }, 'media', { detail }),
      onUnreadable: (nodeUuid, why) =>
        this.events.warn(
          'media',
          { nodeUuid, address: nodeUuid, known: true },
          `the boot ISO cannot be read (boot.iso): ${why}`,
        ),
    })
    this.clients = new BootClients({
      open: () =>
        openClientFile(join(config.data, 'boot-clients.db'), (why) =>
          this.onWarning(`the boot orders are damaged; nobody is answered until a conductor connects: ${why}`),
        ),
      snapshot: join(config.data, 'boot-snapshot.json'),
      clock,
      onWarning: this.onWarning,
    })
  }

  private readonly onWarning = (what: string): void =>
    this.events.warn('snapshot', { nodeUuid: null, address: 'the data directory', known: true }, what)

  async start(): Promise<void> {
    const { config } = this.parts
    const store = await this.life.add(
      'leases',
      () => new SqliteLeases(join(config.data, 'leases.db'), (why) => this.onWarning(`cannot save leases: ${why}`)),
      (part) => part.close(),
    )
    const { declinesPerMac } = config.limits.boot
    const leases = new LeaseBook(store, { declinesPerMac, siblings: this.clients.siblings })
    await this.life.add(
      'clients',
      () => this.clients.load(),
      () => this.clients.stop(),
    )
    const { events, counters } = this
    const client = this.clients.get
    const paths = new BootLoaders({
      paths: new LoaderPaths(lenient(store.loaders, this.onWarning)),
      clock: this.parts.clock,
      events,
      client,
    })
    const observer = new Observer({ events, counters, leases, client, loaders: paths, media: this.media })
    const loaders = await readLoaders(config.boot.loaders, config.boot.uki)
    const doors: Doors = {
      ...this.parts,
      media: this.media,
      admission: this.admission,
      life: this.life,
      clients: this.clients,
      leases,
      loaders,
      paths,
      observer,
      counters: this.counters,
    }
    await startDhcp(doors)
    await startTftp(doors)
    await startHttp(doors)
    await startRouterAdvertisements(doors)
    await startMedia(doors)
    await this.startControl(leases, [paths, observer])
  }

  /** What the conductor sent is written before its socket goes, for with that the next process may begin. */
  stop(): Promise<void> {
    this.clients.flush()
    this.events.stop()
    this.counters.stop()
    return this.life.stop()
  }

  private async startControl(leases: LeaseBook, memories: readonly Memory[]): Promise<void> {
    const { config, pin, clock, remote } = this.parts
    const heard = {
      clock,
      onConductor: () => {
        this.counters.renew()
        this.clients.begin()
      },
      onClients: (message: ToBoot & { t: 'clients' }) => this.take(message, leases, memories),
      onEnd: () => void this.stop().finally(() => this.parts.onEnd()),
    }
    const control = remote
      ? remote.control(heard, this.clients)
      : new ControlSocket({
          ...heard,
          path: join(config.data, 'boot.sock'),
          hello: { t: 'hello', fingerprint: bootFingerprint(config, pin), pid: process.pid },
          outbox: this.outbox,
          orphanMs: config.boot.orphanSeconds * 1000,
        })
    await this.life.add(
      'control',
      () => control.listen(),
      () => control.close(),
    )
    this.counters.start(clock, (totals) => control.tell({ t: 'totals', totals }))
  }

  /** A MAC that is gone loses its addresses, and what is remembered of its boot. */
  private take(message: ToBoot & { t: 'clients' }, leases: LeaseBook, memories: readonly Memory[]): void {
    this.clients.apply(message)
    if (message.more) return
    this.media.apply(message.media, message.whole)
    const maybeGone = message.whole ? [leases, ...memories].flatMap((one) => [...one.macs()]) : message.gone
    for (const mac of maybeGone.filter((one) => !this.clients.get(one))) {
      leases.forget(mac)
      this.admission.forget(mac)
      for (const memory of memories) memory.forget(mac)
    }
  }
}
