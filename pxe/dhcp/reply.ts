/** (request, what we know of the client) -> reply, or ignore with a reason. Authoritative for known clients (RFC 2131
 *  4.3); silent to all others. */
import { inSubnet, ipToBytes, type Subnet } from '../addresses.ts'
import { ipOption, ips, isHttpBoot, isIpxe, MESSAGE, messageType, OPTION, OptionList, u16, u32, u8 } from './options.ts'
import { BROADCAST_FLAG, NO_ADDRESS, type Packet } from './packet.ts'

export interface SubnetSettings {
  readonly serverIp: string
  readonly mask: string
  readonly broadcast: string
  readonly router?: string
  readonly dns: readonly string[]
  readonly mtu?: number
  readonly leaseSeconds: number
  /** Answers carry what makes firmware prefer them to those of other PXE servers on the link. */
  readonly firstChoice?: boolean
}

/** How a request is answered in its subnet. */
export interface Link extends SubnetSettings {
  /** What the client is told to be the server: ours, or the relay's where that asks for it. */
  readonly serverId: string
  /** Our addresses on this link. */
  readonly servers: readonly string[]
  /** False for a client behind a router that wrote by unicast. */
  readonly onLink: boolean
  /** The subnet that the client selected by option 118, if that counted. */
  readonly subnetSelection?: string
}

/** Sub-option 6 of option 43, PXE_DISCOVERY_CONTROL, bit 3: load the file of this offer, ask no boot server (PXE 2.1,
 *  section 2.2.2). */
export const TAKE_THE_FILE = Buffer.from([6, 1, 8, 255])

export interface Offerable {
  /** The address that this client has or may have here. */
  readonly ip: string | undefined
  readonly hostName: string | undefined
  /** What it is to fetch next. */
  readonly bootFile: string | undefined
}

export type ReplyType = 'offer' | 'ack' | 'nak'

export interface Reply {
  readonly packet: Packet
  readonly type: ReplyType
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

export function decideReply(request: Packet, link: Link, client: Offerable): Decision {
  const type = messageType(request.options)
  if (type === 'request') return decideRequest(request, link, client)
  if (type !== 'discover') return { ignore: `${type ?? 'a packet without a message type'} needs no reply` }
  const { ip } = client
  return ip === undefined
    ? { ignore: 'there is no address for this client' }
    : bootReply(request, link, { client, ip, type: 'offer' })
}

/** False for a request to a server that is not this one. One without a server identifier is for everybody who knows the
 *  client. */
export function isForUs(request: Packet, link: Link): boolean {
  const chosen = ipOption(request.options, OPTION.serverId)
  return chosen === undefined || chosen === link.serverId || link.servers.includes(chosen)
}

/** RFC 2131 4.3.2: which address the client asks for, depending on what it knows already. */
function decideRequest(request: Packet, link: Link, client: Offerable): Decision {
  if (!isForUs(request, link)) return { ignore: 'the client chose another server' }
  const wanted = request.ciaddr !== NO_ADDRESS ? request.ciaddr : ipOption(request.options, OPTION.requestedIp)
  if (wanted === undefined) return { ignore: 'the request names no address' }
  if (wanted !== client.ip) return nak(request, link, `${wanted} is not the address of this client`)
  return bootReply(request, link, { client, ip: wanted, type: 'ack' })
}

function bootReply(
  request: Packet,
  link: Link,
  { client, ip, type }: { client: Offerable; ip: string; type: 'offer' | 'ack' },
): Decision {
  const { hostName, bootFile } = client
  const options = new OptionList(leaseOptions(link)[type])
  if (hostName) options.add([OPTION.hostName, Buffer.from(hostName)])
  // RFC 3011: a client knows by the echo that its choice counted.
  if (link.subnetSelection) options.add([OPTION.subnetSelection, ipToBytes(link.subnetSelection)])
  if (bootFile) {
    addBootOptions(options, request, { serverIp: link.serverIp, bootFile })
    if (isIpxe(request.options)) options.add([OPTION.ipxe, IPXE_OPTIONS])
    // HTTP boot firmware takes only answers that carry its own class (UEFI 2.10, 24.7.3.1).
    if (isHttpBoot(request.options)) options.add([OPTION.vendorClass, Buffer.from('HTTPClient')])
    for (const option of link.firstChoice ? firstChoice(request) : []) options.add(option)
  }
  const packet = answer(request, {
    yiaddr: ip,
    siaddr: bootFile ? link.serverIp : NO_ADDRESS,
    file: bootFile ?? '',
    options,
    // RFC 2131 table 3: the address that a client uses stands in an ACK alone.
    ciaddr: type === 'offer' ? NO_ADDRESS : request.ciaddr,
  })
  const { toIp, toPort } = destination(request, packet)
  return bootFile ? { packet, type, toIp, toPort, bootFile } : { packet, type, toIp, toPort }
}

type OptionRow = readonly [number, Buffer]

/** The options that are the same for all clients of a link, made once. */
const made = new WeakMap<Link, Record<'offer' | 'ack', readonly OptionRow[]>>()

function leaseOptions(link: Link): Record<'offer' | 'ack', readonly OptionRow[]> {
  const before = made.get(link)
  if (before) return before
  const same: OptionRow[] = [
    [OPTION.serverId, ipToBytes(link.serverId)],
    [OPTION.leaseTime, u32(link.leaseSeconds)],
    // T1 and T2 at the customary half and seven eighths (RFC 2131 4.4.5).
    [OPTION.renewalTime, u32(Math.floor(link.leaseSeconds / 2))],
    [OPTION.rebindingTime, u32(Math.floor((link.leaseSeconds * 7) / 8))],
    ...networkOptions(link),
  ]
  const options = { offer: [typeOption('offer'), ...same], ack: [typeOption('ack'), ...same] }
  made.set(link, options)
  return options
}

const typeOption = (type: ReplyType): OptionRow => [OPTION.messageType, u8(MESSAGE[type])]

/** What names the boot file, beside the fields of the header. */
export function addBootOptions(
  options: OptionList,
  request: Packet,
  { serverIp, bootFile }: { serverIp: string; bootFile: string },
): void {
  const uuid = request.options.get(OPTION.clientUuid)
  for (const option of namesOf(serverIp, bootFile)) options.add(option)
  // RFC 4578 2.3: the client's identifier comes back; ROMs that send it with a wrong length do not want it.
  if (uuid?.length === 17 && uuid[0] === 0) options.add([OPTION.clientUuid, uuid])
}

/** Servers boot the same few loaders; where each has a script of its own, the latest are kept. */
const names = new Map<string, { readonly serverIp: string; readonly options: readonly OptionRow[] }>()
const MAX_NAMES = 64

function namesOf(serverIp: string, bootFile: string): readonly OptionRow[] {
  const known = names.get(bootFile)
  if (known?.serverIp === serverIp) return known.options
  const options: readonly OptionRow[] = [
    [OPTION.tftpServerName, Buffer.from(serverIp)],
    [OPTION.bootFile, Buffer.from(`${bootFile}\0`)],
  ]
  if (names.size >= MAX_NAMES) names.clear()
  names.set(bootFile, { serverIp, options })
  return options
}

/** EDK2 ranks offers: those of PXE servers that say "take this file" come first, an offer with a plain file name comes
 *  last but one. */
const firstChoice = ({ options }: Packet): OptionRow[] =>
  isHttpBoot(options) || isIpxe(options)
    ? []
    : [
        [OPTION.vendorClass, Buffer.from('PXEClient')],
        [OPTION.vendorSpecific, TAKE_THE_FILE],
      ]

function networkOptions(subnet: SubnetSettings): OptionRow[] {
  return [
    [OPTION.subnetMask, ipToBytes(subnet.mask)],
    [OPTION.broadcast, ipToBytes(subnet.broadcast)],
    ...(subnet.router ? ([[OPTION.router, ipToBytes(subnet.router)]] as const) : []),
    ...(subnet.dns.length > 0 ? ([[OPTION.dns, ips(subnet.dns)]] as const) : []),
    ...(subnet.mtu ? ([[OPTION.mtu, u16(subnet.mtu)]] as const) : []),
  ]
}

/** RFC 2131 4.3.5: parameters only; yiaddr and the lease time stay out. To an address of the subnet alone, or we would
 *  write to whomever a packet names. */
export function decideInform(request: Packet, link: Link, subnet: Subnet): Decision {
  const to = request.ciaddr
  if (!inSubnet(to, subnet) || to === link.broadcast) return { ignore: 'an inform without an address of its subnet' }
  const options = new OptionList([
    typeOption('ack'),
    [OPTION.serverId, ipToBytes(link.serverId)],
    ...networkOptions(link),
  ])
  const packet = answer(request, { yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, file: '', options })
  return { packet, type: 'ack', toIp: to, toPort: CLIENT_PORT }
}

function nak(request: Packet, link: Link, why: string): Reply {
  const options = new OptionList([
    typeOption('nak'),
    [OPTION.serverId, ipToBytes(link.serverId)],
    [OPTION.message, Buffer.from(why)],
  ])
  const packet = {
    ...answer(request, { yiaddr: NO_ADDRESS, siaddr: NO_ADDRESS, file: '', options }),
    ciaddr: NO_ADDRESS,
  }
  // RFC 2131 4.3.2: a NAK through a relay carries the broadcast flag, or the relay would send it to an address that the
  // client has lost.
  if (request.giaddr !== NO_ADDRESS) {
    return { packet: { ...packet, flags: BROADCAST_FLAG }, type: 'nak', toIp: request.giaddr, toPort: SERVER_PORT }
  }
  // A broadcast on our own link would not reach a client behind a router.
  return { packet, type: 'nak', toIp: link.onLink ? '255.255.255.255' : request.ciaddr, toPort: CLIENT_PORT }
}

/** `own.options` becomes part of the answer. */
export function answer(
  request: Packet,
  own: Pick<Packet, 'yiaddr' | 'siaddr' | 'file'> & { options: OptionList; ciaddr?: string },
): Packet {
  const { options } = own
  const relay = request.options.get(OPTION.relayInfo)
  // RFC 3046 2.2: echoed as it came, as the last option.
  if (relay) options.add([OPTION.relayInfo, relay])
  const { htype, hlen, xid, flags, giaddr, chaddr } = request
  return {
    op: 2,
    htype,
    hlen,
    hops: 0,
    xid,
    secs: 0,
    flags,
    ciaddr: own.ciaddr ?? request.ciaddr,
    giaddr,
    chaddr,
    sname: '',
    yiaddr: own.yiaddr,
    siaddr: own.siaddr,
    file: own.file,
    options,
  }
}

/** RFC 2131 4.1. A client without an address cannot be reached by unicast from a plain socket, so it gets a broadcast,
 *  which the RFC allows. */
export function destination(request: Packet, reply: Packet): { toIp: string; toPort: number } {
  if (request.giaddr !== NO_ADDRESS) return { toIp: request.giaddr, toPort: SERVER_PORT }
  const reachable = reply.ciaddr !== NO_ADDRESS && !(request.flags & BROADCAST_FLAG)
  return { toIp: reachable ? reply.ciaddr : '255.255.255.255', toPort: CLIENT_PORT }
}
