/** The DHCP socket: decode, ask who the client is, decide, encode, send. One socket per configured interface. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import type { Clock } from '../../kit/clock.ts'
import { inSubnet, numberToIp, parseSubnet, type Subnet } from '../addresses.ts'
import { WireError } from '../bytes.ts'
import { firmwareOf } from '../firmware.ts'
import type { LeaseBook, Pool } from './leases.ts'
import { clientArch, ipOption, isIpxe, isNetboot, messageType, OPTION } from './options.ts'
import { decodePacket, encodePacket, NO_ADDRESS, packetMac, type Packet } from './packet.ts'
import { decideReply, type SubnetSettings } from './reply.ts'

export interface DhcpSubnet {
  /** `10.0.0.0/24` */
  readonly cidr: string
  /** Our address in it, or the one that relays reach us by. */
  readonly serverIp: string
  readonly first: string
  readonly last: string
  readonly router?: string | undefined
  readonly dns: readonly string[]
  readonly mtu?: number | undefined
  readonly leaseSeconds: number
}

export interface KnownClient {
  readonly fixedIp?: string
  readonly hostName?: string
  readonly scriptUrl: string
  readonly loaderUrl: string
}

export type DhcpEvent =
  | { readonly kind: 'unknown'; readonly mac: string }
  | { readonly kind: 'malformed'; readonly from: string; readonly why: string }
  | { readonly kind: 'refused'; readonly mac: string; readonly why: string }
  | {
      readonly kind: 'reply'
      readonly mac: string
      readonly type: string
      readonly ip: string
      readonly netboot: 'firmware' | 'ipxe' | 'no'
      readonly bootFile?: string
    }

/** Asked of the owner of this room. Called for every packet: several times per boot. */
export interface DhcpOwner {
  client(mac: string): KnownClient | undefined
  fixedIps(): ReadonlySet<string>
  event(event: DhcpEvent): void
}

interface Place extends Pool {
  readonly settings: SubnetSettings
}

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62

export class DhcpServer {
  private readonly places: readonly Place[]
  private readonly sockets: Socket[] = []
  private readonly owner: DhcpOwner
  private readonly leases: LeaseBook
  private readonly clock: Clock

  constructor(parts: { subnets: readonly DhcpSubnet[]; owner: DhcpOwner; leases: LeaseBook; clock: Clock }) {
    this.owner = parts.owner
    this.leases = parts.leases
    this.clock = parts.clock
    this.places = parts.subnets.map(placeOf)
  }

  /** Listens for broadcasts on one interface and on no other. `port` is 67 everywhere but in tests. */
  async listen(at: { interface: string; localIp: string; port?: number }): Promise<void> {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    this.sockets.push(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(at.port ?? 67, () => resolve())
    })
    socket.removeAllListeners('error')
    // dgram has no SO_BINDTODEVICE; without it two interfaces would hear each other's broadcasts.
    const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
    socket.on('message', (bytes, from) => this.receive(bytes, { socket, localIp: at.localIp, from: from.address }))
    socket.on('error', (error) => this.owner.event({ kind: 'malformed', from: at.interface, why: error.message }))
  }

  stop(): void {
    for (const socket of this.sockets.splice(0)) socket.close()
  }

  /** Decides about one datagram; also the entry for tests and load runs without a socket. */
  handle(bytes: Buffer, localIp: string, from = ''): { bytes: Buffer; toIp: string; toPort: number } | undefined {
    try {
      return this.answer(decodePacket(bytes), localIp)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.owner.event({ kind: 'malformed', from, why: error.message })
      return undefined
    }
  }

  private receive(bytes: Buffer, at: { socket: Socket; localIp: string; from: string }): void {
    const reply = this.handle(bytes, at.localIp, at.from)
    if (reply)
      at.socket.send(
        reply.bytes,
        reply.toPort,
        reply.toIp,
        (error) => error && this.owner.event({ kind: 'malformed', from: reply.toIp, why: `cannot send: ${error.message}` }),
      )
  }

  private answer(request: Packet, localIp: string) {
    if (request.op !== 1 || request.htype !== 1 || request.hlen !== 6) return undefined
    const mac = packetMac(request)
    const client = this.owner.client(mac)
    if (!client) {
      this.owner.event({ kind: 'unknown', mac })
      return undefined
    }
    const place = this.placeFor(request, localIp)
    if (!place) return this.refuse(mac, `no subnet is configured for ${request.giaddr === NO_ADDRESS ? localIp : `relay ${request.giaddr}`}`)
    const type = messageType(request.options)
    if (type === 'decline') {
      if (ipOption(request.options, OPTION.requestedIp) === this.leases.leaseOf(mac)?.ip) this.leases.decline(mac, this.clock.now())
      return this.refuse(mac, 'the client found its address in use by another server (decline)')
    }
    const nowMs = this.clock.now()
    const choice = { pool: place, taken: this.owner.fixedIps(), nowMs, ...(client.fixedIp ? { fixedIp: client.fixedIp } : {}) }
    const ip = this.leases.choose(mac, choice)
    if (ip === undefined) return this.refuse(mac, client.fixedIp ? `its address ${client.fixedIp} is not in this subnet` : 'the pool of addresses is used up')
    if (isNetboot(request.options) && !isIpxe(request.options) && !firmwareOf(clientArch(request.options)).file) {
      this.refuse(mac, `there is no boot file for ${firmwareOf(clientArch(request.options)).name}`)
    }
    const reply = decideReply(request, place.settings, { ...client, ip })
    if ('ignore' in reply) return undefined
    if (reply.type === 'ack' && type === 'request') this.leases.confirm(mac, ip, nowMs + place.settings.leaseSeconds * 1000)
    const netboot = isIpxe(request.options) ? 'ipxe' : isNetboot(request.options) ? 'firmware' : 'no'
    this.owner.event({ kind: 'reply', mac, type: reply.type, ip, netboot, ...(reply.bootFile ? { bootFile: reply.bootFile } : {}) })
    return { bytes: encodePacket(reply.packet), toIp: reply.toIp, toPort: reply.toPort }
  }

  private refuse(mac: string, why: string): undefined {
    this.owner.event({ kind: 'refused', mac, why })
    return undefined
  }

  private placeFor(request: Packet, localIp: string): Place | undefined {
    const at = request.giaddr === NO_ADDRESS ? localIp : request.giaddr
    return this.places.find((place) => inSubnet(at, place.subnet))
  }
}

function placeOf(subnet: DhcpSubnet): Place {
  const parsed: Subnet = parseSubnet(subnet.cidr)
  const { serverIp, dns, leaseSeconds, first, last } = subnet
  const settings: SubnetSettings = {
    serverIp,
    dns,
    leaseSeconds,
    mask: numberToIp(parsed.mask),
    broadcast: numberToIp((parsed.network | ~parsed.mask) >>> 0),
    ...(subnet.router ? { router: subnet.router } : {}),
    ...(subnet.mtu ? { mtu: subnet.mtu } : {}),
  }
  return { subnet: parsed, first, last, settings }
}
