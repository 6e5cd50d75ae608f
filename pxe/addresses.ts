/** IPv4 and MAC addresses as text and as bytes. */
import { isIPv4 } from 'node:net'
import { WireError } from './bytes.ts'

export const ipToNumber = (ip: string): number => {
  if (!isIPv4(ip)) throw new WireError(`${JSON.stringify(ip)} is not an IPv4 address`)
  return ip.split('.').reduce((value, part) => value * 256 + Number(part), 0)
}

export const numberToIp = (value: number): string =>
  [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')

export const ipToBytes = (ip: string): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(ipToNumber(ip))
  return bytes
}

export const bytesToIp = (bytes: Buffer): string => numberToIp(bytes.readUInt32BE(0))

export const macToText = (bytes: Buffer): string =>
  [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

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
