/** What DHCP, TFTP and HTTP report -> milestones of a node's boot, or warnings. */
import { basename } from 'node:path'
import type { Architecture } from '../../kit/architecture.ts'
import type { LeaseBook } from '../../pxe/dhcp/leases.ts'
import type { DhcpEvent } from '../../pxe/dhcp/events.ts'
import { AUTOEXEC, GRUB_LOADER, isGrubConfig, isOptionalName, LOADER_TABLE, UKI_LOADER } from '../../pxe/firmware.ts'
import type { TftpEvent } from '../../pxe/tftp/server.ts'
import { AGENT_SAID, type AgentSaid } from '../api/agent-said.ts'
import { turnText } from './admission.ts'
import type { BootCounters } from './counters.ts'
import type { BootEvents, Saw, WarningSource } from './events.ts'
import type { ScriptLoader } from './boot-target.ts'
import type { SendEnd } from './http.ts'
import type { BootLoaders } from './loaders.ts'
import type { BootMedia } from './media.ts'
import type { BootClient } from './orders.ts'
import type { Sign } from './signs.ts'
import type { Milestone } from './wire.ts'

export interface ObserverParts {
  readonly events: BootEvents
  readonly counters: BootCounters
  readonly leases: LeaseBook
  readonly client: (mac: string) => BootClient | undefined
  readonly loaders: Pick<BootLoaders, 'fetched' | 'heard' | 'worked'>
  /** Where boot ISOs are served: their servers have no lease. */
  readonly media?: Pick<BootMedia, 'clientAt'>
}

const ASKER = { firmware: 'its firmware', ipxe: 'iPXE', ramdisk: 'the ramdisk', no: 'its system' } as const
const LOADER_PATH = '/loader/'
/** Which part of a ramdisk a path is of. */
export const ramdiskPartOf = (path: string): string | undefined => RAMDISK_PATH.exec(path)?.[1]
const RAMDISK_PATH = /^\/ramdisk\/(?:\w+\/)?(kernel|initrd|rescue)$/

export class Observer {
  private readonly parts: ObserverParts
  /** What the firmware of each client said last. */
  private readonly architectures = new Map<string, Architecture>()

  constructor(parts: ObserverParts) {
    this.parts = parts
  }

  onDhcp(event: DhcpEvent): void {
    const { events, counters } = this.parts
    if (event.kind === 'limit') return counters.limit(`boot.${event.limit}`)
    if (event.kind === 'late')
      return this.sign(event.mac, 'late', `${ASKER[event.netboot]} did so for ${event.seconds} s`)
    if (event.kind === 'machine') return this.sign(event.mac, 'machine', event.uuid)
    counters.request('dhcp', event.kind === 'reply' ? event.type : event.kind)
    if ((event.kind === 'heard' || event.kind === 'reply') && event.architecture)
      this.architectures.set(event.mac, event.architecture)
    switch (event.kind) {
      case 'unknown':
        return events.unknownMac(event.mac, event)
      case 'malformed':
        if (!event.odd) return events.malformed(event.from, event.why)
        return events.warn('dhcp', machine(event.from), `DHCP: ${event.from} asks in vain: ${event.why}`)
      case 'refused':
      case 'trouble':
        if (event.kind === 'refused') this.sign(event.mac, 'no-address', event.why)
        else if (event.about) this.sign(event.mac, event.about, event.why)
        return events.warn('dhcp', this.sourceOf(event.mac, event.mac), `DHCP ${event.mac}: ${event.why}`)
      case 'rogue': {
        const server = event.server === undefined ? '' : ` (server ${event.server})`
        const what = `DHCP: ${event.from} sent an answer of a DHCP server${server} to this one: it poses as a server`
        return events.warn('dhcp', machine(event.from), what)
      }
      case 'socket':
        return events.warn('socket', machine(event.interface), `DHCP socket of ${event.interface}: ${event.why}`)
      case 'unsent':
        return events.warn(
          'socket',
          machine(event.toIp),
          `DHCP: the answer to ${event.toIp} could not be sent: ${event.why}`,
        )
      case 'fault':
        return events.warn(
          'fault',
          machine(event.from),
          `DHCP: a packet from ${event.from} caused an error: ${event.why}`,
        )
      case 'heard': {
        const detail = `took ${event.ip} from ${event.server ?? 'another server'}${event.netboot === 'no' ? ' (not a network boot)' : ''}`
        const { ip, switchPort, architecture } = event
        if (event.netboot === 'ipxe') this.parts.loaders.heard(event.mac)
        if (event.netboot === 'no') this.sign(event.mac, 'system', event.ip)
        const system = event.netboot === 'no' ? true : undefined
        const step = event.netboot === 'ipxe' ? 'ipxe-dhcp' : 'dhcp'
        return this.seen(event.mac, step, { detail, ip, system, architecture, switchPort })
      }
      case 'reply': {
        if (event.netboot === 'no') this.sign(event.mac, 'system', event.ip)
        if (event.type === 'offer') return this.sign(event.mac, 'offer', event.ip)
        if (event.type === 'ack' && event.netboot === 'ipxe') this.parts.loaders.heard(event.mac)
        if (event.type === 'ack' && event.netboot === 'ramdisk') this.ramdiskRuns(event.mac)
        const detail = `${event.type} ${event.ip}${event.netboot === 'no' ? ' (not a network boot)' : ''}`
        const leased = this.parts.leases.holds(event.mac, event.ip)
        const { switchPort, architecture } = event
        const ip = leased ? event.ip : undefined
        const system = event.netboot === 'no' ? true : undefined
        const step = event.netboot === 'ipxe' ? 'ipxe-dhcp' : 'dhcp'
        return this.seen(event.mac, step, { detail, ip, system, architecture, switchPort })
      }
    }
  }

  onTftpAsked(file: string, fromIp: string): void {
    if (!isOptionalName(file)) this.signAt(fromIp, 'tftp-ask', file)
  }

  onTftp(event: TftpEvent): void {
    const { events, counters } = this.parts
    if (event.kind === 'limit') return counters.limit(`boot.${event.limit}`)
    counters.request('tftp', event.kind)
    if (event.kind === 'socket') return events.warn('socket', machine('TFTP'), `TFTP socket: ${event.why}`)
    if (event.kind === 'fault')
      return events.warn('fault', machine(event.ip), `TFTP: a packet from ${event.ip} caused an error: ${event.why}`)
    const mac = this.parts.leases.macOf(event.ip)
    if (event.kind === 'sent') {
      // These come between the loader and the script, which are milestones of their own.
      if (basename(event.file) === AUTOEXEC || isGrubConfig(event.file)) return
      // Firmware asks for the size first, in a request of its own.
      if (event.sizeBytes === 0) return
      if (mac) this.loaderFetched(mac, event.file)
      return
    }
    if (event.kind === 'refused' && isOptionalName(event.file)) return
    this.signAt(event.ip, event.kind === 'refused' ? 'tftp-refused' : 'tftp-lost', `${event.file}: ${event.why}`)
    events.warn('tftp', this.sourceOf(event.ip, mac), `TFTP ${event.file} to ${event.ip}: ${event.why}`)
  }

  onScript(client: BootClient, loader: ScriptLoader): void {
    if (loader === 'grub' && client.order.kind === 'instance' && client.order.boot.kind === 'iso')
      this.parts.events.warn(
        'script',
        { nodeUuid: client.nodeUuid, address: client.mac, known: true },
        `${client.mac} booted through GRUB, which boots no ISO image over HTTP: use virtual media, or switch Secure Boot off`,
      )
    const detail = {
      ramdisk: 'for the deploy ramdisk',
      instance: 'for its instance',
      local: 'for its disk',
      nothing: 'without an order',
    }[client.order.kind]
    this.parts.events.seen(client, 'script', { detail })
    this.parts.loaders.worked(client)
  }

  architectureOf = (mac: string): Architecture | undefined => this.architectures.get(mac)

  /** Every client of which something is remembered. */
  macs(): IterableIterator<string> {
    return this.architectures.keys()
  }

  forget(mac: string): void {
    this.architectures.delete(mac)
  }

  onWaits(client: BootClient, turn: { place: number; of: number; aboutSeconds: number; isNew: boolean }): void {
    if (turn.isNew) this.parts.counters.limit('boot.ramdiskTransfers')
    this.parts.events.waits(client, turnText(turn))
  }

  onNoRamdisk(client: BootClient, why: string): void {
    const { nodeUuid, mac } = client
    this.parts.events.sign(client, 'no-ramdisk', why)
    this.parts.events.warn('ramdisk', { nodeUuid, address: mac, known: true }, `${mac} boots no ramdisk: ${why}`)
  }

  onScriptRefused(mac: string, fromIp: string, why: string): void {
    // Whoever asks chooses the MAC, so its node is named but is not the source.
    const source = { ...this.sourceOf(fromIp, mac), known: false }
    this.parts.events.warn('script', source, `${fromIp} asked for the boot script of ${mac}, ${why}`)
  }

  /** `whole`: the client took all of it. */
  onAnswered(status: number, whole: boolean): void {
    this.parts.counters.request('http', status >= 400 ? 'refused' : whole ? 'sent' : 'broken off')
  }

  /** The name of a boot ISO is a secret, so that the path is not told. */
  onHttpFault(fromIp: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    this.parts.events.warn('fault', machine(fromIp), `HTTP: a request from ${fromIp} caused an error: ${why}`)
  }

  /** Whoever uses the address of a node can say it: it is a sign for people, and nothing is decided by it. */
  onAgentSaid(what: AgentSaid, fromIp: string): void {
    const mac = this.parts.leases.macOf(fromIp)
    const client = mac === undefined ? this.parts.media?.clientAt(fromIp) : this.parts.client(mac)
    if (client) this.parts.events.sign(client, AGENT_SAID[what], '')
  }

  onHttpAsked(url: string, fromIp: string): void {
    this.signAt(fromIp, 'http-ask', url)
  }

  /** The name of a boot ISO is no part of these paths. */
  onHttpRefused(url: string, fromIp: string, why: string): void {
    if (!isOptionalName(url)) this.signAt(fromIp, 'http-refused', `${url}: ${why}`)
  }

  /** A transfer ended before its end. */
  onHttpLost(url: string, fromIp: string, end: SendEnd): void {
    const ofAll = end.totalBytes > 0 ? ` of ${end.totalBytes}` : ''
    this.signAt(fromIp, end.stalled ? 'http-stalled' : 'http-left', `${url} after ${end.sentBytes}${ofAll} bytes`)
  }

  onFetched(url: string, fromIp: string): void {
    const mac = this.parts.leases.macOf(fromIp)
    if (mac && url.startsWith(LOADER_PATH)) return this.loaderFetched(mac, url.slice(LOADER_PATH.length))
    if (mac === undefined) return
    const part = ramdiskPartOf(url)
    const step = part ? (part === 'kernel' ? 'kernel' : 'initrd') : this.instanceFile(mac, url)
    if (step) this.seen(mac, step, { detail: '' })
  }

  /** Which part of the instance that a client boots this is. */
  private instanceFile(mac: string, url: string): Milestone | undefined {
    const order = this.parts.client(mac)?.order
    if (order?.kind !== 'instance' || order.boot.kind !== 'kernel') return undefined
    if (url.endsWith(`/${order.boot.kernel}`)) return 'kernel'
    return url.endsWith(`/${order.boot.ramdisk}`) ? 'initrd' : undefined
  }

  private loaderFetched(mac: string, file: string): void {
    const what = file === UKI_LOADER ? 'the signed ramdisk' : LOADER_TABLE.find((loader) => loader.file === file)?.what
    const detail = what ? `${file}: ${what}` : file
    if (file === GRUB_LOADER) return this.seen(mac, 'grub', { detail })
    this.parts.loaders.fetched(mac, file)
    this.seen(mac, 'loader', { detail })
  }

  private seen(mac: string, step: Milestone, saw: Saw): void {
    const client = this.parts.client(mac)
    if (client) this.parts.events.seen(client, step, saw)
  }

  private signAt(ip: string, sign: Sign, detail: string): void {
    const mac = this.parts.leases.macOf(ip)
    if (mac !== undefined) this.sign(mac, sign, detail)
  }

  private sign(mac: string, sign: Sign, detail: string): void {
    const client = this.parts.client(mac)
    if (client) this.parts.events.sign(client, sign, detail)
  }

  /** The signed ramdisk asks for its address: it needs no script. */
  private ramdiskRuns(mac: string): void {
    const client = this.parts.client(mac)
    if (!client) return
    this.parts.events.seen(client, 'initrd', { detail: 'the signed ramdisk runs' })
    this.parts.loaders.worked(client)
  }

  private sourceOf(address: string, mac: string | undefined): WarningSource {
    const client = mac === undefined ? undefined : this.parts.client(mac)
    return { nodeUuid: client?.nodeUuid ?? null, address, known: client !== undefined }
  }
}

const machine = (address: string): WarningSource => ({ nodeUuid: null, address, known: false })
