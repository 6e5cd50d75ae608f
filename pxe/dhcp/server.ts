/** The DHCP sockets: decode, ask who the client is, decide, encode, send. One socket per configured interface.
 *  Whatever arrives, the process goes on: a fault in a handler is an event. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import type { Clock } from '../../kit/clock.ts'
import { bind } from '../../kit/listen.ts'
import { inSubnet } from '../addresses.ts'
import { WireError } from '../bytes.ts'
import type { DhcpEvent, NetbootStage } from './events.ts'
import type { LeaseBook } from './leases.ts'
import { clientArchs, ipOption, isIpxe, isNetboot, isRamdisk, messageType, OPTION } from './options.ts'
import { architectureOfFirmware } from '../firmware.ts'
import { decodePacket, encodePacket, NO_ADDRESS, packetMac, type Packet } from './packet.ts'
import { placeFor, placesOf, type DhcpSubnet, type Place } from './place.ts'
import { decideProxy, heardAddress, PROXY_PORT } from './proxy.ts'
import { switchPortOf, type SwitchPort } from './relay.ts'
import { bootFileFor, decideInform, decideReply, isForUs, type Decision, type Link } from './reply.ts'

export interface KnownClient {
  readonly fixedIp?: string
  readonly hostName?: string
  readonly scriptUrl: string
  readonly loaderUrl: string
  /** Its firmware takes signed loaders alone, as with Secure Boot. */
  readonly signed?: boolean
  /** It boots the signed ramdisk of the site, where its firmware takes it. */
  readonly uki?: boolean
}

/** Asked of the owner of this room. Called for every packet: several times per boot. */
export interface DhcpOwner {
  client(mac: string): KnownClient | undefined
  /** True for the fixed address of any client. */
  isFixed(ip: string): boolean
  /** Which of several loaders a client gets; they come in the order of the firmware table. `asksAnew`: it begins a
   *  boot. */
  pickLoader(mac: string, from: { files: readonly string[]; arch: number; asksAnew: boolean }): string | undefined
  event(event: DhcpEvent): void
}

export interface DhcpParts {
  readonly subnets: readonly DhcpSubnet[]
  /** Addresses of this machine that no client may get, beside those that the subnets name. */
  readonly ownIps: readonly string[]
  /** The loaders that are there. */
  readonly loaders: ReadonlySet<string>
  readonly owner: DhcpOwner
  readonly leases: LeaseBook
  readonly clock: Clock
}

interface Datagram {
  readonly bytes: Buffer
  readonly toIp: string
  readonly toPort: number
}

interface From {
  readonly ip: string
  readonly port: number
}

/** Where a datagram came in. */
interface Heard {
  readonly localIp: string
  readonly from: From
  /** On the port of the boot server (proxyDHCP). */
  readonly isBootPort: boolean
}

/** A request of a known client. */
interface Asked {
  readonly request: Packet
  readonly mac: string
  readonly client: KnownClient
  readonly place: Place
  readonly link: Link
}

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62

export class DhcpServer {
  private readonly parts: DhcpParts
  private readonly places: readonly Place[]
  private readonly sockets: Socket[] = []

  constructor(parts: DhcpParts) {
    this.parts = parts
    this.places = placesOf(parts.subnets, parts.ownIps)
  }

  /** Listens for broadcasts on one interface and on no other. `port` is 67 everywhere but in tests. */
  async listen(at: { interface: string; localIp: string; port?: number }): Promise<void> {
    await this.open(at, { port: at.port ?? 67, isBootPort: false })
    if (this.places.some(({ mode }) => mode === 'proxy')) await this.open(at, { port: PROXY_PORT, isBootPort: true })
  }

  private async open(
    at: { interface: string; localIp: string },
    { port, isBootPort }: { port: number; isBootPort: boolean },
  ): Promise<void> {
    const socket = await bind(createSocket({ type: 'udp4', reuseAddr: true }), { port })
    this.sockets.push(socket)
    // dgram has no SO_BINDTODEVICE; without it two interfaces would hear each other's broadcasts.
    const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
    socket.on('message', (bytes, from) =>
      this.receive(bytes, socket, {
        localIp: at.localIp,
        from: { ip: from.address, port: from.port },
        isBootPort,
      }),
    )
    socket.on('error', (error) =>
      this.parts.owner.event({ kind: 'socket', interface: at.interface, why: error.message }),
    )
  }

  stop(): void {
    for (const socket of this.sockets.splice(0)) socket.close()
  }

  /** Decides about one datagram; also the entry for tests and load runs without a socket. */
  handle(
    bytes: Buffer,
    localIp: string,
    { from = { ip: '', port: 0 }, isBootPort = false }: Partial<Heard> = {},
  ): Datagram | undefined {
    try {
      return this.answer(decodePacket(bytes), { localIp, from, isBootPort })
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.parts.owner.event({ kind: 'malformed', from: from.ip, why: error.message })
      return undefined
    }
  }

  private receive(bytes: Buffer, socket: Socket, at: Heard): void {
    try {
      const reply = this.handle(bytes, at.localIp, at)
      if (reply) socket.send(reply.bytes, reply.toPort, reply.toIp, (error) => error && this.unsent(reply.toIp, error))
    } catch (error) {
      this.parts.owner.event({ kind: 'fault', from: at.from.ip, why: String(error) })
    }
  }

  private unsent = (toIp: string, error: Error): void =>
    this.parts.owner.event({ kind: 'unsent', toIp, why: error.message })

  private answer(request: Packet, at: Heard): Datagram | undefined {
    const { owner } = this.parts
    if (request.op !== 1) return undefined
    if (request.htype !== 1 || request.hlen !== 6)
      throw new WireError(`chaddr: hardware type ${request.htype} of ${request.hlen} bytes is not Ethernet`)
    const mac = packetMac(request)
    const client = owner.client(mac)
    const found = placeFor(this.places, request, at.localIp)
    const isSites = 'place' in found && found.place.mode !== 'own'
    if (!client) {
      // What asks the site's server for an address and boots nothing is no card that was forgotten here.
      if (!isSites || isNetboot(request.options)) owner.event({ kind: 'unknown', mac, ...switchPortPart(request) })
      return undefined
    }
    if (isSites) return this.beside({ request, mac, client, ...found }, at)
    if (at.isBootPort) return undefined
    const type = messageType(request.options)
    if (type === 'decline') return this.decline(mac, request)
    if ('why' in found) return this.refuse(mac, found.why)
    const asked = { request, mac, client, ...found }
    if (type === 'inform') return this.send(asked, decideInform(request, found.link, found.place.subnet))
    // A release changes nothing: a known client keeps its address.
    return type === 'discover' || type === 'request' ? this.lease(asked, type) : undefined
  }

  private lease(asked: Asked, type: 'discover' | 'request'): Datagram | undefined {
    const { request, mac, client, place, link } = asked
    if (type === 'request' && !isForUs(request, link)) return undefined
    const { leases, owner, clock } = this.parts
    const nowMs = clock.now()
    const hint =
      request.ciaddr !== NO_ADDRESS && type === 'request'
        ? request.ciaddr
        : ipOption(request.options, OPTION.requestedIp)
    const { ip, why } = leases.choose(mac, {
      pool: place,
      moving: type === 'discover',
      isFixed: (address) => owner.isFixed(address),
      nowMs,
      ...(hint ? { hint } : {}),
      ...(client.fixedIp ? { fixedIp: client.fixedIp } : {}),
    })
    if (ip === undefined && type === 'discover') return this.refuse(mac, `${why} (subnet ${place.cidr})`)
    if (why !== undefined) this.warn(mac, `${why} (subnet ${place.cidr})`)
    const bootFile = this.bootFile(asked)
    const decision = decideReply(request, link, { ip, hostName: client.hostName, bootFile })
    if ('type' in decision && decision.type === 'ack' && ip !== undefined)
      leases.confirm(mac, ip, nowMs + place.settings.leaseSeconds * 1000)
    return this.send(asked, decision)
  }

  private decline(mac: string, request: Packet): undefined {
    const ip = ipOption(request.options, OPTION.requestedIp)
    const outcome = ip === undefined ? 'not its address' : this.parts.leases.decline(mac, ip, this.parts.clock.now())
    if (outcome === 'not its address')
      return this.warn(mac, `the client declines ${ip ?? 'no address'}, which is not its own; that is ignored`)
    if (outcome === 'too many') {
      this.parts.owner.event({ kind: 'limit', limit: 'declinesPerMac' })
      return this.warn(mac, `the client declines one address after the other; it keeps ${ip}`)
    }
    return this.warn(mac, `the client found its address ${ip} in use by another host (decline)`)
  }

  private bootFile({ request, mac, client }: Asked): string | undefined {
    const { owner, loaders } = this.parts
    const asksAnew = messageType(request.options) === 'discover'
    const bootFile = bootFileFor(request, {
      ...client,
      loaders,
      pick: (files, arch) => owner.pickLoader(mac, { files, arch, asksAnew }),
    })
    if (bootFile.why !== undefined) this.warn(mac, bootFile.why)
    return bootFile.file
  }

  /** Where the site's own server gives the addresses. */
  private beside(asked: Asked, { from, isBootPort }: Heard): Datagram | undefined {
    const { request, mac, place } = asked
    const { leases, owner, clock } = this.parts
    const heard = heardAddress(request, place)
    if (heard) {
      leases.learn(mac, heard.ip, { pool: place, expiresAtMs: clock.now() + place.settings.leaseSeconds * 1000 })
      owner.event({ kind: 'heard', mac, ...heard, ...saidBy(request, mac) })
    }
    const type = messageType(request.options)
    if (place.mode === 'listen' || (type !== 'discover' && type !== 'request')) return undefined
    // The boot server's port answers whoever asks there, so it answers addresses of its subnet alone.
    if (!isNetboot(request.options) || (isBootPort && !inSubnet(from.ip, place.subnet))) return undefined
    const { serverIp } = place.settings
    if (asked.client.signed && stageOf(request) === 'firmware')
      this.warn(
        mac,
        `GRUB asks the DHCP server of the site for its files: next-server must be ${serverIp} there for Secure Boot`,
      )
    const opts = { settings: place.settings, bootFile: this.bootFile(asked), ...(isBootPort ? { from } : {}) }
    return this.send(asked, decideProxy(request, opts))
  }

  private send({ request, mac }: Asked, decision: Decision): Datagram | undefined {
    if ('ignore' in decision) return undefined
    const { type, packet, toIp, toPort, bootFile } = decision
    // An ACK of an inform and a NAK carry no address; then it is the one that the client spoke of.
    const spokenOf =
      request.ciaddr !== NO_ADDRESS ? request.ciaddr : (ipOption(request.options, OPTION.requestedIp) ?? NO_ADDRESS)
    const ip = packet.yiaddr !== NO_ADDRESS ? packet.yiaddr : spokenOf
    this.parts.owner.event({
      kind: 'reply',
      mac,
      type,
      ip,
      ...(bootFile ? { bootFile } : {}),
      ...saidBy(request, mac),
    })
    return { bytes: encodePacket(packet), toIp, toPort }
  }

  private refuse(mac: string, why: string): undefined {
    this.parts.owner.event({ kind: 'refused', mac, why })
    return undefined
  }

  private warn(mac: string, why: string): undefined {
    this.parts.owner.event({ kind: 'trouble', mac, why })
    return undefined
  }
}

const stageOf = ({ options }: Packet): NetbootStage =>
  isIpxe(options) ? 'ipxe' : isNetboot(options) ? 'firmware' : isRamdisk(options) ? 'ramdisk' : 'no'

/** What a request says about who asks. */
function saidBy(request: Packet, mac: string) {
  const architecture = architectureOfFirmware(clientArchs(request.options), mac)
  return { netboot: stageOf(request), ...(architecture ? { architecture } : {}), ...switchPortPart(request) }
}

function switchPortPart(request: Packet): { switchPort?: SwitchPort } {
  const switchPort = switchPortOf(request)
  return switchPort ? { switchPort } : {}
}
