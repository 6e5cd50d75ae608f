/** One DHCP datagram <-> Packet (RFC 2131 section 2).
 *
 *     op htype hlen hops | xid (4) | secs (2) flags (2) | ciaddr | yiaddr | siaddr | giaddr | chaddr (16)
 *     sname (64) | file (128) | cookie | options
 *
 *  Options that are not known survive. Long options (RFC 3396) are joined, overloaded sname and file fields (option 52)
 *  are read. */
import { Reader, WireError } from '../bytes.ts'
import { bytesToIp, ipToBytes, macToText } from '../addresses.ts'
import { OPTION, type Options } from './options.ts'

export interface Packet {
  readonly op: 1 | 2
  readonly htype: number
  readonly hlen: number
  readonly hops: number
  readonly xid: number
  readonly secs: number
  readonly flags: number
  readonly ciaddr: string
  readonly yiaddr: string
  readonly siaddr: string
  readonly giaddr: string
  /** All 16 bytes as they came, so that a reply can repeat them. */
  readonly chaddr: Buffer
  readonly sname: string
  readonly file: string
  readonly options: Options
}

const COOKIE = 0x63825363
const PAD = 0
const END = 255
const CHADDR_BYTES = 16
const SNAME_BYTES = 64
const FILE_BYTES = 128
const MAX_OPTION_BYTES = 255
/** BOOTP clients and some relays drop what is shorter (RFC 1542 2.1). */
const MIN_PACKET_BYTES = 300
/** More than any network carries in one datagram. */
const MAX_PACKET_BYTES = 9000

export const BROADCAST_FLAG = 0x8000
export const NO_ADDRESS = '0.0.0.0'

/** The hardware address as text, for Ethernet (htype 1, RFC 1700). */
export const packetMac = (packet: Packet): string => macToText(packet.chaddr)

/** Throws WireError for anything that is no DHCP packet. */
export function decodePacket(bytes: Buffer): Packet {
  if (bytes.length > MAX_PACKET_BYTES) throw new WireError(`datagram: ${bytes.length} bytes are too many`)
  const reader = new Reader(bytes)
  const op = reader.u8('op')
  if (op !== 1 && op !== 2) throw new WireError(`op: ${op} is neither request (1) nor reply (2)`)
  const [htype, hlen, hops] = [reader.u8('htype'), reader.u8('hlen'), reader.u8('hops')]
  if (hlen > CHADDR_BYTES) throw new WireError(`hlen: ${hlen} is more than ${CHADDR_BYTES}`)
  const xid = reader.u32('xid')
  const [secs, flags] = [reader.u16('secs'), reader.u16('flags')]
  const address = (field: string) => bytesToIp(reader.take(4, field))
  const [ciaddr, yiaddr, siaddr, giaddr] = [address('ciaddr'), address('yiaddr'), address('siaddr'), address('giaddr')]
  const chaddr = Buffer.from(reader.take(CHADDR_BYTES, 'chaddr'))
  const [sname, file] = [reader.take(SNAME_BYTES, 'sname'), reader.take(FILE_BYTES, 'file')]
  if (reader.u32('cookie') !== COOKIE) throw new WireError('cookie: this is BOOTP without options, not DHCP')
  const options = readOptions(reader, { sname, file })
  const overload = options.get(OPTION.overload)?.[0] ?? 0
  return {
    op,
    htype,
    hlen,
    hops,
    xid,
    secs,
    flags,
    ciaddr,
    yiaddr,
    siaddr,
    giaddr,
    chaddr,
    options,
    sname: overload & 2 ? '' : textOf(sname),
    file: overload & 1 ? '' : textOf(file),
  }
}

export function encodePacket(packet: Packet): Buffer {
  const head = Buffer.alloc(240)
  head.set([packet.op, packet.htype, packet.hlen, packet.hops])
  head.writeUInt32BE(packet.xid >>> 0, 4)
  head.writeUInt16BE(packet.secs & 0xffff, 8)
  head.writeUInt16BE(packet.flags & 0xffff, 10)
  for (const [i, ip] of [packet.ciaddr, packet.yiaddr, packet.siaddr, packet.giaddr].entries())
    ipToBytes(ip).copy(head, 12 + 4 * i)
  packet.chaddr.copy(head, 28, 0, CHADDR_BYTES)
  writeText(head, { text: packet.sname, at: 44, room: SNAME_BYTES, field: 'sname' })
  writeText(head, { text: packet.file, at: 108, room: FILE_BYTES, field: 'file' })
  head.writeUInt32BE(COOKIE, 236)
  const whole = Buffer.concat([head, ...writeOptions(packet.options), Buffer.from([END])])
  return whole.length >= MIN_PACKET_BYTES
    ? whole
    : Buffer.concat([whole, Buffer.alloc(MIN_PACKET_BYTES - whole.length)])
}

function readOptions(reader: Reader, fields: { sname: Buffer; file: Buffer }): Map<number, Buffer> {
  const options = new Map<number, Buffer>()
  readOptionField(reader, options)
  // Option 52 says that file (1), sname (2) or both hold more options, in that order (RFC 2131 4.1).
  const overload = options.get(OPTION.overload)?.[0] ?? 0
  if (overload & 1) readOptionField(new Reader(fields.file), options)
  if (overload & 2) readOptionField(new Reader(fields.sname), options)
  return options
}

function readOptionField(reader: Reader, options: Map<number, Buffer>): void {
  while (reader.left > 0) {
    const code = reader.u8('option code')
    if (code === PAD) continue
    if (code === END) return
    const value = reader.take(reader.u8(`option ${code} length`), `option ${code}`)
    const before = options.get(code)
    // RFC 3396: an option that comes again goes on where it stopped.
    options.set(code, before ? Buffer.concat([before, value]) : Buffer.from(value))
  }
  // Some relays and old ROMs send no END; what was read is whole, so it counts.
}

function writeOptions(options: Options): Buffer[] {
  const parts: Buffer[] = []
  for (const [code, value] of options) {
    for (let at = 0; at === 0 || at < value.length; at += MAX_OPTION_BYTES) {
      const chunk = value.subarray(at, at + MAX_OPTION_BYTES)
      parts.push(Buffer.from([code, chunk.length]), chunk)
    }
  }
  return parts
}

const textOf = (bytes: Buffer): string => {
  const end = bytes.indexOf(0)
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString('latin1')
}

function writeText(head: Buffer, opts: { text: string; at: number; room: number; field: string }): void {
  const bytes = Buffer.from(opts.text, 'latin1')
  // One byte stays zero: EDK2 and several PXE ROMs read the field as a C string.
  if (bytes.length >= opts.room) throw new WireError(`${opts.field}: ${bytes.length} bytes do not fit in ${opts.room}`)
  bytes.copy(head, opts.at)
}
