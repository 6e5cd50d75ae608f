/** IPv4 and MAC addresses as text and as bytes. */
import { isIPv4 } from 'node:net'
import { WireError } from './bytes.ts'

const ZERO = '0'.charCodeAt(0)
const DOT = '.'.charCodeAt(0)

/** Digit by digit: DHCP asks this many times for each packet. */
export const ipToNumber = (ip: string): number => {
  if (!isIPv4(ip)) throw new WireError(`${JSON.stringify(ip)} is not an IPv4 address`)
  let value = 0
  let part = 0
  for (let at = 0; at < ip.length; at += 1) {
    const code = ip.charCodeAt(at)
    if (code === DOT) {
      value = value * 256 + part
      part = 0
    } else part = part * 10 + code - ZERO
  }
  return value * 256 + part
}

export const numberToIp = (value: number): string =>
  `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`

export const ipToBytes = (ip: string): Buffer => {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(ipToNumber(ip))
  return bytes
}

export const bytesToIp = (bytes: Buffer): string => numberToIp(bytes.readUInt32BE(0))

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export const macToText = (bytes: Buffer): string =>
  `${HEX[bytes[0]!]}:${HEX[bytes[1]!]}:${HEX[bytes[2]!]}:${HEX[bytes[3]!]}:${HEX[bytes[4]!]}:${HEX[bytes[5]!]}`

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
