/** Several subnets on one link (shared networks), and cards that are bundled: which subnet, which address, whose. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ipToBytes } from '../../pxe/addresses.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { ipOption, messageType, OPTION } from '../../pxe/dhcp/options.ts'
import type { DhcpSubnet } from '../../pxe/dhcp/place.ts'
import { bench, mac, Memory, packet, pxe, request, serverIdOf, subnet } from './dhcp-bench.ts'

const near: DhcpSubnet = { ...subnet, first: '10.0.0.10', last: '10.0.0.11', sharedNetwork: 'rack' }
const second: DhcpSubnet = {
  ...subnet,
  cidr: '10.1.0.0/24',
  serverIp: '10.1.0.1',
  first: '10.1.0.10',
  last: '10.1.0.11',
  router: '10.1.0.254',
  sharedNetwork: 'rack',
}
const elsewhere: DhcpSubnet = { ...subnet, cidr: '10.2.0.0/24', first: '10.2.0.10', last: '10.2.0.20' }
const subnets = [near, second, elsewhere]
const shared = (fixed: Record<string, string> = {}) => bench(fixed, { subnets })
const ipsOf = (ask: ReturnType<typeof bench>['ask'], ...ns: number[]) =>
  ns.map((n) => ask(packet(n, 'discover'))?.packet.yiaddr)
const type = (reply: ReturnType<ReturnType<typeof bench>['ask']>) => reply && messageType(reply.packet.options)

describe('a shared network', () => {
  test('gives addresses of its next subnet, with the parameters of that one, when the first is used up', () => {
    const { ask, events } = shared()
    expect(ipsOf(ask, 1, 2, 3)).toEqual(['10.0.0.10', '10.0.0.11', '10.1.0.10'])
    const ack = ask(request(3, '10.1.0.10', [[OPTION.serverId, ipToBytes('10.1.0.1')]]))
    expect([type(ack), ack?.packet.yiaddr, serverIdOf(ack?.packet)]).toEqual(['ack', '10.1.0.10', '10.1.0.1'])
    expect(ack && ipOption(ack.packet.options, OPTION.router)).toBe('10.1.0.254')
    expect(events.filter(({ kind }) => kind !== 'reply')).toEqual([])
  })
  test('is used up when all of its subnets are, and no other network is touched', () => {
    const { ask, events, known } = shared()
    known.set('02:00:00:00:00:05', known.get(mac(1))!)
    expect(ipsOf(ask, 1, 2, 3, 4, 5)).toEqual(['10.0.0.10', '10.0.0.11', '10.1.0.10', '10.1.0.11', undefined])
    expect(events.at(-1)).toMatchObject({ kind: 'refused', mac: '02:00:00:00:00:05' })
  })
  test('keeps a client in the subnet that it has an address of, and gives a fixed address in any of them', () => {
    const { ask, leases } = shared({ [mac(2)]: '10.1.0.99' })
    leases.learn(mac(1), '10.1.0.11', { pool: bookPool(second), expiresAtMs: 9e12 })
    expect(ipsOf(ask, 1, 2)).toEqual(['10.1.0.11', '10.1.0.99'])
    expect(ask(packet(1, 'request', [], { ciaddr: '10.1.0.11' }))?.packet.yiaddr).toBe('10.1.0.11')
  })
  test('gives the address that a client asks for in any of them, and refuses one of elsewhere', () => {
    const { ask } = shared()
    const wants = (ip: string): [number, Buffer][] => [[OPTION.requestedIp, ipToBytes(ip)]]
    expect(ask(packet(1, 'discover', wants('10.1.0.11')))?.packet.yiaddr).toBe('10.1.0.11')
    expect(type(ask(packet(2, 'request', wants('10.2.0.15'))))).toBe('nak')
  })
  test('is entered through a relay by any of its subnets', () => {
    const { ask } = shared()
    ask(packet(1, 'discover', [], { giaddr: '10.1.0.254' }))
    const offers = [2, 3].map((n) => ask(packet(n, 'discover', [], { giaddr: '10.1.0.254' })))
    expect(offers.map((offer) => offer?.packet.yiaddr)).toEqual(['10.1.0.11', '10.0.0.10'])
    expect(offers[1]?.toIp).toBe('10.1.0.254')
  })
  test('a client whose fixed address is in another subnet of the link gets that one instead of its own', () => {
    const { ask, leases, known, fixed } = shared()
    ask(packet(1, 'discover'))
    fixed[mac(1)] = '10.1.0.50'
    known.set(mac(1), { ...known.get(mac(1))!, fixedIp: '10.1.0.50' })
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).toBe('10.1.0.50')
    expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual(['10.1.0.50'])
  })
  test('whatever is asked: a client has one address on the link, and none that another one has', () => {
    const types = fc.constantFrom('discover' as const, 'request' as const, 'release' as const, 'decline' as const)
    const host = fc.tuple(fc.constantFrom('10.0.0', '10.1.0', '10.2.0'), fc.integer({ min: 9, max: 13 }))
    const step = fc.record({ n: fc.integer({ min: 1, max: 4 }), kind: types, at: host })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { ask, leases } = shared({ [mac(4)]: '10.1.0.12' })
        for (const { n, kind, at } of steps) {
          ask(packet(n, kind, [[OPTION.requestedIp, ipToBytes(at.join('.'))]]))
          const held = [1, 2, 3, 4].flatMap((of) => leases.leasesOf(mac(of)))
          expect(new Set(held.map(({ ip }) => ip)).size).toBe(held.length)
          for (const of of [1, 2, 3, 4])
            expect(leases.leasesOf(mac(of)).filter(({ ip }) => !ip.startsWith('10.2.')).length).toBeLessThanOrEqual(1)
        }
      }),
      { numRuns: 300 },
    )
  })
})

const bookPool = ({ cidr, first = '', last = '' }: DhcpSubnet) => ({
  subnet: {
    network: cidr.split('.').reduce((sum, part) => sum * 256 + Number.parseInt(part, 10), 0),
    mask: 0xffffff00,
  },
  first,
  last,
  reserved: new Set<string>(),
})

test('a node with ports in several subnets: each card has its address, mask and router where it asks', () => {
  const { ask, leases } = bench(
    { [mac(2)]: '10.1.0.77' },
    { subnets: [subnet, { ...second, sharedNetwork: undefined }] },
  )
  const first = ask(packet(1, 'discover'))
  const other = ask(packet(2, 'discover', [], { giaddr: '10.1.0.254' }))
  expect([first?.packet.yiaddr, first && ipOption(first.packet.options, OPTION.router)]).toEqual([
    '10.0.0.10',
    undefined,
  ])
  expect([other?.packet.yiaddr, other && ipOption(other.packet.options, OPTION.router)]).toEqual([
    '10.1.0.77',
    '10.1.0.254',
  ])
  // The card that is cabled to the other subnet now is told why its fixed address does not do there.
  expect(ask(packet(2, 'discover'))).toBeUndefined()
  expect(leases.leasesOf(mac(2)).map(({ ip }) => ip)).toEqual(['10.1.0.77'])
})

describe('cards of one bundle', () => {
  const BUNDLE = [mac(1), mac(2)]
  const siblings = (of: string) => (BUNDLE.includes(of) ? BUNDLE.filter((other) => other !== of) : [])
  const bundled = (fixed: Record<string, string> = {}, store = new Memory()) =>
    bench(fixed, { subnets: [subnet], leases: new LeaseBook(store, { declinesPerMac: 3, siblings }) })

  test('have one address, whichever of them asks, and it is that of the last one', () => {
    const { ask, leases } = bundled()
    expect(ipsOf(ask, 1, 2, 3, 1)).toEqual(['10.0.0.10', '10.0.0.10', '10.0.0.11', '10.0.0.10'])
    expect(type(ask(request(2, '10.0.0.10')))).toBe('ack')
    expect([leases.macOf('10.0.0.10'), leases.holds(mac(1), '10.0.0.10')]).toEqual([mac(2), true])
    expect([leases.holds(mac(3), '10.0.0.10'), leases.holds(mac(1), '10.0.0.11')]).toEqual([false, false])
    // The other one is still configured with it.
    expect(type(ask(packet(1, 'request', [], { ciaddr: '10.0.0.10' })))).toBe('ack')
  })
  test('keep it over a restart of the services', () => {
    const store = new Memory()
    const { ask } = bundled({}, store)
    ask(packet(1, 'discover'))
    ask(request(1, '10.0.0.10'))
    const again = bundled({}, store)
    expect(ipsOf(again.ask, 2)).toEqual(['10.0.0.10'])
  })
  test('that had one each before keep one of them', () => {
    const store = new Memory()
    store.save({ mac: mac(1), ip: '10.0.0.10', expiresAtMs: 5 })
    store.save({ mac: mac(2), ip: '10.0.0.11', expiresAtMs: 5 })
    const { ask, leases } = bundled({}, store)
    expect(ipsOf(ask, 2, 1, 2)).toEqual(['10.0.0.11', '10.0.0.11', '10.0.0.11'])
    expect(leases.macOf('10.0.0.10')).toBeUndefined()
  })
  test('have a fixed address together', () => {
    const { ask, events } = bundled({ [mac(1)]: '10.0.0.60', [mac(2)]: '10.0.0.60' })
    expect(ipsOf(ask, 1, 2)).toEqual(['10.0.0.60', '10.0.0.60'])
    expect(events.filter(({ kind }) => kind === 'trouble')).toEqual([])
  })
})

test('a card that may not boot alone is answered nothing, and that is told', () => {
  const { ask, events, known } = bench()
  known.set(mac(1), { ...known.get(mac(1))!, refusal: 'it is bundled' })
  expect([ask(packet(1, 'discover', pxe(7))), ask(request(1, '10.0.0.10'))]).toEqual([undefined, undefined])
  expect(events).toContainEqual({ kind: 'refused', mac: mac(1), why: 'it is bundled' })
})

describe('who poses as somebody is told of', () => {
  const from = (ip: string) => ({ from: { ip, port: 68 } })
  test('a release from another address, and one of an address that is not its own', () => {
    const { ask, events, leases } = bench()
    ask(packet(1, 'discover'))
    ask(request(1, '10.0.0.10'))
    ask(packet(1, 'release', [], { ciaddr: '10.0.0.10' }), from('10.0.0.66'))
    ask(packet(1, 'release', [], { ciaddr: '10.0.0.99' }), from('10.0.0.99'))
    expect(events.flatMap((event) => (event.kind === 'trouble' ? [event.why] : []))).toEqual([
      '10.0.0.66 releases the address 10.0.0.10 in its name; that is ignored',
      '10.0.0.99 releases 10.0.0.99 in its name, which is not its address; that is ignored',
    ])
    ask(packet(1, 'release', [], { ciaddr: '10.0.0.10' }), from('10.0.0.10'))
    expect(events.filter(({ kind }) => kind === 'trouble')).toHaveLength(2)
    expect(leases.macOf('10.0.0.10')).toBe(mac(1))
  })
  test('a relayed packet from the address of a server', () => {
    const { ask, events } = bench()
    ask(packet(1, 'discover'))
    ask(request(1, '10.0.0.10'))
    expect(ask(packet(2, 'discover', [], { giaddr: '10.9.0.1' }), from('10.0.0.10'))).toBeUndefined()
    expect(events.at(-1)).toMatchObject({
      kind: 'refused',
      mac: mac(2),
      why: expect.stringContaining(`is the address of the server ${mac(1)}`) as string,
    })
    expect(ask(packet(2, 'discover', [], { giaddr: '10.9.0.1' }), from('10.9.0.1'))?.packet.yiaddr).toBe('10.9.0.10')
  })
  test('a relay that is none of those that may ask', () => {
    const relayed = {
      ...subnet,
      cidr: '10.9.0.0/24',
      first: '10.9.0.10',
      last: '10.9.0.20',
      relays: ['10.9.0.1', '172.16.0.0/24'],
    }
    const { ask, events } = bench({}, { subnets: [subnet, relayed] })
    const through = (giaddr: string, options: [number, Buffer][] = []) =>
      ask(packet(1, 'discover', options, { giaddr }))?.packet.yiaddr
    const linked: [number, Buffer] = [OPTION.relayInfo, Buffer.from([5, 4, 10, 9, 0, 0])]
    expect([through('10.9.0.1'), through('172.16.0.7', [linked])]).toEqual(['10.9.0.10', '10.9.0.10'])
    expect([through('10.9.0.66'), through('172.17.0.7', [linked])]).toEqual([undefined, undefined])
    expect(events.at(-1)).toEqual({
      kind: 'refused',
      mac: mac(1),
      why: 'the relay 172.17.0.7 is none of those that may ask for 10.9.0.0/24 (boot.subnets[].relays)',
    })
  })
  test('another server whose offer a client takes, and an answer of a server that comes here', () => {
    const { ask, events } = bench()
    expect(ask(request(1, '10.0.0.200', [[OPTION.serverId, ipToBytes('10.0.0.66')]]))).toBeUndefined()
    expect(events).toEqual([
      {
        kind: 'trouble',
        about: 'rival',
        mac: mac(1),
        why: 'it takes the address 10.0.0.200 from another DHCP server, 10.0.0.66',
      },
    ])
    const rogue = packet(1, 'offer', [[OPTION.serverId, ipToBytes('10.0.0.66')]], { op: 2 })
    expect(ask(rogue, from('10.0.0.66'))).toBeUndefined()
    expect(events.at(-1)).toEqual({ kind: 'rogue', from: '10.0.0.66', server: '10.0.0.66' })
  })
})
