/** Declines, fixed addresses, and the socket: what clients and mistakes cannot do. */
import { createSocket } from 'node:dgram'
import { describe, expect, test } from 'vitest'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { until } from '../../kit/clock.ts'
import { SERVER, bench, mac, packet, request } from './dhcp-bench.ts'

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
    expect(
      events.filter((event) => event.kind === 'trouble' && event.why.includes('in use by another host')),
    ).toHaveLength(3)
    expect(events).toContainEqual({
      kind: 'trouble',
      mac: mac(1),
      why: `the client declines one address after the other; it keeps ${kept}`,
    })
    expect(events).toContainEqual({ kind: 'limit', limit: 'declinesPerMac' })
    expect(ask(packet(2, 'discover'))?.packet.yiaddr).toMatch(/^10\.0\.0\.1[0-2]$/)
    clock.ms += 10 * 60_000
    ask(decline(1, kept as string))
    expect(ask(packet(1, 'discover'))?.packet.yiaddr).not.toBe(kept)
  })
  test('a declined address is used again before the pool counts as used up', () => {
    const { ask, events, clock } = bench()
    ask(packet(1, 'discover'))
    ask(decline(1, '10.0.0.10'))
    expect([1, 2, 3].map((n) => ask(packet(n, 'discover'))?.packet.yiaddr)).toEqual([
      '10.0.0.11',
      '10.0.0.12',
      '10.0.0.10',
    ])
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
    expect(events.at(-1)).toMatchObject({
      kind: 'refused',
      mac: mac(2),
      why: expect.stringContaining(`is leased to ${mac(1)}`) as string,
    })
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

describe('the socket', () => {
  const port = async () => {
    const probe = createSocket('udp4')
    await new Promise<void>((resolve) => probe.bind(0, '127.0.0.1', resolve))
    const found = probe.address().port
    await new Promise<void>((resolve) => probe.close(() => resolve()))
    return found
  }
  async function listening(
    after: (of: ReturnType<typeof bench>, send: (about: Packet) => void) => Promise<void>,
  ): Promise<void> {
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
      await until(() => events.length > 0, { what: 'the event', timeoutMs: 20_000 })
      expect(events).toEqual([{ kind: 'fault', from: '127.0.0.1', why: 'Error: a bug' }])
      owner.client = client
      send(packet(9, 'discover'))
      await until(() => events.length > 1, { what: 'the next packet', timeoutMs: 20_000 })
      expect(events[1]).toEqual({ kind: 'unknown', mac: mac(9) })
    }))
})
