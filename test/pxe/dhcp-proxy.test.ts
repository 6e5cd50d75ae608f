/** proxyDHCP and listening: what is answered beside the DHCP server of the site, and what is learnt from what it is
 *  asked. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ipToBytes } from '../../pxe/addresses.ts'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import type { SubnetMode } from '../../pxe/dhcp/place.ts'
import { BIOS_LOADER, EFI_LOADER, GRUB_LOADER, SHIM_LOADER } from '../../pxe/firmware.ts'
import { bench, http, mac, option82, packet, pxe, script, SERVER, subnet } from './dhcp-bench.ts'

const SITE = '10.0.0.2'
const IP = '10.0.0.77'
const beside = (mode: SubnetMode) => bench({}, { subnets: [{ ...subnet, mode, first: undefined, last: undefined }] })
const UUID = Buffer.from([0, ...Array.from({ length: 16 }, (_, i) => i)])
const site: [number, Buffer] = [OPTION.serverId, ipToBytes(SITE)]
const asksFor = (n: number, ip: string, more: [number, Buffer][] = []) =>
  packet(n, 'request', [[OPTION.requestedIp, ipToBytes(ip)], site, ...more])

/** A reply as its header and its options, in their order. */
const told = (reply: { packet: Packet; toIp: string; toPort: number } | undefined) =>
  reply && {
    to: `${reply.toIp}:${reply.toPort}`,
    type: messageType(reply.packet.options),
    yiaddr: reply.packet.yiaddr,
    siaddr: reply.packet.siaddr,
    file: reply.packet.file,
    options: [...reply.packet.options].map(([code, value]) =>
      code === OPTION.vendorSpecific || code === OPTION.messageType || code === OPTION.serverId
        ? `${code} ${value.toString('hex')}`
        : `${code} ${value.toString('latin1').replace(/\0$/, '')}`,
    ),
  }
const offer = (file: string, options: string[]) => ({
  to: '255.255.255.255:68',
  type: 'offer',
  yiaddr: '0.0.0.0',
  siaddr: SERVER,
  file,
  options: ['53 02', '54 0a000001', ...options],
})

describe('an offer of the proxy', () => {
  test('to UEFI has no address, names its class, and leaves the file to port 4011', () => {
    const reply = beside('proxy').ask(packet(1, 'discover', [...pxe(7), [OPTION.clientUuid, UUID]]))
    expect(told(reply)).toEqual(
      offer(EFI_LOADER, ['60 PXEClient', `66 ${SERVER}`, `67 ${EFI_LOADER}`, `97 ${UUID.toString('latin1')}`]),
    )
  })
  test('to a BIOS says that its file is to be taken', () =>
    expect(told(beside('proxy').ask(packet(1, 'discover', pxe(0))))).toEqual(
      offer(BIOS_LOADER, ['60 PXEClient', `66 ${SERVER}`, `67 ${BIOS_LOADER}`, '43 060108ff']),
    ))
  test('to iPXE is the script of the node, to be taken', () => {
    const url = script(mac(1))
    const reply = beside('proxy').ask(packet(1, 'discover', [...pxe(7), [OPTION.userClass, Buffer.from('iPXE')]]))
    expect(told(reply)).toEqual(offer(url, ['60 PXEClient', `66 ${SERVER}`, `67 ${url}`, '43 060108ff']))
  })
  test('to UEFI HTTP boot is a URL in an answer of its class', () => {
    const url = `http://${SERVER}/loader/${EFI_LOADER}`
    expect(told(beside('proxy').ask(packet(1, 'discover', http(16))))).toEqual(
      offer(url, ['60 HTTPClient', `66 ${SERVER}`, `67 ${url}`]),
    )
  })
  test('through a relay goes to it, with its option 82 last', () => {
    const reply = beside('proxy').ask(
      packet(1, 'discover', [...pxe(7), option82({ 5: '10.0.0.0' })], { giaddr: '172.16.0.9' }),
    )
    expect([reply?.toIp, reply?.toPort, [...(reply?.packet.options ?? [])].at(-1)?.[0]]).toEqual([
      '172.16.0.9',
      67,
      OPTION.relayInfo,
    ])
  })
  test('is not made to what boots nothing, to strangers, or without a loader', () => {
    const { ask, events } = beside('proxy')
    expect([ask(packet(1, 'discover')), ask(packet(9, 'discover')), events]).toEqual([undefined, undefined, []])
    expect(ask(packet(9, 'discover', pxe(7)))).toBeUndefined()
    expect(events).toEqual([{ kind: 'unknown', mac: mac(9), netboot: true }])
    expect(ask(packet(1, 'discover', pxe(6)))).toBeUndefined()
    expect(events.at(-1)).toMatchObject({ kind: 'trouble', why: 'there is no boot file for x86 UEFI' })
  })
})

describe('the boot server on port 4011', () => {
  const from = { ip: IP, port: 4011 }
  const bootRequest = (n: number, options: [number, Buffer][] = pxe(7)) => packet(n, 'request', options, { ciaddr: IP })
  test('acknowledges a request to where it came from, without an address', () => {
    const reply = beside('proxy').ask(bootRequest(1), { from, isBootPort: true })
    expect([reply?.toIp, reply?.toPort, reply && messageType(reply.packet.options)]).toEqual([IP, 4011, 'ack'])
    expect([reply?.packet.yiaddr, reply?.packet.siaddr, reply?.packet.file]).toEqual(['0.0.0.0', SERVER, EFI_LOADER])
    expect(reply?.packet.options.get(OPTION.vendorClass)?.toString()).toBe('PXEClient')
  })
  test('writes to no address outside of the subnet, and to no stranger', () => {
    const { ask } = beside('proxy')
    expect(ask(bootRequest(1), { from: { ip: '192.0.2.1', port: 53 }, isBootPort: true })).toBeUndefined()
    expect(ask(bootRequest(9), { from, isBootPort: true })).toBeUndefined()
  })
  test('answers nothing where we give the addresses', () => {
    expect(bench().ask(bootRequest(1), { from, isBootPort: true })).toBeUndefined()
  })
})

describe.each(['proxy', 'listen'] as const)('beside another server (%s)', (mode) => {
  test('a request to it tells the address of the client, and is not answered', () => {
    const { ask, events, leases } = beside(mode)
    expect(ask(asksFor(1, IP, pxe(7)))).toBeUndefined()
    expect(events).toEqual([
      { kind: 'heard', mac: mac(1), architecture: 'x86_64', ip: IP, server: SITE, netboot: 'firmware' },
    ])
    expect(leases.macOf(IP)).toBe(mac(1))
  })
  test('an address is that of the client that took it last, and a client has one', () => {
    const { ask, leases, store } = beside(mode)
    ask(asksFor(1, IP))
    ask(asksFor(2, IP))
    ask(asksFor(2, '10.0.0.78'))
    expect([leases.macOf(IP), leases.macOf('10.0.0.78'), leases.leasesOf(mac(1))]).toEqual([undefined, mac(2), []])
    expect([...store.saved.keys()]).toEqual(['10.0.0.78'])
  })
  test('a renewal by unicast keeps it', () => {
    const { ask, leases } = beside(mode)
    ask(packet(1, 'request', [], { ciaddr: IP }))
    expect(leases.macOf(IP)).toBe(mac(1))
  })
  test('an address that is ours, of another network or of a stranger is not believed', () => {
    const { ask, leases } = beside(mode)
    for (const ip of [SERVER, '10.0.0.0', '10.0.0.255', '192.0.2.7']) ask(asksFor(1, ip))
    ask(asksFor(9, IP))
    expect([...leases.macs()]).toEqual([])
  })
  test('whatever is asked: no address is given, nothing is refused, and no more addresses are kept than there are clients', () => {
    const { ask, leases } = beside(mode)
    const types = fc.constantFrom('discover', 'request', 'decline', 'release', 'inform')
    const options = fc.constantFrom<[number, Buffer][]>([], pxe(0), pxe(7), http(16))
    fc.assert(
      fc.property(types, options, fc.nat(9), fc.ipV4(), fc.nat(255), fc.boolean(), (type, said, n, far, last, near) => {
        const ip = near ? `10.0.0.${last}` : far
        const about = packet(n, type as 'discover', [...said, [OPTION.requestedIp, ipToBytes(ip)], site])
        const reply = ask(about)
        if (reply) expect([messageType(reply.packet.options), reply.packet.yiaddr]).toEqual(['offer', '0.0.0.0'])
        if (mode === 'listen') expect(reply).toBeUndefined()
        expect([...leases.macs()].length).toBeLessThanOrEqual(4)
      }),
      { numRuns: 1000 },
    )
  })
})

test('a client with Secure Boot gets shim, and a warning that names what the site must set', () => {
  const subnets = [{ ...subnet, mode: 'proxy' as const }]
  const { ask, events } = bench({}, { subnets, signed: true, loaders: [EFI_LOADER, SHIM_LOADER, GRUB_LOADER] })
  expect(ask(packet(1, 'discover', pxe(7)))?.packet.file).toBe(SHIM_LOADER)
  expect(events).toContainEqual({
    kind: 'trouble',
    mac: mac(1),
    why: `GRUB asks the DHCP server of the site for its files: next-server must be ${SERVER} there for Secure Boot`,
  })
})

test('a listener says nothing to anybody', () => {
  const { ask } = beside('listen')
  for (const options of [pxe(0), pxe(7), http(16)]) {
    expect(ask(packet(1, 'discover', options))).toBeUndefined()
    const boot = packet(1, 'request', options, { ciaddr: IP })
    expect(ask(boot, { from: { ip: IP, port: 4011 }, isBootPort: true })).toBeUndefined()
  }
})

test('firmware prefers our offer where that is wanted: the class of PXE servers and "take this file" (EDK2 ranks by them)', () => {
  const preferred = bench({}, { subnets: [{ ...subnet, firstChoice: true }] })
  const of = (options: [number, Buffer][]) => {
    const reply = preferred.ask(packet(1, 'discover', options))
    return [OPTION.vendorClass, OPTION.vendorSpecific].map((code) =>
      reply?.packet.options.get(code)?.toString('latin1'),
    )
  }
  expect(of(pxe(7))).toEqual(['PXEClient', '\x06\x01\x08\xff'])
  expect(of(http(16))).toEqual(['HTTPClient', undefined])
  expect(of([...pxe(7), [OPTION.userClass, Buffer.from('iPXE')]])).toEqual([undefined, undefined])
  expect(of([])).toEqual([undefined, undefined])
  const plain = bench().ask(packet(1, 'discover', pxe(7)))
  expect(plain?.packet.options.has(OPTION.vendorClass)).toBe(false)
})

test('a proxy offer survives encoding: what EDK2 reads is what was meant', () => {
  const reply = beside('proxy').ask(packet(1, 'discover', pxe(7)))
  expect(decodePacket(encodePacket(reply!.packet))).toEqual(reply?.packet)
})
