/** One DHCP datagram <-> Packet (RFC 2131 section 2).
 *
 *     op htype hlen hops | xid (4) | secs (2) flags (2) | ciaddr | yiaddr | siaddr | giaddr | chaddr (16)
 *     sname (64) | file (128) | cookie | options
 *
 *  Options that are not known survive. Long options (RFC 3396) are joined, overloaded sname and file fields (option 52)
 *  are read. */
import { WireError } from '../bytes.ts'
import { ipToNumber, macToText, numberToIp } from '../addresses.ts'
import { OPTION, OptionList, type Options } from './options.ts'

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

/** Where the fields are. */
const AT = {
  xid: 4,
  secs: 8,
  flags: 10,
  ciaddr: 12,
  yiaddr: 16,
  siaddr: 20,
  giaddr: 24,
  chaddr: 28,
  sname: 44,
  file: 108,
  cookie: 236,
  options: 240,
} as const
const COOKIE = 0x63825363
const PAD = 0
const END = 255
const CHADDR_BYTES = 16
const SNAME_BYTES = 64
const FILE_BYTES = 128
const MAX_OPTION_BYTES = 255
const SHORT_BYTES = 8
/** BOOTP clients and some relays drop what is shorter (RFC 1542 2.1). */
const MIN_PACKET_BYTES = 300
/** More than any network carries in one datagram. */
const MAX_PACKET_BYTES = 9000

export const BROADCAST_FLAG = 0x8000
export const NO_ADDRESS = '0.0.0.0'

/** The hardware address as text, for Ethernet (htype 1, RFC 1700). */
export const packetMac = (packet: Packet): string => macToText(packet.chaddr)

/** Throws WireError for anything that is no DHCP packet. What it answers shares the bytes that it was given. */
export function decodePacket(bytes: Buffer): Packet {
  if (bytes.length > MAX_PACKET_BYTES) throw new WireError(`datagram: ${bytes.length} bytes are too many`)
  if (bytes.length < AT.options) throw new WireError(`header: needs ${AT.options} bytes, ${bytes.length} are there`)
  const op = bytes[0] as number
  const hlen = bytes[2] as number
  if (op !== 1 && op !== 2) throw new WireError(`op: ${op} is neither request (1) nor reply (2)`)
  if (hlen > CHADDR_BYTES) throw new WireError(`hlen: ${hlen} is more than ${CHADDR_BYTES}`)
  if (bytes.readUInt32BE(AT.cookie) !== COOKIE) throw new WireError('cookie: this is BOOTP without options, not DHCP')
  const options = readOptions(bytes)
  const overload = options.get(OPTION.overload)?.[0] ?? 0
  return {
    op,
    htype: bytes[1] as number,
    hlen,
    hops: bytes[3] as number,
    xid: bytes.readUInt32BE(AT.xid),
    secs: bytes.readUInt16BE(AT.secs),
    flags: bytes.readUInt16BE(AT.flags),
    ciaddr: addressAt(bytes, AT.ciaddr),
    yiaddr: addressAt(bytes, AT.yiaddr),
    siaddr: addressAt(bytes, AT.siaddr),
    giaddr: addressAt(bytes, AT.giaddr),
    chaddr: bytes.subarray(AT.chaddr, AT.sname),
    options,
    sname: overload & 2 ? '' : textAt(bytes, AT.sname, SNAME_BYTES),
    file: overload & 1 ? '' : textAt(bytes, AT.file, FILE_BYTES),
  }
}

export function encodePacket(packet: Packet): Buffer {
  const options = listOf(packet.options)
  const sizeBytes = AT.options + optionsBytes(options) + 1
  // A part of a bigger piece of memory: to make one of its own for each packet costs more than to fill it.
  const bytes = Buffer.allocUnsafe(Math.max(sizeBytes, MIN_PACKET_BYTES)).fill(0)
  bytes[0] = packet.op
  bytes[1] = packet.htype
  bytes[2] = packet.hlen
  bytes[3] = packet.hops
  bytes.writeUInt32BE(packet.xid >>> 0, AT.xid)
  bytes.writeUInt16BE(packet.secs & 0xffff, AT.secs)
  bytes.writeUInt16BE(packet.flags & 0xffff, AT.flags)
  writeAddress(bytes, AT.ciaddr, packet.ciaddr)
  writeAddress(bytes, AT.yiaddr, packet.yiaddr)
  writeAddress(bytes, AT.siaddr, packet.siaddr)
  writeAddress(bytes, AT.giaddr, packet.giaddr)
  packet.chaddr.copy(bytes, AT.chaddr, 0, CHADDR_BYTES)
  writeText(bytes, { text: packet.sname, at: AT.sname, room: SNAME_BYTES, field: 'sname' })
  writeText(bytes, { text: packet.file, at: AT.file, room: FILE_BYTES, field: 'file' })
  bytes.writeUInt32BE(COOKIE, AT.cookie)
  bytes[writeOptions(bytes, options)] = END
  return bytes
}

function addressAt(bytes: Buffer, at: number): string {
  const value = bytes.readUInt32BE(at)
  return value === 0 ? NO_ADDRESS : numberToIp(value)
}

function writeAddress(bytes: Buffer, at: number, ip: string): void {
  if (ip !== NO_ADDRESS) bytes.writeUInt32BE(ipToNumber(ip), at)
}

/** Options that stand whole in one datagram, taken out where they are asked for: most never are. */
class OptionsInPlace implements Options {
  private readonly bytes: Buffer
  /** Those that were asked for, by their place. */
  private readonly taken: (Buffer | undefined)[] = []
  private readonly count: number

  constructor(bytes: Buffer, count: number) {
    this.bytes = bytes
    this.count = count
  }

  has(code: number): boolean {
    return this.get(code) !== undefined
  }

  get(code: number): Buffer | undefined {
    for (let at: number = AT.options, place = 0; place < this.count;) {
      if (this.bytes[at] === PAD) {
        at += 1
        continue
      }
      const end = at + 2 + (this.bytes[at + 1] as number)
      if (this.bytes[at] === code) return (this.taken[place] ??= this.bytes.subarray(at + 2, end))
      at = end
      place += 1
    }
    return undefined
  }

  *[Symbol.iterator](): Iterator<readonly [number, Buffer]> {
    for (let at: number = AT.options, place = 0; place < this.count; at += 1) {
      const code = this.bytes[at] as number
      if (code === PAD) continue
      const end = at + 2 + (this.bytes[at + 1] as number)
      yield [code, this.bytes.subarray(at + 2, end)]
      at = end - 1
      place += 1
    }
  }
}

const seen = new Uint8Array(256)

/** How many options there are; undefined where they have to be put together: one of them comes twice, or goes on in
 *  another field. What is wrong with them is found by who does that. */
function countInPlace(bytes: Buffer): number | undefined {
  seen.fill(0)
  let count = 0
  for (let at: number = AT.options; at < bytes.length;) {
    const code = bytes[at] as number
    at += 1
    if (code === PAD) continue
    if (code === END) return count
    if (at >= bytes.length || seen[code] === 1 || code === OPTION.overload) return undefined
    seen[code] = 1
    at += 1 + (bytes[at] as number)
    if (at > bytes.length) return undefined
    count += 1
  }
  return count
}

function readOptions(bytes: Buffer): Options {
  const count = countInPlace(bytes)
  if (count !== undefined) return new OptionsInPlace(bytes, count)
  const options = new Map<number, Buffer>()
  readOptionField(bytes, options, { from: AT.options, to: bytes.length })
  // Option 52 says that file (1), sname (2) or both hold more options, in that order (RFC 2131 4.1).
  const overload = options.get(OPTION.overload)?.[0] ?? 0
  if (overload & 1) readOptionField(bytes, options, { from: AT.file, to: AT.cookie })
  if (overload & 2) readOptionField(bytes, options, { from: AT.sname, to: AT.file })
  return options
}

function readOptionField(
  bytes: Buffer,
  options: Map<number, Buffer>,
  { from, to }: { from: number; to: number },
): void {
  for (let at = from; at < to;) {
    const code = bytes[at] as number
    at += 1
    if (code === PAD) continue
    if (code === END) return
    if (at >= to) throw new WireError(`option ${code}: it has no length at offset ${at}`)
    const value = at + 1
    at = value + (bytes[at] as number)
    if (at > to)
      throw new WireError(`option ${code}: needs ${at - value} bytes at offset ${value}, ${to - value} are left`)
    const before = options.get(code)
    // RFC 3396: an option that comes again goes on where it stopped.
    options.set(code, before ? Buffer.concat([before, bytes.subarray(value, at)]) : bytes.subarray(value, at))
  }
  // Some relays and old ROMs send no END; what was read is whole, so it counts.
}

const listOf = (options: Options): OptionList =>
  options instanceof OptionList ? options : new OptionList([...options])

function optionsBytes(options: OptionList): number {
  let sizeBytes = 0
  for (let place = 0; place < options.count; place += 1) {
    const [, value] = options.at(place)
    sizeBytes += value.length + 2 * Math.max(1, Math.ceil(value.length / MAX_OPTION_BYTES))
  }
  return sizeBytes
}

/** Answers where the options end. */
function writeOptions(bytes: Buffer, options: OptionList): number {
  let at: number = AT.options
  for (let place = 0; place < options.count; place += 1) {
    const [code, value] = options.at(place)
    for (let from = 0; from === 0 || from < value.length; from += MAX_OPTION_BYTES) {
      const length = Math.min(value.length - from, MAX_OPTION_BYTES)
      bytes[at] = code
      bytes[at + 1] = length
      // Most are of a few bytes, which a call to copy costs more than.
      if (length > SHORT_BYTES) value.copy(bytes, at + 2, from, from + length)
      else for (let i = 0; i < length; i += 1) bytes[at + 2 + i] = value[from + i] as number
      at += 2 + length
    }
  }
  return at
}

function textAt(bytes: Buffer, at: number, room: number): string {
  if (bytes[at] === 0) return ''
  const end = bytes.indexOf(0, at)
  return bytes.toString('latin1', at, end < 0 || end > at + room ? at + room : end)
}

function writeText(bytes: Buffer, opts: { text: string; at: number; room: number; field: string }): void {
  const { text, at, room, field } = opts
  if (text === '') return
  // One byte stays zero: EDK2 and several PXE ROMs read the field as a C string.
  if (text.length >= room) throw new WireError(`${field}: ${text.length} bytes do not fit in ${room}`)
  bytes.write(text, at, 'latin1')
}
