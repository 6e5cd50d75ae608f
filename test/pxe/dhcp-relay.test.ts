/** Relayed clients: which subnet, which server identifier, and whose address it stays. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { switchPortOf } from '../../pxe/dhcp/relay.ts'
import { ipOption, messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { SERVER, bench, mac, packet, option82, serverIdOf, request } from './dhcp-bench.ts'

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
    expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr, ack?.toIp, ack?.toPort]).toEqual([
      'ack',
      '10.50.0.100',
      '10.50.0.100',
      68,
    ])
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
    expect([offer?.packet.yiaddr, offer?.packet.ciaddr, offer?.toIp]).toEqual([
      '10.0.0.10',
      '0.0.0.0',
      '255.255.255.255',
    ])
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
    expect(events).toEqual([
      { kind: 'refused', mac: mac(1), why: 'no subnet is configured for link selection 10.60.0.0 of relay 10.9.0.1' },
    ])
  })
  test('counts through a relay alone', () => {
    expect(bench().ask(packet(1, 'discover', [linked]))?.packet.yiaddr).toBe('10.0.0.10')
  })
  test('a sub-option that is cut short is survived', () => {
    const offer = bench().ask(
      packet(1, 'discover', [[OPTION.relayInfo, Buffer.from([1, 1, 7, 5, 4, 10, 50])]], { giaddr: '10.9.0.1' }),
    )
    expect(offer?.packet.yiaddr).toBe('10.9.0.10')
  })
})

describe('subnet selection (RFC 3011)', () => {
  const selected: [number, Buffer] = [OPTION.subnetSelection, ipToBytes('10.50.0.0')]
  test('gives the subnet and comes back in the reply', () => {
    const offer = bench().ask(packet(1, 'discover', [selected], { giaddr: '10.9.0.1' }))
    expect([offer?.packet.yiaddr, offer && ipOption(offer.packet.options, OPTION.subnetSelection)]).toEqual([
      '10.50.0.100',
      '10.50.0.0',
    ])
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
  const ack = ask({
    ...request(1, '10.50.0.100', [[OPTION.serverId, ipToBytes('10.50.0.1')], relay]),
    giaddr: '172.16.0.9',
  })
  expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr, serverIdOf(ack?.packet)]).toEqual([
    'ack',
    '10.50.0.100',
    '10.50.0.1',
  ])
  // The renewal goes to the relay, which passes it on.
  const renewed = ask(packet(1, 'request', [relay], { giaddr: '172.16.0.9', ciaddr: '10.50.0.100' }))
  expect([renewed && messageType(renewed.packet.options), renewed?.toIp]).toEqual(['ack', '172.16.0.9'])
})

test('through a relay: its subnet, its option 82 back as the last option, port 67', () => {
  const { ask } = bench()
  const circuit = Buffer.from([1, 2, 7, 7])
  const offer = ask(packet(1, 'discover', [[OPTION.relayInfo, circuit]], { giaddr: '10.9.0.1' }))
  expect([offer?.packet.yiaddr, offer?.toIp, offer?.toPort]).toEqual(['10.9.0.10', '10.9.0.1', 67])
  expect([...(offer?.packet.options ?? [])].at(-1)?.[0]).toBe(OPTION.relayInfo)
  expect(offer?.packet.options.get(OPTION.relayInfo)).toEqual(circuit)
})

describe('switch and port (RFC 3046)', () => {
  const identified = (circuit: Buffer | string, remote?: Buffer | string): [number, Buffer] => {
    const part = (code: number, value: Buffer | string) => Buffer.from([code, value.length, ...Buffer.from(value)])
    return [OPTION.relayInfo, Buffer.concat([part(1, circuit), ...(remote === undefined ? [] : [part(2, remote)])])]
  }
  const seen = (option: [number, Buffer], giaddr = '10.9.0.1') => {
    const { ask, events } = bench()
    ask(packet(1, 'discover', [option], { giaddr }))
    return events.flatMap((event) => (event.kind === 'reply' ? [event.switchPort] : []))[0]
  }
  test.each<[string, Buffer | string, string]>([
    ['text as it is', 'Eth1/7', 'Eth1/7'],
    ['text with a NUL at its end, without it', 'ge-0/0/1.0:v100\0', 'ge-0/0/1.0:v100'],
    ['bytes in hexadecimal', Buffer.from([0, 4, 0, 10, 1, 7]), '0x0004000a0107'],
    ['a line break in hexadecimal', 'a\nb', '0x610a62'],
    ['an escape sequence in hexadecimal', '\x1b[2J', '0x1b5b324a'],
    ['text that looks like hexadecimal in hexadecimal', '0x41', '0x30783431'],
    ['blanks alone in hexadecimal', '  ', '0x2020'],
  ])('%s', (_, circuit, text) => {
    expect(seen(identified(circuit, 'leaf3'))).toEqual({ relay: '10.9.0.1', circuitId: text, remoteId: 'leaf3' })
  })
  test('of a switch that is no relay: without the address of one', () =>
    expect(seen(identified('Eth1/7'), '0.0.0.0')).toEqual({ circuitId: 'Eth1/7' }))
  test('of a card that nobody knows is told with it', () => {
    const { ask, events } = bench()
    ask(packet(9, 'discover', [identified('Eth1/9', 'leaf3')], { giaddr: '10.9.0.1' }))
    const switchPort = { relay: '10.9.0.1', circuitId: 'Eth1/9', remoteId: 'leaf3' }
    expect(events).toEqual([{ kind: 'unknown', mac: mac(9), switchPort }])
  })
  test('empty or missing identifiers are none', () => {
    expect(seen(identified(''))).toBeUndefined()
    expect(seen(option82({ 5: '10.9.0.0' }))).toBeUndefined()
  })
  test('of any bytes are bounded text of one line, and the option comes back as it came', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 600 }), (bytes) => {
        const option: [number, Buffer] = [OPTION.relayInfo, Buffer.from(bytes)]
        const about = packet(1, 'discover', [option], { giaddr: '10.9.0.1' })
        for (const text of Object.values(switchPortOf(about) ?? {})) {
          expect(text).toMatch(/^[!-~]([ -~]*[!-~])?$/)
          expect(text.length).toBeLessThanOrEqual(2 + 2 * 255)
        }
        // Random bytes may select another link or server; what is answered carries them unchanged.
        const offer = bench().ask(about)
        if (offer) expect(offer.packet.options.get(OPTION.relayInfo)).toEqual(Buffer.from(bytes))
      }),
      { numRuns: 500 },
    )
  })
  test('of every truncation are read without a fault', () => {
    const whole = identified('Eth1/7', 'leaf3')[1]
    for (let length = 1; length <= whole.length; length += 1)
      expect(() =>
        switchPortOf(packet(1, 'discover', [[OPTION.relayInfo, whole.subarray(0, length)]], { giaddr: '10.9.0.1' })),
      ).not.toThrow()
  })
})

test('one node with ports in several subnets has an address in each, and each is acknowledged there alone', () => {
  const { ask, leases } = bench()
  const ports = [
    [1, '10.9.0.1', '10.9.0.10'],
    [2, '10.50.0.1', '10.50.0.100'],
    [1, '10.50.0.1', '10.50.0.101'],
  ] as const
  for (const [n, giaddr, ip] of ports) {
    expect(ask(packet(n, 'discover', [], { giaddr }))?.packet.yiaddr).toBe(ip)
    const ack = ask({ ...request(n, ip), giaddr })
    expect([ack && messageType(ack.packet.options), ack?.packet.yiaddr, ack?.toIp]).toEqual(['ack', ip, giaddr])
  }
  // An address of another subnet of the same card is no address here.
  const nak = ask({ ...request(1, '10.50.0.101'), giaddr: '10.9.0.1' })
  expect(nak && messageType(nak.packet.options)).toBe('nak')
  expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual(['10.9.0.10', '10.50.0.101'])
})
