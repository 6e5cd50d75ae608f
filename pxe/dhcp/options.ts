/** DHCP options: numbers with their sources, and typed reading of their bytes. */
import { bytesToIp, ipToBytes } from '../addresses.ts'

export const OPTION = {
  subnetMask: 1, // RFC 2132 3.3
  router: 3, // RFC 2132 3.5
  dns: 6, // RFC 2132 3.8
  hostName: 12, // RFC 2132 3.14
  mtu: 26, // RFC 2132 5.1
  broadcast: 28, // RFC 2132 5.3
  vendorSpecific: 43, // RFC 2132 8.4
  requestedIp: 50, // RFC 2132 9.1
  leaseTime: 51, // RFC 2132 9.2
  overload: 52, // RFC 2132 9.3
  messageType: 53, // RFC 2132 9.6
  serverId: 54, // RFC 2132 9.7
  parameterList: 55, // RFC 2132 9.8
  message: 56, // RFC 2132 9.9
  maxSize: 57, // RFC 2132 9.10
  renewalTime: 58, // RFC 2132 9.11
  rebindingTime: 59, // RFC 2132 9.12
  vendorClass: 60, // RFC 2132 9.13
  clientId: 61, // RFC 2132 9.14
  tftpServerName: 66, // RFC 2132 9.4
  bootFile: 67, // RFC 2132 9.5
  userClass: 77, // RFC 3004
  relayInfo: 82, // RFC 3046
  clientArch: 93, // RFC 4578 2.1
  clientNdi: 94, // RFC 4578 2.2
  clientUuid: 97, // RFC 4578 2.3
  subnetSelection: 118, // RFC 3011
  ipxe: 175, // iPXE's encapsulated options: dhcp.h, DHCP_EB_ENCAP
} as const

export const MESSAGE = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const
export type MessageType = keyof typeof MESSAGE

/** By their numbers, in their order. */
export interface Options extends Iterable<readonly [number, Buffer]> {
  get(code: number): Buffer | undefined
  has(code: number): boolean
}

/** The options of an answer, as they are put together. */
export class OptionList implements Options {
  /** Of all answers of a link: never changed. */
  private readonly shared: readonly (readonly [number, Buffer])[]
  private readonly own: (readonly [number, Buffer])[] = []

  constructor(shared: readonly (readonly [number, Buffer])[]) {
    this.shared = shared
  }

  /** For a number that is not there yet. */
  add(option: readonly [number, Buffer]): void {
    this.own.push(option)
  }

  get count(): number {
    return this.shared.length + this.own.length
  }

  /** In their order: an iterator would leave an object behind for each. */
  at(place: number): readonly [number, Buffer] {
    return (place < this.shared.length ? this.shared[place] : this.own[place - this.shared.length]) as [number, Buffer]
  }

  has(code: number): boolean {
    return this.get(code) !== undefined
  }

  get(code: number): Buffer | undefined {
    const isIt = ([one]: readonly [number, Buffer]) => one === code
    return (this.shared.find(isIt) ?? this.own.find(isIt))?.[1]
  }

  *[Symbol.iterator](): Iterator<readonly [number, Buffer]> {
    yield* this.shared
    yield* this.own
  }
}

const MESSAGE_NAMES: readonly (MessageType | undefined)[] = Array.from({ length: 9 }, (_, type) =>
  (Object.keys(MESSAGE) as MessageType[]).find((name) => MESSAGE[name] === type),
)

export const messageType = (options: Options): MessageType | undefined => {
  const value = options.get(OPTION.messageType)
  return value?.length === 1 ? MESSAGE_NAMES[value[0] as number] : undefined
}

/** An address option, or undefined when it is absent or not four bytes. */
export const ipOption = (options: Options, code: number): string | undefined => {
  const value = options.get(code)
  return value?.length === 4 ? bytesToIp(value) : undefined
}

/** Client architectures (IANA "Processor Architecture Types") in the order of the client; from its vendor class when
 *  option 93 is missing. */
export const clientArchs = (options: Options): readonly number[] => {
  const value = options.get(OPTION.clientArch)
  if (value?.length === 2 && value[0] === 0) return ONE_ARCH[value[1] as number] as readonly number[]
  const listed: number[] = []
  for (let at = 0; value && at + 1 < value.length; at += 2) listed.push(value.readUInt16BE(at))
  if (listed.length > 0) return listed
  const named = /^(?:PXE|HTTP)Client:Arch:(\d{5})/.exec(options.get(OPTION.vendorClass)?.toString('latin1') ?? '')?.[1]
  return named === undefined ? [] : [Number(named)]
}

/** What most clients send, made once. */
const ONE_ARCH: readonly (readonly number[])[] = Array.from({ length: 256 }, (_, arch) => [arch])

/** The system UUID that firmware gives (RFC 4578, section 2.3), in one spelling for all of its boot programs: the first
 *  three fields are little-endian in SMBIOS, and some of them (iPXE) turn them round. */
export const machineUuid = (options: Options): string | undefined => {
  const value = options.get(OPTION.clientUuid)
  if (value?.length !== 17 || value[0] !== 0) return undefined
  if (value.compare(NO_UUID, 0, 16, 1) === 0 || value.compare(FULL_UUID, 0, 16, 1) === 0) return undefined
  for (let at = 0; at < 16; at += 1) turned[at] = value[1 + (TURNED[at] ?? at)] as number
  const hex = value.compare(turned, 0, 16, 1) < 0 ? value.toString('hex', 1) : turned.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
const NO_UUID = Buffer.alloc(16)
const FULL_UUID = Buffer.alloc(16, 0xff)
/** Where the bytes of the first three fields stand, from the last to the first of each. */
const TURNED = [3, 2, 1, 0, 5, 4, 7, 6]
const turned = Buffer.alloc(16)

/** True when iPXE runs already: user class "iPXE" (option 77, which iPXE sends without RFC 3004's length byte) or its
 *  options (175). */
export const isIpxe = (options: Options): boolean =>
  options.has(OPTION.ipxe) || (options.get(OPTION.userClass)?.includes('iPXE') ?? false)

const PXE_CLIENT = Buffer.from('PXEClient')
const HTTP_CLIENT = Buffer.from('HTTPClient')

const beginsWith = (value: Buffer | undefined, prefix: Buffer): boolean => {
  if (value === undefined || value.length < prefix.length) return false
  for (let at = 0; at < prefix.length; at += 1) if (value[at] !== prefix[at]) return false
  return true
}

export const isHttpBoot = (options: Options): boolean =>
  beginsWith(options.get(OPTION.vendorClass), HTTP_CLIENT) && !isIpxe(options)

/** A network-boot client: its vendor class begins with PXEClient or HTTPClient (PXE 2.1, 2.2.1), or it is iPXE. */
export const isNetboot = (options: Options): boolean => {
  const vendor = options.get(OPTION.vendorClass)
  return beginsWith(vendor, PXE_CLIENT) || beginsWith(vendor, HTTP_CLIENT) || isIpxe(options)
}

/** Vendor class of the signed ramdisk, which asks for its address itself. */
export const RAMDISK_CLASS = 'Rackward'

export const isRamdisk = (options: Options): boolean =>
  options.get(OPTION.vendorClass)?.toString('latin1') === RAMDISK_CLASS

export const u8 = (value: number): Buffer => Buffer.from([value])
export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
export const ips = (list: readonly string[]): Buffer => Buffer.concat(list.map(ipToBytes))
