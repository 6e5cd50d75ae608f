/** What clients are answered, through the server's own entry: whole packets in, whole packets out. */
import { expect, test } from 'vitest'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { probeAddress } from '../../pxe/dhcp/own-probe.ts'
import type { Packet } from '../../pxe/dhcp/packet.ts'
import { systemRandom } from '../../kit/random.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { bench, mac, packet, pxe, request } from './dhcp-bench.ts'

test('an unknown MAC gets no answer and one event a packet', () => {
  const { ask, events } = bench()
  expect(ask(packet(9, 'discover', pxe(7)))).toBeUndefined()
  expect(events).toEqual([{ kind: 'unknown', mac: mac(9), netboot: true }])
})

test('what looks for other servers from this very machine is no unknown card; the same from elsewhere is one', () => {
  const { ask, events } = bench()
  const chaddr = Buffer.concat([probeAddress(systemRandom), Buffer.alloc(10)])
  const told = (ip: string, more: Partial<Packet> = {}, type: 'discover' | 'request' = 'discover') => {
    const { length } = events
    expect(ask(packet(9, type, pxe(7), { chaddr, ...more }), { from: { ip, port: 68 } })).toBeUndefined()
    return events.length > length
  }
  expect(told('10.0.0.2')).toBe(false)
  expect([told('0.0.0.0'), told('10.0.0.77'), told('')]).toEqual([true, true, true])
  expect(told('10.0.0.2', { giaddr: '10.9.0.1' })).toBe(true)
  expect(told('10.0.0.2', {}, 'request')).toBe(true)
  expect(told('10.0.0.2', { chaddr: packet(9, 'discover').chaddr })).toBe(true)
})

test('offer, request, ack: one address, broadcast to a client that has none yet, durable when acknowledged', () => {
  const { ask, store } = bench()
  const offer = ask(packet(1, 'discover'))
  expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort, offer && messageType(offer.packet.options)]).toEqual([
    '10.0.0.10',
    '255.255.255.255',
    68,
    'offer',
  ])
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
    expect([nak && messageType(nak.packet.options), nak?.packet.yiaddr, nak?.toIp]).toEqual([
      'nak',
      '0.0.0.0',
      '255.255.255.255',
    ])
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
  expect(events.at(-1)).toEqual({
    kind: 'refused',
    mac: mac(4),
    why: 'the pool of addresses is used up (subnet 10.0.0.0/24)',
  })
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

test('a request to another server takes no address here', () => {
  const { ask, leases } = bench()
  ask(request(1, '10.0.0.10', [[OPTION.serverId, ipToBytes('10.0.0.99')]]))
  expect(leases.leasesOf(mac(1))).toEqual([])
})

test('hardware that is not Ethernet is no packet for us', () => {
  const { ask, events } = bench()
  expect(ask(packet(1, 'discover', [], { htype: 32, hlen: 0 }))).toBeUndefined()
  const why = 'chaddr: hardware type 32 of 0 bytes () is not Ethernet'
  expect(events).toEqual([{ kind: 'malformed', from: '', why, odd: true }])
})

test('an address of a client that is forgotten rests until its lease ends', () => {
  const { ask, leases, clock } = bench()
  ask(packet(1, 'discover'))
  ask(request(1, '10.0.0.10'))
  leases.forget(mac(1))
  expect(['10.0.0.11', '10.0.0.12']).toContain(
    ask(packet(2, 'discover', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))?.packet.yiaddr,
  )
  clock.ms += 600_000
  expect(ask(packet(3, 'discover', [[OPTION.requestedIp, ipToBytes('10.0.0.10')]]))?.packet.yiaddr).toBe('10.0.0.10')
})

test('inform is answered with parameters and without an address', () => {
  const ack = bench().ask(packet(1, 'inform', [], { ciaddr: '10.0.0.77' }))
  expect([ack?.packet.yiaddr, ack?.toIp, ack?.packet.options.has(OPTION.leaseTime)]).toEqual([
    '0.0.0.0',
    '10.0.0.77',
    false,
  ])
})

test('firmware and iPXE give one system UUID in two spellings of its bytes: it is told as one', () => {
  const raw = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
  const turned = Buffer.from('33221100554477668899aabbccddeeff', 'hex')
  const told = [raw, turned, Buffer.alloc(16)].flatMap((uuid) => {
    const { ask, events } = bench()
    ask(packet(1, 'discover', [...pxe(7), [OPTION.clientUuid, Buffer.concat([Buffer.from([0]), uuid])]]))
    return events.flatMap((event) => (event.kind === 'machine' ? [event.uuid] : []))
  })
  expect(told).toEqual(['00112233-4455-6677-8899-aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'])
})
