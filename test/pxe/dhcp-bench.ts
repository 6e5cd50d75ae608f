/** One DHCP server for tests, with a clock and leases in memory, and the packets of its clients. */
import { LeaseBook, type Lease } from '../../pxe/dhcp/leases.ts'
import { ipOption, MESSAGE, OPTION, u16, u8 } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import type { DhcpSubnet } from '../../pxe/dhcp/place.ts'
import type { KnownClient } from '../../pxe/dhcp/owner.ts'
import { DhcpServer } from '../../pxe/dhcp/server.ts'
import type { DhcpEvent } from '../../pxe/dhcp/events.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { systemClock } from '../../kit/clock.ts'

export const SERVER = '10.0.0.1'
export const subnet = {
  cidr: '10.0.0.0/24',
  serverIp: SERVER,
  first: '10.0.0.10',
  last: '10.0.0.12',
  dns: [],
  leaseSeconds: 600,
}
export const far = {
  cidr: '10.9.0.0/24',
  serverIp: '10.0.0.1',
  first: '10.9.0.10',
  last: '10.9.0.12',
  dns: ['10.0.0.2'],
  router: '10.9.0.1',
  leaseSeconds: 600,
}
export const fabric = {
  cidr: '10.50.0.0/24',
  serverIp: '10.0.0.1',
  first: '10.50.0.100',
  last: '10.50.0.102',
  dns: [],
  leaseSeconds: 600,
}
export const script = (mac: string) => `http://${SERVER}/boot/${mac}/script.ipxe`

export class Memory {
  readonly saved = new Map<string, Lease>()
  load = () => [...this.saved.values()]
  save = (lease: Lease) => void this.saved.set(lease.ip, lease)
  remove = (ip: string) => void this.saved.delete(ip)
  commit = () => undefined
  waits = () => false
}

export function bench(
  fixed: Record<string, string> = {},
  more: {
    loaders?: readonly string[]
    macs?: readonly string[]
    signed?: boolean
    subnets?: readonly DhcpSubnet[]
    leases?: LeaseBook
  } = {},
) {
  const store = new Memory()
  const clock = { ...systemClock, ms: 1_000_000, now: () => clock.ms }
  const events: DhcpEvent[] = []
  const known = new Map<string, KnownClient>()
  for (const address of more.macs ?? [1, 2, 3, 4].map(mac))
    known.set(address, {
      scriptUrl: script(address),
      loaderUrl: `http://${SERVER}/loader/`,
      signed: more.signed ?? false,
      ...(fixed[address] ? { fixedIp: fixed[address] } : {}),
    })
  const owner = {
    client: (address: string) => known.get(address),
    isFixed: (ip: string) => Object.values(fixed).includes(ip),
    pickLoader: (_: string, { files }: { files: readonly string[]; arch: number; asksAnew: boolean }) => files[0],
    event: (event: DhcpEvent) => void events.push(event),
  }
  const leases = more.leases ?? new LeaseBook(store, { declinesPerMac: 3 })
  const loaders = new Set(more.loaders ?? LOADERS)
  const server = new DhcpServer({
    subnets: more.subnets ?? [subnet, far, fabric],
    ownIps: ['10.0.0.2'],
    loaders,
    owner,
    leases,
    clock,
  })
  const ask = (packet: Packet, at: Parameters<DhcpServer['handle']>[2] = {}) => {
    const reply = server.handle(encodePacket(packet), SERVER, at)
    return reply && { ...reply, packet: decodePacket(reply.bytes) }
  }
  return { ask, events, store, known, leases, clock, fixed, server, owner }
}

export const mac = (n: number) => `02:00:00:00:00:0${n}`

export function packet(
  n: number,
  type: keyof typeof MESSAGE,
  options: [number, Buffer][] = [],
  more: Partial<Packet> = {},
): Packet {
  const chaddr = Buffer.alloc(16)
  chaddr.set(
    mac(n)
      .split(':')
      .map((part) => Number.parseInt(part, 16)),
  )
  return {
    op: 1,
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 42 + n,
    secs: 0,
    flags: 0,
    ciaddr: '0.0.0.0',
    yiaddr: '0.0.0.0',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    chaddr,
    sname: '',
    file: '',
    options: new Map([[OPTION.messageType, u8(MESSAGE[type])], ...options]),
    ...more,
  }
}
export const pxe = (arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from(`PXEClient:Arch:0000${arch}`)],
  [OPTION.clientArch, u16(arch)],
]
export const http = (arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from(`HTTPClient:Arch:000${arch}`)],
  [OPTION.clientArch, u16(arch)],
]
export const ofMac = (address: string, about: Packet): Packet => {
  const bytes = address.split(':').map((part) => Number.parseInt(part, 16))
  return { ...about, chaddr: Buffer.from([...bytes, ...Buffer.alloc(10)]) }
}
export const option82 = (parts: Record<number, string>): [number, Buffer] => [
  OPTION.relayInfo,
  Buffer.concat(
    Object.entries(parts).map(([code, ip]) => Buffer.concat([Buffer.from([Number(code), 4]), ipToBytes(ip)])),
  ),
]
export const serverIdOf = (about: Packet | undefined) => about && ipOption(about.options, OPTION.serverId)
export const request = (n: number, ip: string, more: [number, Buffer][] = [[OPTION.serverId, ipToBytes(SERVER)]]) =>
  packet(n, 'request', [[OPTION.requestedIp, ipToBytes(ip)], ...more])
