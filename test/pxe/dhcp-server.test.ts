/** What clients are answered, through the server's own entry: whole packets in, whole packets out. */
import { createSocket } from 'node:dgram'
import { describe, expect, test } from 'vitest'
import { LeaseBook, type Lease } from '../../pxe/dhcp/leases.ts'
import { ipOption, MESSAGE, messageType, OPTION, u16, u8 } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { DhcpServer, type DhcpEvent, type KnownClient } from '../../pxe/dhcp/server.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { ARM64_LOADER, BIOS_LOADER, EFI_LOADER, isOptionalName, LOADERS } from '../../pxe/firmware.ts'
import { systemClock, until } from '../../kit/clock.ts'

const SERVER = '10.0.0.1'
const subnet = { cidr: '10.0.0.0/24', serverIp: SERVER, first: '10.0.0.10', last: '10.0.0.12', dns: [], leaseSeconds: 600 }
const far = { cidr: '10.9.0.0/24', serverIp: '10.0.0.1', first: '10.9.0.10', last: '10.9.0.12', dns: ['10.0.0.2'], router: '10.9.0.1', leaseSeconds: 600 }
const fabric = { cidr: '10.50.0.0/24', serverIp: '10.0.0.1', first: '10.50.0.100', last: '10.50.0.102', dns: [], leaseSeconds: 600 }
const script = (mac: string) => `http://${SERVER}/boot/${mac}/script.ipxe`

class Memory {
  readonly saved = new Map<string, Lease>()
  load = () => [...this.saved.values()]
  save = (lease: Lease) => void this.saved.set(lease.ip, lease)
  remove = (ip: string) => void this.saved.delete(ip)
}

function bench(fixed: Record<string, string> = {}, more: { loaders?: readonly string[]; macs?: readonly string[] } = {}) {
  const store = new Memory()
  const clock = { ...systemClock, ms: 1_000_000, now: () => clock.ms }
  const events: DhcpEvent[] = []
  const known = new Map<string, KnownClient>()
  for (const address of more.macs ?? [1, 2, 3, 4].map(mac))
    known.set(address, { scriptUrl: script(address), loaderUrl: `http://${SERVER}/loader/`, ...(fixed[address] ? { fixedIp: fixed[address] } : {}) })
  const owner = {
    client: (address: string) => known.get(address),
    isFixed: (ip: string) => Object.values(fixed).includes(ip),
    event: (event: DhcpEvent) => void events.push(event),
  }
  const leases = new LeaseBook(store, { declinesPerMac: 3 })
  const loaders = new Set(more.loaders ?? LOADERS)
  const server = new DhcpServer({ subnets: [subnet, far, fabric], ownIps: ['10.0.0.2'], loaders, owner, leases, clock })
  const ask = (packet: Packet) => {
    const reply = server.handle(encodePacket(packet), SERVER)
    return reply && { ...reply, packet: decodePacket(reply.bytes) }
  }
  return { ask, events, store, known, leases, clock, fixed, server, owner }
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
const http = (arch: number): [number, Buffer][] => [
  [OPTION.vendorClass, Buffer.from(`HTTPClient:Arch:000${arch}`)],
  [OPTION.clientArch, u16(arch)],
]
const ofMac = (address: string, about: Packet): Packet => {
  const bytes = address.split(':').map((part) => Number.parseInt(part, 16))
  return { ...about, chaddr: Buffer.from([...bytes, ...Buffer.alloc(10)]) }
}
const option82 = (parts: Record<number, string>): [number, Buffer] => [
  OPTION.relayInfo,
  Buffer.concat(Object.entries(parts).map(([code, ip]) => Buffer.concat([Buffer.from([Number(code), 4]), ipToBytes(ip)]))),
]
const serverIdOf = (about: Packet | undefined) => about && ipOption(about.options, OPTION.serverId)
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
    expect(events).toContainEqual({
      kind: 'trouble',
      mac: mac(1),
      why: 'there is no boot file for ARM 64-bit UEFI: ipxe-arm64.efi is not among the loaders',
    })
  })
  test.each([
    [11, ARM64_LOADER],
    [19, `http://${SERVER}/loader/${ARM64_LOADER}`],
  ])('for architecture %i is the arm64 loader where it is there', (arch, file) => {
    const options = arch === 11 ? pxe(arch) : http(arch)
    expect(bench({}, { loaders: [...LOADERS, ARM64_LOADER] }).ask(packet(1, 'discover', options))?.packet.file).toBe(file)
  })
  test.each([
    [15, 'x86 UEFI HTTP'],
    [18, 'ARM 32-bit UEFI HTTP'],
    [20, 'x86 BIOS HTTP'],
    [27, 'RISC-V 64-bit UEFI'],
    [6, 'x86 UEFI'],
  ])('for architecture %i is none, and the event names it', (arch, name) => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', [15, 18, 20].includes(arch) ? http(arch) : pxe(arch)))?.packet.file).toBe('')
    expect(events).toContainEqual({ kind: 'trouble', mac: mac(1), why: `there is no boot file for ${name}` })
  })
  test('is that of the first architecture that has one', () => {
    expect(
      fileOf([
        [OPTION.vendorClass, Buffer.from('PXEClient')],
        [OPTION.clientArch, Buffer.from([0, 0xff, 0, 7])],
      ]),
    ).toBe(EFI_LOADER)
    expect(
      fileOf([
        [OPTION.vendorClass, Buffer.from('PXEClient')],
        [OPTION.clientArch, Buffer.from([0, 6, 0, 7])],
      ]),
    ).toBe(EFI_LOADER)
  })
  test('is found by the vendor class when option 93 is missing', () => {
    expect(fileOf([[OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003016')]])).toBe(EFI_LOADER)
    expect(fileOf([[OPTION.vendorClass, Buffer.from('PXEClient')]])).toBe(BIOS_LOADER)
  })
  test('for a Raspberry Pi, which says that it is an x86 BIOS, is none', () => {
    const pi = 'b8:27:eb:00:00:01'
    const { ask, events } = bench({}, { macs: [pi] })
    expect(ask(ofMac(pi, packet(1, 'discover', pxe(0))))?.packet.file).toBe('')
    expect(events).toContainEqual({ kind: 'trouble', mac: pi, why: 'there is no boot file for Raspberry Pi' })
  })
})

test('offer, request, ack: one address, broadcast to a client that has none yet, durable when acknowledged', () => {
  const { ask, store } = bench()
  const offer = ask(packet(1, 'discover'))
  expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort, offer && messageType(offer.packet.options)]).toEqual(['10.0.0.10', '255.255.255.255', 68, 'offer'])
  expect(store.saved.size).toBe(0)
  const ack = ask(request(1, '10.0.0.10'))
  expect(ack && messageType(ack.packet.options)).toBe('ack')
  expect(store.saved.get('10.0.0.10')?.mac).toBe(mac(1))
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
  expect(events.at(-1)).toEqual({ kind: 'refused', mac: mac(4), why: 'the pool of addresses is used up (subnet 10.0.0.0/24)' })
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
  const again = new LeaseBook(store, { declinesPerMac: 3 })
  expect([again.leasesOf(mac(1)).map(({ ip }) => ip), again.macOf('10.0.0.11')]).toEqual([['10.0.0.11'], mac(1)])
})

describe('declines', () => {
  const decline = (n: number, ip: string) => packet(n, 'decline', [[OPTION.requestedIp, ipToBytes(ip)]])

  test('a declined address is left alone for a while', () => {
    const { ask } = bench()
    ask(packet(1, 'discover'))
    expect(ask(decline(1, '10.0.0.10'))).toBeUndefined()
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.0.0.11')
    expect(ask(packet(2, 'discover', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))?.packet.yiaddr).toBe('10.0.0.12')
  })
  test('one client empties no pool: after three declines in ten minutes it keeps its address, and an event says so', () => {
    const { ask, events, clock } = bench({}, { macs: [mac(1), mac(2)] })
    for (let n = 0; n < 100; n += 1) {
      const ip = ask(packet(1, 'discover'))?.packet.yiaddr
      if (ip) ask(decline(1, ip))
    }
    const kept = ask(packet(1, 'discover'))?.packet.yiaddr
    expect(events.filter((event) => event.kind === 'trouble' && event.why.includes('in use by another host'))).toHaveLength(3)
    expect(events).toContainEqual({ kind: 'trouble', mac: mac(1), why: `the client declines one address after the other; it keeps ${kept}` })
    expect(ask(packet(2, 'discover'))?.packet.yiaddr).toMatch(/^10\.0\.0\.1[0-2]$/)
    clock.ms += 10 * 60_000
    ask(decline(1, kept as string))
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).not.toBe(kept)
  })
  test('a declined address is used again before the pool counts as used up', () => {
    const { ask, events, clock } = bench()
    ask(packet(1, 'discover'))
    ask(decline(1, '10.0.0.10'))
    expect([1, 2, 3].map((n) => ask(packet(n, 'discover'))?.packet.yiaddr)).toEqual(['10.0.0.11', '10.0.0.12', '10.0.0.10'])
    clock.ms += 1
    expect(ask(packet(4, 'discover'))).toBeUndefined()
    expect(events.at(-1)).toMatchObject({ kind: 'refused', mac: mac(4) })
  })
  test("nobody declines another client's address", () => {
    const { ask, leases } = bench()
    ask(packet(1, 'discover'))
    ask(decline(2, '10.0.0.10'))
    expect(leases.macOf('10.0.0.10')).toBe(mac(1))
  })
  test('a decline through a relay is about the relayed lease', () => {
    const { ask, leases } = bench()
    ask(packet(1, 'discover'))
    ask(packet(1, 'discover', [], { giaddr: '10.9.0.1' }))
    ask({ ...decline(1, '10.9.0.10'), giaddr: '10.9.0.1' })
    expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual(['10.0.0.10'])
  })
})

describe('fixed addresses', () => {
  test.each([
    ['the server', '10.0.0.1', 'belongs to'],
    ['another address of this machine', '10.0.0.2', 'belongs to'],
    ['the network', '10.0.0.0', 'belongs to'],
    ['the broadcast address', '10.0.0.255', 'belongs to'],
    ['an address of another subnet', '10.9.0.77', 'is not in this subnet'],
  ])('%s is never given', (_, ip, why) => {
    const { ask, events } = bench({ [mac(1)]: ip })
    expect(ask(packet(1, 'discover'))).toBeUndefined()
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ kind: 'refused', mac: mac(1), why: expect.stringContaining(why) as string })
    const nak = ask(request(1, ip))
    expect(nak && messageType(nak.packet.options)).toBe('nak')
  })
  test('nor is the router of a relayed subnet', () => {
    const { ask, events } = bench({ [mac(1)]: '10.9.0.1' })
    expect(ask(packet(1, 'discover', [], { giaddr: '10.9.0.1' }))).toBeUndefined()
    expect(events[0]).toMatchObject({ why: expect.stringContaining('belongs to a server, a router') as string })
  })
  test('nor is an address that another client has, until that one comes without it', () => {
    const fixed: Record<string, string> = {}
    const { ask, events, known } = bench(fixed)
    ask(packet(1, 'discover'))
    ask(request(1, '10.0.0.10'))
    fixed[mac(2)] = '10.0.0.10'
    known.set(mac(2), { scriptUrl: '', loaderUrl: '', fixedIp: '10.0.0.10' })
    expect(ask(packet(2, 'discover'))).toBeUndefined()
    expect(events.at(-1)).toMatchObject({ kind: 'refused', mac: mac(2), why: expect.stringContaining(`is leased to ${mac(1)}`) as string })
    // Its holder renews it as long as it likes ...
    expect(ask(packet(1, 'request', [], { ciaddr: '10.0.0.10' }))?.packet.yiaddr).toBe('10.0.0.10')
    // ... and moves when it boots anew.
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.0.0.11')
    expect(ask(packet(2, 'discover'))?.packet.yiaddr).toBe('10.0.0.10')
  })
  test('one that became wrong takes no address from a server that runs', () => {
    const { ask, events, known } = bench()
    ask(packet(1, 'discover'))
    ask(request(1, '10.0.0.10'))
    known.set(mac(1), { scriptUrl: '', loaderUrl: '', fixedIp: SERVER })
    expect(ask(packet(1, 'request', [], { ciaddr: '10.0.0.10' }))?.packet.yiaddr).toBe('10.0.0.10')
    expect(events.at(-2)).toMatchObject({ kind: 'trouble', mac: mac(1) })
  })
})

describe('a relayed subnet', () => {
  const relayed = { giaddr: '10.50.0.1' }
  const lease = (ask: ReturnType<typeof bench>['ask'], n: number) => {
    ask(packet(n, 'discover', [], relayed))
    return ask({ ...request(n, `10.50.0.${99 + n}`), ...relayed })?.packet.yiaddr
  }

  test('a renewal by unicast is acknowledged, and the address is given to nobody else', () => {
    const { ask, leases } = bench()
    expect(lease(ask, 1)).toBe('10.50.0.100')
    const ack = ask(packet(1, 'request', [], { ciaddr: '10.50.0.100' }))
    expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr, ack?.toIp, ack?.toPort]).toEqual(['ack', '10.50.0.100', '10.50.0.100', 68])
    expect(leases.macOf('10.50.0.100')).toBe(mac(1))
    expect(ask(packet(2, 'discover', [], relayed))?.packet.yiaddr).toBe('10.50.0.101')
  })
  test('a client that boots on another link too keeps both leases', () => {
    const { ask, leases } = bench()
    lease(ask, 1)
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.0.0.10')
    expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual(['10.50.0.100', '10.0.0.10'])
  })
  test('a renewal of an address that is not its own is told no where the client is, not on our link', () => {
    const { ask } = bench()
    lease(ask, 1)
    lease(ask, 2)
    const nak = ask(packet(2, 'request', [], { ciaddr: '10.50.0.100' }))
    expect([nak && messageType(nak.packet.options), nak?.toIp]).toEqual(['nak', '10.50.0.100'])
  })
  test('a lease that was lost here is taken up again when its address is free', () => {
    const { ask } = bench()
    const ack = ask(packet(1, 'request', [], { ciaddr: '10.50.0.102' }))
    expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr]).toEqual(['ack', '10.50.0.102'])
  })
  test('a remembered address in a DISCOVER does not choose the subnet', () => {
    const offer = bench().ask(packet(1, 'discover', [], { ciaddr: '10.50.0.100' }))
    expect([offer?.packet.yiaddr, offer?.packet.ciaddr, offer?.toIp]).toEqual(['10.0.0.10', '0.0.0.0', '255.255.255.255'])
  })
  test('a release by unicast changes nothing: the address stays that of the client', () => {
    const { ask, leases } = bench()
    lease(ask, 1)
    expect(ask(packet(1, 'release', [[OPTION.serverId, ipToBytes(SERVER)]], { ciaddr: '10.50.0.100' }))).toBeUndefined()
    expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual(['10.50.0.100'])
  })
  test('an inform by unicast gets the parameters of the subnet of its address, and no lease', () => {
    const { ask, leases } = bench()
    const ack = ask(packet(1, 'inform', [], { ciaddr: '10.9.0.77' }))
    expect([ack?.toIp, ack && ipOption(ack.packet.options, OPTION.router)]).toEqual(['10.9.0.77', '10.9.0.1'])
    expect(leases.leasesOf(mac(1))).toEqual([])
  })
  test('an inform that names an address of nobody is not answered', () => {
    expect(bench().ask(packet(1, 'inform', [], { ciaddr: '192.0.2.1' }))).toBeUndefined()
    expect(bench().ask(packet(1, 'inform', [], { ciaddr: '10.0.0.255' }))).toBeUndefined()
  })
})

describe('link selection (RFC 3527)', () => {
  const linked = option82({ 5: '10.50.0.0' })
  test.each([
    ['a loopback of the leaf', '172.16.0.9'],
    ['an address of another known subnet', '10.9.0.1'],
  ])('gives the subnet where giaddr is %s, and the reply goes to giaddr', (_, giaddr) => {
    const offer = bench().ask(packet(1, 'discover', [linked], { giaddr }))
    expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort]).toEqual(['10.50.0.100', giaddr, 67])
  })
  test('of a subnet that is not configured is refused, not answered from another one', () => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', [option82({ 5: '10.60.0.0' })], { giaddr: '10.9.0.1' }))).toBeUndefined()
    expect(events).toEqual([{ kind: 'refused', mac: mac(1), why: 'no subnet is configured for link selection 10.60.0.0 of relay 10.9.0.1' }])
  })
  test('counts through a relay alone', () => {
    expect(bench().ask(packet(1, 'discover', [linked]))?.packet.yiaddr).toBe('10.0.0.10')
  })
  test('a sub-option that is cut short is survived', () => {
    const offer = bench().ask(packet(1, 'discover', [[OPTION.relayInfo, Buffer.from([1, 1, 7, 5, 4, 10, 50])]], { giaddr: '10.9.0.1' }))
    expect(offer?.packet.yiaddr).toBe('10.9.0.10')
  })
})

describe('subnet selection (RFC 3011)', () => {
  const selected: [number, Buffer] = [OPTION.subnetSelection, ipToBytes('10.50.0.0')]
  test('gives the subnet and comes back in the reply', () => {
    const offer = bench().ask(packet(1, 'discover', [selected], { giaddr: '10.9.0.1' }))
    expect([offer?.packet.yiaddr, offer && ipOption(offer.packet.options, OPTION.subnetSelection)]).toEqual(['10.50.0.100', '10.50.0.0'])
  })
  test('gives way to the link selection of the relay', () => {
    const offer = bench().ask(packet(1, 'discover', [selected, option82({ 5: '10.9.0.0' })], { giaddr: '172.16.0.9' }))
    expect([offer?.packet.yiaddr, offer?.packet.options.has(OPTION.subnetSelection)]).toEqual(['10.9.0.10', false])
  })
})

test('server identifier override (RFC 5107): the client takes the relay for the server, and its request counts as ours', () => {
  const { ask } = bench()
  const relay = option82({ 5: '10.50.0.0', 11: '10.50.0.1' })
  const offer = ask(packet(1, 'discover', [relay], { giaddr: '172.16.0.9' }))
  expect(serverIdOf(offer?.packet)).toBe('10.50.0.1')
  const ack = ask({ ...request(1, '10.50.0.100', [[OPTION.serverId, ipToBytes('10.50.0.1')], relay]), giaddr: '172.16.0.9' })
  expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr, serverIdOf(ack?.packet)]).toEqual(['ack', '10.50.0.100', '10.50.0.1'])
  // The renewal goes to the relay, which passes it on.
  const renewed = ask(packet(1, 'request', [relay], { giaddr: '172.16.0.9', ciaddr: '10.50.0.100' }))
  expect([renewed && messageType(renewed.packet.options), renewed?.toIp]).toEqual(['ack', '172.16.0.9'])
})

test('a request to another server takes no address here', () => {
  const { ask, leases } = bench()
  ask(request(1, '10.0.0.10', [[OPTION.serverId, ipToBytes('10.0.0.99')]]))
  expect(leases.leasesOf(mac(1))).toEqual([])
})

test('hardware that is not Ethernet is no packet for us', () => {
  const { ask, events } = bench()
  expect(ask(packet(1, 'discover', [], { htype: 32, hlen: 0 }))).toBeUndefined()
  expect(events).toEqual([{ kind: 'malformed', from: '', why: 'chaddr: hardware type 32 of 0 bytes is not Ethernet' }])
})

test('the identifier of a network-boot client comes back when it has its right length', () => {
  const uuid = Buffer.from([0, ...Array.from({ length: 16 }, (_, i) => i)])
  const reply = (value: Buffer) =>
    bench()
      .ask(packet(1, 'discover', [...pxe(7), [OPTION.clientUuid, value]]))
      ?.packet.options.get(OPTION.clientUuid)
  expect([reply(uuid), reply(uuid.subarray(1))]).toEqual([uuid, undefined])
})

test('an address of a client that is forgotten rests until its lease ends', () => {
  const { ask, leases, clock } = bench()
  ask(packet(1, 'discover'))
  ask(request(1, '10.0.0.10'))
  leases.forget(mac(1))
  expect(['10.0.0.11', '10.0.0.12']).toContain(ask(packet(2, 'discover', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))?.packet.yiaddr)
  clock.ms += 600_000
  expect(ask(packet(3, 'discover', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))?.packet.yiaddr).toBe('10.0.0.10')
})

test('what loaders do without is known by name', () => {
  expect(['revocations_sbat.efi', 'shim_certificate_0.efi', 'boot/autoexec.ipxe', 'grub/x86_64-efi/fs.lst'].every(isOptionalName)).toBe(true)
  expect(['snponly.efi', 'autoexec.ipxe.bak', 'grub.cfg'].some(isOptionalName)).toBe(false)
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

describe('the socket', () => {
  const port = async () => {
    const probe = createSocket('udp4')
    await new Promise<void>((resolve) => probe.bind(0, '127.0.0.1', resolve))
    const found = probe.address().port
    await new Promise<void>((resolve) => probe.close(() => resolve()))
    return found
  }
  async function listening(after: (of: ReturnType<typeof bench>, send: (about: Packet) => void) => Promise<void>): Promise<void> {
    const made = bench()
    const at = await port()
    await made.server.listen({ interface: 'lo', localIp: SERVER, port: at })
    const socket = createSocket('udp4')
    try {
      await after(made, (about) => socket.send(encodePacket(about), at, '127.0.0.1'))
    } finally {
      socket.close()
      made.server.stop()
    }
  }

  test('outlives a fault in its handler, which is an event', () =>
    listening(async ({ events, owner }, send) => {
      const client = owner.client
      owner.client = () => {
        throw new Error('a bug')
      }
      send(packet(1, 'discover'))
      await until(() => events.length > 0, { what: 'the event', timeoutMs: 5000 })
      expect(events).toEqual([{ kind: 'fault', from: '127.0.0.1', why: 'Error: a bug' }])
      owner.client = client
      send(packet(9, 'discover'))
      await until(() => events.length > 1, { what: 'the next packet', timeoutMs: 5000 })
      expect(events[1]).toEqual({ kind: 'unknown', mac: mac(9) })
    }))
})
