/** Addresses that the conductor learns from DHCP: of the client that holds the lease and of nobody else, whatever other
 *  clients say at the same time. */
import { expect, test } from 'vitest'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import type { BootEvent } from '../../conductor/boot/wire.ts'
import { messageType } from '../../pxe/dhcp/options.ts'
import type { Packet } from '../../pxe/dhcp/packet.ts'
import { silentLog } from '../../kit/log.ts'
import { noLoaders } from './boot-clients.ts'
import { bench, mac, packet, request } from '../pxe/dhcp-bench.ts'

const IP = '10.0.0.10'

/** A DHCP server whose events go the way that they go in the boot services. */
function watched() {
  const dhcp = bench()
  const learned: (readonly [mac: string, ip: string])[] = []
  const emit = (event: BootEvent) => {
    if (event.kind === 'seen' && event.ip) learned.push([event.mac, event.ip])
  }
  const events = new BootEvents({ perSecond: 1_000, clock: dhcp.clock, log: silentLog, emit })
  const client = (address: string) => ({ mac: address, nodeUuid: `node of ${address}` }) as BootClient
  const observer = new Observer({
    events,
    counters: new BootCounters(),
    leases: dhcp.leases,
    client,
    loaders: noLoaders,
  })
  const ask = (message: Packet) => {
    const before = dhcp.events.length
    const reply = dhcp.ask(message)
    dhcp.events.slice(before).forEach((event) => observer.onDhcp(event))
    return reply && ([messageType(reply.packet.options), reply.packet.yiaddr] as const)
  }
  return { ...dhcp, ask, learned }
}
/** A client that remembers an address from before (RFC 2131, 4.3.2: INIT-REBOOT has no server identifier). */
const remembers = (n: number, ip: string) => request(n, ip, [])

test('an address that is offered to one client is not taken by the request of another', () => {
  const { ask, leases, learned } = watched()
  expect(ask(packet(1, 'discover'))).toEqual(['offer', IP])
  expect(ask(remembers(2, IP))?.[0]).toBe('nak')
  expect(leases.macOf(IP)).toBe(mac(1))
  expect(ask(request(1, IP))).toEqual(['ack', IP])
  expect(learned).toEqual([[mac(1), IP]])
})

test('of two clients that remember one address, the first has it; the other is told no and gets another one', () => {
  const { ask, leases, learned } = watched()
  expect(ask(remembers(1, IP))).toEqual(['ack', IP])
  expect(ask(remembers(2, IP))?.[0]).toBe('nak')
  expect(ask(packet(2, 'discover', [[50, Buffer.from([10, 0, 0, 10])]]))).toEqual(['offer', '10.0.0.11'])
  expect(ask(request(2, '10.0.0.11'))).toEqual(['ack', '10.0.0.11'])
  expect([leases.macOf(IP), leases.macOf('10.0.0.11')]).toEqual([mac(1), mac(2)])
  expect(learned).toEqual([
    [mac(1), IP],
    [mac(2), '10.0.0.11'],
  ])
})

test('a client that renews, informs or is refused with the address of another does not make it its own', () => {
  const { ask, leases, learned } = watched()
  ask(packet(1, 'discover'))
  ask(request(1, IP))
  expect(ask(packet(2, 'request', [], { ciaddr: IP }))?.[0]).toBe('nak')
  expect(ask(packet(2, 'inform', [], { ciaddr: IP }))?.[0]).toBe('ack')
  expect(ask(remembers(2, IP))?.[0]).toBe('nak')
  expect(leases.macOf(IP)).toBe(mac(1))
  expect(learned).toEqual([[mac(1), IP]])
})
