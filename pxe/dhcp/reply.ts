/** (request, what we know of the client) -> reply, or ignore with a reason. Authoritative for known clients (RFC 2131 4.3); silent to all others. */
import { ipToBytes } from '../addresses.ts'
import { firmwareOf } from '../firmware.ts'
import { clientArch, ipOption, ips, isHttpBoot, isIpxe, isNetboot, MESSAGE, messageType, OPTION, u16, u32, u8, type MessageType } from './options.ts'
import { BROADCAST_FLAG, NO_ADDRESS, type Packet } from './packet.ts'

export interface SubnetSettings {
  readonly serverIp: string
  readonly mask: string
  readonly broadcast: string
  readonly router?: string
  readonly dns: readonly string[]
  readonly mtu?: number
  readonly leaseSeconds: number
}

export interface Offerable {
  /** The address that this client has or may have here. */
  readonly ip: string
  readonly hostName?: string
  /** What iPXE fetches next. */
  readonly scriptUrl: string
  /** Where loaders are for firmware that boots by HTTP, with a slash at the end. */
  readonly loaderUrl: string
}

export interface Reply {
  readonly packet: Packet
  readonly type: MessageType
  readonly toIp: string
  readonly toPort: number
  /** The file that the client was told to fetch, if any. */
  readonly bootFile?: string
}

export type Decision = Reply | { readonly ignore: string }

const SERVER_PORT = 67
const CLIENT_PORT = 68
/** iPXE's encapsulated option 176, no-pxedhcp: do not wait for a proxyDHCP server, which costs it a second or more. */
const IPXE_OPTIONS = Buffer.from([0xb0, 1, 1])

export function decideReply(request: Packet, subnet: SubnetSettings, client: Offerable): Decision {
  const type = messageType(request.options)
  switch (type) {
    case 'discover':
      return bootReply(request, subnet, { client, type: 'offer' })
    case 'request':
      return decideRequest(request, subnet, client)
    case 'inform':
      return informReply(request, subnet)
    case undefined:
      return { ignore: 'message type missing' }
    default:
      return { ignore: `${type} needs no reply` }
  }
}

/** RFC 2131 4.3.2: which address the client asks for, depending on what it knows already. */
function decideRequest(request: Packet, subnet: SubnetSettings, client: Offerable): Decision {
  const chosen = ipOption(request.options, OPTION.serverId)
  if (chosen !== undefined && chosen !== subnet.serverIp) return { ignore: `the client chose the server ${chosen}` }
  const wanted = request.ciaddr !== NO_ADDRESS ? request.ciaddr : ipOption(request.options, OPTION.requestedIp)
  if (wanted === undefined) return { ignore: 'the request names no address' }
  if (wanted !== client.ip) return nak(request, subnet, `${wanted} is not the address of this client`)
  return bootReply(request, subnet, { client, type: 'ack' })
}

function bootReply(request: Packet, subnet: SubnetSettings, opts: { client: Offerable; type: 'offer' | 'ack' }): Decision {
  const bootFile = isNetboot(request.options) ? fileFor(request, opts.client) : undefined
  const options = new Map<number, Buffer>([
    [OPTION.messageType, u8(MESSAGE[opts.type])],
    [OPTION.serverId, ipToBytes(subnet.serverIp)],
    [OPTION.leaseTime, u32(subnet.leaseSeconds)],
    // T1 and T2 at the customary half and seven eighths (RFC 2131 4.4.5).
    [OPTION.renewalTime, u32(Math.floor(subnet.leaseSeconds / 2))],
    [OPTION.rebindingTime, u32(Math.floor((subnet.leaseSeconds * 7) / 8))],
    ...networkOptions(subnet),
  ])
  if (opts.client.hostName) options.set(OPTION.hostName, Buffer.from(opts.client.hostName))
  if (bootFile) {
    options.set(OPTION.tftpServerName, Buffer.from(subnet.serverIp))
    options.set(OPTION.bootFile, Buffer.from(`${bootFile}\0`))
    if (isIpxe(request.options)) options.set(OPTION.ipxe, IPXE_OPTIONS)
    // HTTP boot firmware takes only answers that carry its own class (UEFI 2.10, 24.7.3.1).
    if (isHttpBoot(request.options)) options.set(OPTION.vendorClass, Buffer.from('HTTPClient'))
  }
  const packet = answer(request, { yiaddr: opts.client.ip, siaddr: bootFile ? subnet.serverIp : NO_ADDRESS, file: bootFile ?? '', options })
  return { packet, type: opts.type, ...destination(request, packet), ...(bootFile ? { bootFile } : {}) }
}

function fileFor(request: Packet, client: Offerable): string | undefined {
  if (isIpxe(request.options)) return client.scriptUrl
  const { file, byHttp } = firmwareOf(clientArch(request.options))
  return file && byHttp ? client.loaderUrl + file : file
}

function networkOptions(subnet: SubnetSettings): [number, Buffer][] {
  return [
    [OPTION.subnetMask, ipToBytes(subnet.mask)],
    [OPTION.broadcast, ipToBytes(subnet.broadcast)],
    ...(subnet.router ? ([[OPTION.router, ipToBytes(subnet.router)]] as [number, Buffer][]) : []),
    ...(subnet.dns.length > 0 ? ([[OPTION.dns, ips(subnet.dns)]] as [number, Buffer][]) : []),
    ...(subnet.mtu ? ([[OPTION.mtu, u16(subnet.mtu)]] as [number, Buffer][]) : []),
  ]
}

/** RFC 2131 4.3.5: parameters only; yiaddr and the lease time stay out. */
function informReply(request: Packet, subnet: SubnetSettings): Decision {
  if (request.ciaddr === NO_ADDRESS) return { ignore: 'an inform without ciaddr' }
  const options = new Map<number, Buffer>([[OPTION.messageType, u8(MESSAGE.ack)], [OPTION.serverId, ipToBytes(subnet.serverIp)], ...networkOptions(subnet)])
  const packet = answer(request, { yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, file: '', options })
  return { packet, type: 'ack', toIp: request.ciaddr, toPort: CLIENT_PORT }
}

function nak(request: Packet, subnet: SubnetSettings, why: string): Reply {
  const options = new Map<number, Buffer>([
    [OPTION.messageType, u8(MESSAGE.nak)],
    [OPTION.serverId, ipToBytes(subnet.serverIp)],
    [OPTION.message, Buffer.from(why)],
  ])
  const packet = { ...answer(request, { yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, file: '', options }), ciaddr: NO_ADDRESS }
  // RFC 2131 4.3.2: a NAK through a relay carries the broadcast flag, or the relay would send it to an address that the client has lost.
  if (request.giaddr !== NO_ADDRESS) {
    return { packet: { ...packet, flags: BROADCAST_FLAG }, type: 'nak', toIp: request.giaddr, toPort: SERVER_PORT }
  }
  return { packet, type: 'nak', toIp: '255.255.255.255', toPort: CLIENT_PORT }
}

function answer(request: Packet, own: Pick<Packet, 'yiaddr' | 'siaddr' | 'file' | 'options'>): Packet {
  const options = new Map(own.options)
  const relay = request.options.get(OPTION.relayInfo)
  // RFC 3046 2.2: echoed as it came, as the last option.
  if (relay) options.set(OPTION.relayInfo, relay)
  const { htype, hlen, xid, flags, ciaddr, giaddr, chaddr } = request
  return {
    op: 2,
    htype,
    hlen,
    hops: 0,
    xid,
    secs: 0,
    flags,
    ciaddr,
    giaddr,
    chaddr,
    sname: '',
    yiaddr: own.yiaddr,
    siaddr: own.siaddr,
    file: own.file,
    options,
  }
}

/** RFC 2131 4.1. A client without an address cannot be reached by unicast from a plain socket, so it gets a broadcast, which the RFC allows. */
function destination(request: Packet, reply: Packet): { toIp: string; toPort: number } {
  if (request.giaddr !== NO_ADDRESS) return { toIp: request.giaddr, toPort: SERVER_PORT }
  const reachable = reply.ciaddr !== NO_ADDRESS && !(request.flags & BROADCAST_FLAG)
  return { toIp: reachable ? reply.ciaddr : '255.255.255.255', toPort: CLIENT_PORT }
}
