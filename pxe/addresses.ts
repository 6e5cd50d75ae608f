/** IPv4 and MAC addresses as text and as bytes. DHCP asks for them many times in each packet, and for the same ones in
 *  packet after packet: the texts are kept for a while. */
import { WireError } from './bytes.ts'

const ZERO = '0'.charCodeAt(0)
const DOT = '.'.charCodeAt(0)

/** Throws WireError for anything but four decimal numbers without leading zeros. */
export const ipToNumber = (ip: string): number => {
  let value = 0
  let part = 0
  let digits = 0
  let dots = 0
  for (let at = 0; at < ip.length; at += 1) {
    const digit = ip.charCodeAt(at) - ZERO
    if (digit >= 0 && digit <= 9) {
      part = part * 10 + digit
      digits += 1
      if (part > 255 || (digits > 1 && part < 10)) throw notIp(ip)
    } else if (digit === DOT - ZERO && digits > 0 && dots < 3) {
      value = value * 256 + part
      dots += 1
      part = digits = 0
    } else throw notIp(ip)
  }
  if (dots < 3 || digits === 0) throw notIp(ip)
  return value * 256 + part
}

const notIp = (ip: string) => new WireError(`${JSON.stringify(ip)} is not an IPv4 address`)

/** Texts of numbers: one for each value of their last 16 bits, so that it never grows. */
class Texts {
  private readonly high = new Uint32Array(1 << 16)
  private readonly low = new Uint32Array(1 << 16)
  private readonly texts: string[] = Array.from({ length: 1 << 16 }, () => '')

  of(high: number, low: number, make: (high: number, low: number) => string): string {
    const at = low & 0xffff
    const known = this.texts[at] as string
    if (known !== '' && this.high[at] === high && this.low[at] === low) return known
    const text = make(high, low)
    this.high[at] = high
    this.low[at] = low
    this.texts[at] = text
    return text
  }
}

const ipTexts = new Texts()
const makeIp = (_: number, value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`

export const numberToIp = (value: number): string => ipTexts.of(0, value >>> 0, makeIp)

export const ipToBytes = (ip: string): Buffer => {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(ipToNumber(ip))
  return bytes
}

export const bytesToIp = (bytes: Buffer): string => numberToIp(bytes.readUInt32BE(0))

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const macTexts = new Texts()
const hex = (value: number, shift: number) => HEX[(value >>> shift) & 255] as string
const makeMac = (high: number, low: number): string =>
  `${hex(high, 8)}:${hex(high, 0)}:${hex(low, 24)}:${hex(low, 16)}:${hex(low, 8)}:${hex(low, 0)}`

export const macToText = (bytes: Buffer): string =>
  macTexts.of((bytes[0]! << 8) | bytes[1]!, bytes.readUInt32BE(2), makeMac)

export interface Subnet {
  readonly network: number
  readonly mask: number
}

/** `10.0.0.0/24`. Throws WireError. */
export function parseSubnet(text: string): Subnet {
  const [ip, bits] = text.split('/')
  const length = Number(bits)
  if (!ip || !/^\d{1,2}$/.test(bits ?? '') || length > 30)
    throw new WireError(`${JSON.stringify(text)} is not a subnet such as 10.0.0.0/24`)
  const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0
  return { network: (ipToNumber(ip) & mask) >>> 0, mask }
}

export const inSubnet = (ip: string, subnet: Subnet): boolean => (ipToNumber(ip) & subnet.mask) >>> 0 === subnet.network
