/** Another DHCP server on the wire: asks as a machine that nobody knows, and listens who offers something (RFC 2131,
 *  section 4.4.1). Offers are not taken. */
import { createSocket, type Socket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { setsockopt } from 'sockopt'
import type { Clock } from '../../kit/clock.ts'
import { bind } from '../../kit/listen.ts'
import type { Random } from '../../kit/random.ts'
import { MESSAGE, messageType, OPTION, ipOption, u8, type Options } from '../../pxe/dhcp/options.ts'
import { BROADCAST_FLAG, decodePacket, encodePacket, NO_ADDRESS } from '../../pxe/dhcp/packet.ts'

export interface Offer {
  readonly server: string
  readonly address: string
  /** It calls itself a PXE server and names no way to boot: UEFI firmware then asks its port 4011 (EDK2,
   *  PxeBcParseDhcp4Packet). */
  readonly isBareBootServer: boolean
}

const SOL_SOCKET = 1
const SO_BINDTOIFINDEX = 62
const CLIENT_PORT = 68
const SERVER_PORT = 67
const ASKS = 2
const ASK_EVERY_MS = 1_000

/** Servers other than `own` that offered an address on this interface. Needs the right to bind port 68. */
export async function foreignOffers(
  at: { interface: string; own: readonly string[]; waitMs: number },
  parts: { clock: Clock; random: Random },
): Promise<Offer[]> {
  const index = Number(await readFile(`/sys/class/net/${at.interface}/ifindex`, 'utf8'))
  const socket = await bind(createSocket({ type: 'udp4', reuseAddr: true }), { port: CLIENT_PORT })
  socket.on('error', () => undefined)
  const offers = new Map<string, Offer>()
  const xid = parts.random.bytes(4).readUInt32BE(0)
  // A locally administered address (RFC 7042, section 2.1) that no card has.
  const chaddr = Buffer.concat([Buffer.from([0x02]), parts.random.bytes(5)])
  socket.on('message', (bytes, from) => {
    const offer = offerOf(bytes, xid)
    const server = offer && (ipOption(offer.options, OPTION.serverId) ?? from.address)
    if (offer && server && !at.own.includes(server))
      offers.set(server, { server, address: offer.yiaddr, isBareBootServer: isBareBootServer(offer.options) })
  })
  try {
    setsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, index)
    socket.setBroadcast(true)
    for (let i = 0; i < ASKS; i += 1) {
      await send(socket, discover(xid, chaddr))
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

function offerOf(bytes: Buffer, xid: number) {
  try {
    const packet = decodePacket(bytes)
    return packet.op === 2 && packet.xid === xid && messageType(packet.options) === 'offer' ? packet : undefined
  } catch {
    return undefined
  }
}

export const discover = (xid: number, chaddr: Buffer): Buffer =>
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
    options: new Map([[OPTION.messageType, u8(MESSAGE.discover)]]),
  })

const send = (socket: Socket, packet: Buffer) =>
  new Promise<void>((resolve, reject) =>
    socket.send(packet, SERVER_PORT, '255.255.255.255', (error) => (error ? reject(error) : resolve())),
  )
