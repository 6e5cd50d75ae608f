/** What clients are answered, through the server's own entry: whole packets in, whole packets out. */
import { describe, expect, test } from 'vitest'
import { LeaseBook, type Lease } from '../../pxe/dhcp/leases.ts'
import { MESSAGE, messageType, OPTION, u16, u8 } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { DhcpServer, type DhcpEvent, type KnownClient } from '../../pxe/dhcp/server.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { BIOS_LOADER, EFI_LOADER } from '../../pxe/firmware.ts'
import { systemClock } from '../../kit/clock.ts'

const SERVER = '10.0.0.1'
const subnet = { cidr: '10.0.0.0/24', serverIp: SERVER, first: '10.0.0.10', last: '10.0.0.12', dns: [], leaseSeconds: 600 }
const far = { cidr: '10.9.0.0/24', serverIp: '10.0.0.1', first: '10.9.0.10', last: '10.9.0.12', dns: ['10.0.0.2'], router: '10.9.0.1', leaseSeconds: 600 }
const script = (mac: string) => `http://${SERVER}/boot/${mac}/script.ipxe`

class Memory {
  readonly saved = new Map<string, Lease>()
  load = () => [...this.saved.values()]
  save = (lease: Lease) => void this.saved.set(lease.mac, lease)
  remove = (mac: string) => void this.saved.delete(mac)
}

function bench(fixed: Record<string, string> = {}) {
  const store = new Memory()
  const events: DhcpEvent[] = []
  const known = new Map<string, KnownClient>()
  for (const n of [1, 2, 3, 4])
    known.set(mac(n), { scriptUrl: script(mac(n)), loaderUrl: `http://${SERVER}/loader/`, ...(fixed[mac(n)] ? { fixedIp: fixed[mac(n)] } : {}) })
  const owner = {
    client: (address: string) => known.get(address),
    fixedIps: () => new Set(Object.values(fixed)),
    event: (event: DhcpEvent) => void events.push(event),
  }
  const server = new DhcpServer({ subnets: [subnet, far], owner, leases: new LeaseBook(store), clock: systemClock })
  const ask = (packet: Packet) => {
    const reply = server.handle(encodePacket(packet), SERVER)
    return reply && { ...reply, packet: decodePacket(reply.bytes) }
  }
  return { ask, events, store, known }
}

const mac = (n: number) => `02:00:00:00:00:0${n}`

function packet(n: number, type: keyof typeof MESSAGE, options: [number, Buffer][] = [], more: Partial<Packet> = {}): Packet {
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
const pxe = (arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from(`PXEClient:Arch:0000${arch}`)],
  [OPTION.clientArch, u16(arch)],
]
const request = (n: number, ip: string, more: [number, Buffer][] = [[OPTION.serverId, ipToBytes(SERVER)]]) =>
  packet(n, 'request', [[OPTION.requestedIp, ipToBytes(ip)], ...more])

test('an unknown MAC gets no answer and one event a packet', () => {
  const { ask, events } = bench()
  expect(ask(packet(9, 'discover', pxe(7)))).toBeUndefined()
  expect(events).toEqual([{ kind: 'unknown', mac: mac(9) }])
})

describe('the boot file', () => {
  const fileOf = (options: [number, Buffer][]) => bench().ask(packet(1, 'discover', options))?.packet.file
  test.each([
    [0, BIOS_LOADER],
    [7, EFI_LOADER],
    [9, EFI_LOADER],
  ])('for architecture %i is %s', (arch, file) => expect(fileOf(pxe(arch))).toBe(file))
  test('for iPXE is the script of the node, by user class as by its own options', () => {
    expect(fileOf([...pxe(0), [OPTION.userClass, Buffer.from('iPXE')]])).toBe(script(mac(1)))
    expect(fileOf([...pxe(7), [OPTION.ipxe, Buffer.from([1, 1, 1])]])).toBe(script(mac(1)))
  })
  test('for UEFI HTTP boot is the loader by its whole URL, in an answer of its class', () => {
    const offer = bench().ask(
      packet(1, 'discover', [
        [OPTION.vendorClass, Buffer.from('HTTPClient:Arch:00016')],
        [OPTION.clientArch, u16(16)],
      ]),
    )
    expect([offer?.packet.file, offer?.packet.options.get(OPTION.vendorClass)?.toString()]).toEqual([`http://${SERVER}/loader/${EFI_LOADER}`, 'HTTPClient'])
  })
  test('for a client that boots nothing is none', () => expect(fileOf([])).toBe(''))
  test('for an architecture without a loader is none, and an event says so', () => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', pxe(11)))?.packet.file).toBe('')
    expect(events).toContainEqual({ kind: 'refused', mac: mac(1), why: 'there is no boot file for ARM 64-bit UEFI' })
  })
})

test('offer, request, ack: one address, broadcast to a client that has none yet, durable when acknowledged', () => {
  const { ask, store } = bench()
  const offer = ask(packet(1, 'discover'))
  expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort, offer && messageType(offer.packet.options)]).toEqual(['10.0.0.10', '255.255.255.255', 68, 'offer'])
  expect(store.saved.size).toBe(0)
  const ack = ask(request(1, '10.0.0.10'))
  expect(ack && messageType(ack.packet.options)).toBe('ack')
  expect(store.saved.get(mac(1))?.ip).toBe('10.0.0.10')
})

test('authoritative: a known client that wants a foreign address is told no', () => {
  const { ask } = bench()
  ask(packet(1, 'discover'))
  for (const wrong of [request(1, '192.168.1.5', []), packet(1, 'request', [], { ciaddr: '192.168.1.5' })]) {
    const nak = ask(wrong)
    expect([nak && messageType(nak.packet.options), nak?.packet.yiaddr, nak?.toIp]).toEqual(['nak', '0.0.0.0', '255.255.255.255'])
  }
})

test('a request for another server is not ours to answer', () => {
  const { ask } = bench()
  expect(ask(request(1, '10.0.0.10', [[OPTION.serverId, ipToBytes('10.0.0.99')]]))).toBeUndefined()
})

test('a renewing client is answered where it is', () => {
  const { ask } = bench()
  ask(packet(1, 'discover'))
  const ack = ask(packet(1, 'request', [], { ciaddr: '10.0.0.10' }))
  expect([ack && messageType(ack.packet.options), ack?.toIp]).toEqual(['ack', '10.0.0.10'])
})

test('no two clients get one address; a used-up pool says so and harms nobody', () => {
  const { ask, events } = bench()
  const given = [1, 2, 3].map((n) => ask(packet(n, 'discover'))?.packet.yiaddr)
  expect(new Set(given).size).toBe(3)
  expect(ask(packet(4, 'discover'))).toBeUndefined()
  expect(events.at(-1)).toEqual({ kind: 'refused', mac: mac(4), why: 'the pool of addresses is used up' })
  expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe(given[0])
})

test('a fixed address is kept for its client, inside the pool as outside', () => {
  const { ask } = bench({ [mac(1)]: '10.0.0.10', [mac(2)]: '10.0.0.200' })
  expect(ask(packet(3, 'discover'))?.packet.yiaddr).toBe('10.0.0.11')
  expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.0.0.10')
  expect(ask(packet(2, 'discover'))?.packet.yiaddr).toBe('10.0.0.200')
})

test('leases survive a restart', () => {
  const { ask, store } = bench()
  ask(packet(2, 'discover'))
  ask(packet(1, 'discover'))
  ask(request(1, '10.0.0.11'))
  const again = new LeaseBook(store)
  expect([again.leaseOf(mac(1))?.ip, again.macOf('10.0.0.11')]).toEqual(['10.0.0.11', mac(1)])
})

test('a declined address is left alone for a while', () => {
  const { ask } = bench()
  ask(packet(1, 'discover'))
  expect(ask(packet(1, 'decline', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))).toBeUndefined()
  expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.0.0.11')
})

test('through a relay: its subnet, its option 82 back as the last option, port 67', () => {
  const { ask } = bench()
  const circuit = Buffer.from([1, 2, 7, 7])
  const offer = ask(packet(1, 'discover', [[OPTION.relayInfo, circuit]], { giaddr: '10.9.0.1' }))
  expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort]).toEqual(['10.9.0.10', '10.9.0.1', 67])
  expect([...(offer?.packet.options.keys() ?? [])].at(-1)).toBe(OPTION.relayInfo)
  expect(offer?.packet.options.get(OPTION.relayInfo)).toEqual(circuit)
})

test('inform is answered with parameters and without an address', () => {
  const ack = bench().ask(packet(1, 'inform', [], { ciaddr: '10.0.0.77' }))
  expect([ack?.packet.yiaddr, ack?.toIp, ack?.packet.options.has(OPTION.leaseTime)]).toEqual(['0.0.0.0', '10.0.0.77', false])
})
