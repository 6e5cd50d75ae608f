/** Other DHCP servers on the wire: asks as a machine that nobody knows, in the words of each kind of firmware, and
 *  listens who offers what (RFC 2131, section 4.4.1). Offers are not taken. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import type { Clock } from '../../kit/clock.ts'
import { bind } from '../../kit/listen.ts'
import type { Random } from '../../kit/random.ts'
import { MESSAGE, messageType, OPTION, ipOption, u16, u8, type Options } from '../../pxe/dhcp/options.ts'
import { probeAddress } from '../../pxe/dhcp/own-probe.ts'
import { BROADCAST_FLAG, decodePacket, encodePacket, NO_ADDRESS, type Packet } from '../../pxe/dhcp/packet.ts'

export interface Offer {
  readonly server: string
  readonly address: string
  /** It calls itself a PXE server and names no way to boot: UEFI firmware then asks its port 4011 (EDK2,
   *  PxeBcParseDhcp4Packet). */
  readonly isBareBootServer: boolean
  /** What each kind of client is told to boot. */
  readonly tells: ReadonlyMap<ProbeKind, Told>
}

export interface Told {
  /** Name or URL; empty: nothing. */
  readonly file: string
  readonly nextServer: string
  readonly vendorClass: string
}

const client = (kind: 'PXE' | 'HTTP', arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from(`${kind}Client:Arch:${String(arch).padStart(5, '0')}:UNDI:003016`)],
  [OPTION.clientArch, u16(arch)],
]
/** What a client of each kind says of itself. */
const PROBES = {
  plain: [],
  bios: client('PXE', 0),
  uefi: client('PXE', 7),
  http: client('HTTP', 16),
  ipxe: [...client('PXE', 7), [OPTION.userClass, Buffer.from('iPXE')], [OPTION.ipxe, Buffer.from([0xb1, 1, 1])]],
} as const satisfies Record<string, readonly (readonly [number, Buffer])[]>
export type ProbeKind = keyof typeof PROBES
const PROBE_NAMES = Object.keys(PROBES) as ProbeKind[]

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62
const CLIENT_PORT = 68
const SERVER_PORT = 67
const ASKS = 2
const ASK_EVERY_MS = 1_000

/** Servers other than `own` that offered an address, or what to boot, on this interface. Needs the right to bind
 *  port 68. */
export async function foreignOffers(
  at: { interface: string; own: readonly string[]; waitMs: number },
  parts: { clock: Clock; random: Random },
): Promise<Offer[]> {
  const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
  const socket = await bind(createSocket({ type: 'udp4', reuseAddr: true }), { port: CLIENT_PORT })
  socket.on('error', () => undefined)
  const offers = new Map<string, Offer>()
  // An identifier for each kind, one after the other.
  const firstXid = parts.random.bytes(4).readUInt32BE(0) & 0x7fffffff
  const chaddr = probeAddress(parts.random)
  socket.on('message', (bytes, from) => {
    const packet = offerOf(bytes)
    const kind = packet && PROBE_NAMES[packet.xid - firstXid]
    const server = packet && (ipOption(packet.options, OPTION.serverId) ?? from.address)
    if (packet && kind && server && !at.own.includes(server))
      offers.set(server, joined(offers.get(server), { server, kind, packet }))
  })
  try {
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
    for (let i = 0; i < ASKS; i += 1) {
      for (const [n, kind] of PROBE_NAMES.entries()) await send(socket, discover(firstXid + n, chaddr, PROBES[kind]))
      await parts.clock.sleep(
        i === ASKS - 1 ? Math.max(ASK_EVERY_MS, at.waitMs - ASK_EVERY_MS * (ASKS - 1)) : ASK_EVERY_MS,
      )
    }
  } finally {
    socket.close()
  }
  return [...offers.values()]
}

const isBareBootServer = (options: Options): boolean =>
  (options.get(OPTION.vendorClass)?.toString('latin1').startsWith('PXEClient') ?? false) &&
  !options.has(OPTION.vendorSpecific)

function joined(before: Offer | undefined, now: { server: string; kind: ProbeKind; packet: Packet }): Offer {
  const { server, kind, packet } = now
  const { yiaddr, siaddr, file, options } = packet
  const told = {
    file: file || textOf(options.get(OPTION.bootFile)),
    nextServer: siaddr === NO_ADDRESS ? textOf(options.get(OPTION.tftpServerName)) : siaddr,
    vendorClass: textOf(options.get(OPTION.vendorClass)),
  }
  return {
    server,
    address: yiaddr === NO_ADDRESS ? (before?.address ?? yiaddr) : yiaddr,
    isBareBootServer: (before?.isBareBootServer ?? false) || (kind !== 'http' && isBareBootServer(options)),
    tells: new Map(before?.tells).set(kind, told),
  }
}

const textOf = (bytes: Buffer | undefined): string => (bytes?.toString('latin1') ?? '').replace(/\0.*$/s, '')

function offerOf(bytes: Buffer): Packet | undefined {
  try {
    const packet = decodePacket(bytes)
    return packet.op === 2 && messageType(packet.options) === 'offer' ? packet : undefined
  } catch {
    return undefined
  }
}

const discover = (xid: number, chaddr: Buffer, says: readonly (readonly [number, Buffer])[]): Buffer =>
  encodePacket({
    op: 1,
    htype: 1,
    hlen: 6,
    hops: 0,
    xid,
    secs: 0,
    flags: BROADCAST_FLAG,
    ciaddr: NO_ADDRESS,
    yiaddr: NO_ADDRESS,
    siaddr: NO_ADDRESS,
    giaddr: NO_ADDRESS,
    chaddr: Buffer.concat([chaddr, Buffer.alloc(16 - chaddr.length)]),
    sname: '',
    file: '',
    options: new Map([
      [OPTION.messageType, u8(MESSAGE.discover)],
      // Some servers name boot files to those alone that ask for them.
      [OPTION.parameterList, Buffer.from([1, 3, OPTION.vendorClass, OPTION.tftpServerName, OPTION.bootFile])],
      ...says,
    ]),
  })

const send = (socket: Socket, packet: Buffer) =>
  new Promise<void>((resolve, reject) =>
    socket.send(packet, SERVER_PORT, '255.255.255.255', (error) => (error ? reject(error) : resolve())),
  )
