/** The boot services: DHCP, TFTP and HTTP in a process of their own, from a snapshot of clients that they keep. They go on answering while
 *  the conductor restarts, and end by themselves when none comes back. */
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import { writeWhole } from '../../kit/files.ts'
import { Lifecycle } from '../../kit/lifecycle.ts'
import type { Log } from '../../kit/log.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { DhcpServer, type DhcpEvent } from '../../pxe/dhcp/server.ts'
import { EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { renderScript } from '../../pxe/script.ts'
import { TftpServer, type TftpEvent } from '../../pxe/tftp/server.ts'
import type { BootConfig, Config } from '../config.ts'
import { bootHttp, bootHttpLimits } from './http.ts'
import { SqliteLeases } from './leases.ts'
import type { BootClient } from './orders.ts'
import { kernelArgs, servedFile } from './render.ts'
import { readLines, writeLine, type BootEvent, type Milestone, type ToBoot } from './wire.ts'

export interface ServiceParts {
  readonly config: Config & { boot: BootConfig; agent: NonNullable<Config['agent']> }
  /** SHA-256 of the agent port's certificate, for the ramdisk to pin. */
  readonly pin: string
  readonly tokenKey: Buffer
  readonly clock: Clock
  readonly log: Log
  /** Called when it ends by itself. */
  readonly onEnd: () => void
}

const MAX_BUFFERED_EVENTS = 10_000
const UNKNOWN_AGAIN_MS = 3_600_000
const SAVE_AFTER_MS = 200

/** Changes when a running service could not serve this configuration. */
export const bootFingerprint = (config: Config, pin: string): string =>
  createHash('sha256')
    .update(JSON.stringify([2, config.boot, config.limits.boot, config.agent, config.images.store, pin]))
    .digest('hex')

export class BootService {
  private readonly parts: ServiceParts
  private readonly clients = new Map<string, BootClient>()
  private fixed = new Set<string>()
  private mintedMs = 0
  private readonly unknown = new Map<string, number>()
  private readonly buffered: BootEvent[] = []
  private readonly life = new Lifecycle()
  private leases!: LeaseBook
  private loaders = new Map<string, Buffer>()
  private link: Socket | undefined
  private cancelSave: (() => void) | undefined
  private cancelOrphan: (() => void) | undefined
  private saving: Promise<void> = Promise.resolve()

  constructor(parts: ServiceParts) {
    this.parts = parts
  }

  async start(): Promise<void> {
    const { config, clock } = this.parts
    const store = await this.life.add(
      'leases',
      () => new SqliteLeases(join(config.data, 'leases.db')),
      (part) => part.close(),
    )
    this.leases = new LeaseBook(store)
    for (const name of LOADERS) this.loaders.set(name, await readFile(join(config.boot.loaders, name)))
    await this.loadSnapshot()
    const dhcp = new DhcpServer({ subnets: config.boot.subnets, owner: this.dhcpOwner(), leases: this.leases, clock })
    await this.life.add(
      'dhcp',
      async () => {
        for (const at of config.boot.interfaces) await dhcp.listen({ interface: at.name, localIp: at.address })
      },
      () => dhcp.stop(),
    )
    const { tftpTransfers, tftpTransfersPerAddress, tftpTimeoutSeconds } = config.limits.boot
    const tftp = new TftpServer({
      owner: { file: (name) => this.loaders.get(name), event: (event) => this.onTftp(event) },
      clock,
      limits: { transfers: tftpTransfers, transfersPerAddress: tftpTransfersPerAddress, maxTimeoutMs: tftpTimeoutSeconds * 1000 },
    })
    await this.life.add(
      'tftp',
      () => tftp.listen({ ip: config.boot.tftp }),
      () => tftp.stop(),
    )
    await this.startHttp()
    await this.startControl()
    this.orphan()
  }

  stop(): Promise<void> {
    this.cancelSave?.()
    this.cancelOrphan?.()
    return this.life.stop()
  }

  private async startHttp(): Promise<void> {
    const { http } = this.parts.config.boot
    const files = {
      script: (mac: string, ip: string) => this.script(mac, ip),
      file: (url: string) => servedFile(url, this.parts.config),
      fetched: (url: string, ip: string) => this.onFetched(url, ip),
    }
    const server = bootHttp(files, await bootHttpLimits(this.parts))
    await this.life.add(
      'http',
      () =>
        new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen(http.port, http.address, resolve)
        }),
      () => {
        server.close()
        server.closeAllConnections()
      },
    )
  }

  private async startControl(): Promise<void> {
    const path = join(this.parts.config.data, 'boot.sock')
    await rm(path, { force: true })
    const server = createServer((socket) => this.adopt(socket))
    await this.life.add(
      'control',
      () =>
        new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          // The data directory is 0700 and a unix socket is bound with the process's umask.
          const before = process.umask(0o177)
          server.listen(path, resolve)
          process.umask(before)
        }),
      () => {
        this.link?.destroy()
        server.close()
      },
    )
  }

  /** A conductor connected; the newest one is the one. */
  private adopt(socket: Socket): void {
    this.link?.destroy()
    this.link = socket
    this.cancelOrphan?.()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.link !== socket) return
      this.link = undefined
      this.orphan()
    })
    writeLine(socket, { t: 'hello', fingerprint: bootFingerprint(this.parts.config, this.parts.pin), pid: process.pid })
    for (const event of this.buffered.splice(0)) writeLine(socket, { t: 'event', event })
    readLines<ToBoot>(socket, (message) => void this.take(message, socket))
  }

  private async take(message: ToBoot, socket: Socket): Promise<void> {
    if (message.t === 'stop') {
      await this.stop()
      return this.parts.onEnd()
    }
    if (message.whole) this.clients.clear()
    for (const client of message.set) this.clients.set(client.mac, client)
    for (const mac of message.gone) this.clients.delete(mac)
    for (const mac of this.leases.macs()) if (!this.clients.has(mac)) this.leases.forget(mac)
    this.fixed = new Set([...this.clients.values()].flatMap((client) => (client.fixedIp ? [client.fixedIp] : [])))
    this.cancelSave ??= this.parts.clock.after(SAVE_AFTER_MS, () => {
      this.cancelSave = undefined
      this.saving = this.saving
        .then(() => this.saveSnapshot())
        .catch((error: Error) => this.trouble(null, `cannot save the snapshot of boot orders: ${error.message}`))
    })
    writeLine(socket, { t: 'have', revision: message.revision })
  }

  private orphan(): void {
    this.cancelOrphan = this.parts.clock.after(this.parts.config.boot.orphanSeconds * 1000, () => void this.stop().finally(() => this.parts.onEnd()))
  }

  private snapshotPath = () => join(this.parts.config.data, 'boot-snapshot.json')

  private async loadSnapshot(): Promise<void> {
    const text = await readFile(this.snapshotPath(), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]'
      throw error
    })
    for (const client of JSON.parse(text) as BootClient[]) this.clients.set(client.mac, client)
  }

  private saveSnapshot = (): Promise<void> => writeWhole(this.snapshotPath(), JSON.stringify([...this.clients.values()]))

  private dhcpOwner() {
    return {
      fixedIps: () => this.fixed,
      event: (event: DhcpEvent) => this.onDhcp(event),
      client: (mac: string) => {
        const client = this.clients.get(mac)
        if (!client) return undefined
        return {
          scriptUrl: this.url(`/boot/${mac.replaceAll(':', '-')}/script.ipxe`),
          loaderUrl: this.url('/loader/'),
          ...(client.fixedIp ? { fixedIp: client.fixedIp } : {}),
          ...(client.hostName ? { hostName: client.hostName } : {}),
        }
      },
    }
  }

  private url = (path: string) => `http://${this.parts.config.boot.http.address}:${this.parts.config.boot.http.port}${path}`

  private script(mac: string, fromIp: string): string | undefined {
    const client = this.clients.get(mac)
    if (!client || this.leases.leaseOf(mac)?.ip !== fromIp) {
      this.trouble(client?.nodeUuid ?? null, `${fromIp} asked for the boot script of ${mac}, which has another address`)
      return undefined
    }
    // No two scripts carry the same token.
    this.mintedMs = Math.max(this.parts.clock.now(), this.mintedMs + 1)
    this.seen(mac, 'script', { detail: { ramdisk: 'for the deploy ramdisk', local: 'for its disk', nothing: 'without an order' }[client.order.kind] })
    return renderScript(
      client.order.kind === 'ramdisk'
        ? {
            kind: 'ramdisk',
            kernelUrl: this.url('/ramdisk/kernel'),
            initrdUrl: this.url(client.order.rescue ? '/ramdisk/rescue' : '/ramdisk/initrd'),
            args: kernelArgs(client, { ip: fromIp, mintedMs: this.mintedMs }, this.parts),
          }
        : client.order,
      client.label,
    )
  }

  private onFetched(url: string, fromIp: string): void {
    const step = url === '/ramdisk/kernel' ? 'kernel' : url === '/ramdisk/initrd' || url === '/ramdisk/rescue' ? 'initrd' : undefined
    const mac = this.leases.macOf(fromIp)
    if (step && mac) this.seen(mac, step, { detail: '' })
  }

  private onDhcp(event: DhcpEvent): void {
    const nowMs = this.parts.clock.now()
    switch (event.kind) {
      case 'unknown': {
        if (nowMs - (this.unknown.get(event.mac) ?? Number.NEGATIVE_INFINITY) < UNKNOWN_AGAIN_MS) return
        if (this.unknown.size > MAX_BUFFERED_EVENTS) this.unknown.clear()
        this.unknown.set(event.mac, nowMs)
        this.parts.log.warn({ mac: event.mac }, 'a MAC that belongs to no port asked for an address; it gets no answer')
        return this.emit({ kind: 'unknown-mac', atMs: nowMs, mac: event.mac })
      }
      case 'malformed':
        return this.parts.log.debug(event, 'a datagram on the DHCP port is no DHCP packet')
      case 'refused':
        return this.trouble(this.clients.get(event.mac)?.nodeUuid ?? null, `DHCP ${event.mac}: ${event.why}`)
      case 'reply':
        if (event.type === 'offer') return
        return this.seen(event.mac, event.netboot === 'ipxe' ? 'ipxe-dhcp' : 'dhcp', {
          detail: `${event.type} ${event.ip}${event.netboot === 'no' ? ' (not a network boot)' : ''}`,
          ip: event.ip,
        })
    }
  }

  private onTftp(event: TftpEvent): void {
    if (event.kind === 'socket') return this.trouble(null, `TFTP socket: ${event.why}`)
    if (event.kind === 'fault') return this.trouble(null, `TFTP: a packet from ${event.ip} met a fault: ${event.why}`)
    const mac = this.leases.macOf(event.ip)
    if (event.kind === 'sent') return mac ? this.seen(mac, 'loader', { detail: `${event.file}${event.file === EFI_LOADER ? ' (UEFI)' : ''}` }) : undefined
    this.trouble((mac && this.clients.get(mac)?.nodeUuid) ?? null, `TFTP ${event.file} to ${event.ip}: ${event.why}`)
  }

  private seen(mac: string, step: Milestone, saw: { detail: string; ip?: string }): void {
    const client = this.clients.get(mac)
    if (client) this.emit({ kind: 'seen', atMs: this.parts.clock.now(), nodeUuid: client.nodeUuid, mac, step, ...saw })
  }

  private trouble(nodeUuid: string | null, what: string): void {
    this.parts.log.warn({ node: nodeUuid }, what)
    this.emit({ kind: 'trouble', atMs: this.parts.clock.now(), nodeUuid, what })
  }

  private emit(event: BootEvent): void {
    if (this.link) return void writeLine(this.link, { t: 'event', event })
    if (this.buffered.length < MAX_BUFFERED_EVENTS) this.buffered.push(event)
  }
}
