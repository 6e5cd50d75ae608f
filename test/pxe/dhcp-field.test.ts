/** DHCP over real links, in network namespaces: through a relay (dnsmasq) with a renewal by unicast; beside the DHCP
 *  server of a site (dnsmasq), which names no boot files, or those that our configuration for it names. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ipToBytes } from '../../pxe/addresses.ts'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import type { Packet } from '../../pxe/dhcp/packet.ts'
import type { DhcpSubnet } from '../../pxe/dhcp/place.ts'
import { BIOS_LOADER, EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { snippet } from '../../pxe/snippets.ts'
import { http as webClient, mac, packet, pxe, serverIdOf } from './dhcp-bench.ts'
import { listening, type Site } from './site.ts'
import type { Reply, Wire } from './wire.ts'

const BROADCAST = { ip: '255.255.255.255', port: 67 }

let opened: Site | undefined
let dir: string | undefined
afterEach(async () => {
  await opened?.close()
  opened = undefined
  if (dir !== undefined) await rm(dir, { recursive: true })
  dir = undefined
})

async function site(isRouted: boolean, subnets: (wire: Wire) => readonly DhcpSubnet[]): Promise<Site> {
  opened = await listening({ isRouted, subnets })
  return opened
}

const subnetOf = (cidr: string, serverIp: string, more: Partial<DhcpSubnet>): DhcpSubnet => ({
  cidr,
  serverIp,
  dns: [],
  leaseSeconds: 600,
  ...more,
})
let xid = 1000
const message = (type: 'discover' | 'request', options: [number, Buffer][], more: Partial<Packet> = {}) =>
  packet(1, type, [...pxe(7), ...options], { xid: (xid += 1), flags: 0x8000, ...more })
const is = (type: string) => (reply: Reply) => messageType(reply.packet.options) === type
const some = (type: string) => (replies: readonly Reply[]) => replies.some(is(type))

test('through a relay: an address of the subnet behind it, which a renewal by unicast keeps', async () => {
  const { wire: at, leases } = await site(true, (one) => [
    subnetOf(one.cidr(0), one.at(0, 1), { first: one.at(0, 100), last: one.at(0, 150) }),
    subnetOf(one.cidr(1), one.at(0, 1), { first: one.at(1, 100), last: one.at(1, 150), router: one.at(1, 1) }),
  ])
  at.dnsmasq('/dev/null', `--dhcp-relay=${at.at(1, 1)},${at.at(0, 1)}`)
  const client = at.talker(68)
  const offers = await client.ask(message('discover', []), BROADCAST, some('offer'))
  expect(offers[0]?.packet).toMatchObject({ yiaddr: at.at(1, 100), giaddr: at.at(1, 1), file: EFI_LOADER })

  const serverId: [number, Buffer] = [OPTION.serverId, ipToBytes(at.at(0, 1))]
  const wanted: [number, Buffer] = [OPTION.requestedIp, ipToBytes(at.at(1, 100))]
  const acks = await client.ask(message('request', [wanted, serverId]), BROADCAST, some('ack'))
  expect(acks.find(is('ack'))?.packet.yiaddr).toBe(at.at(1, 100))

  await at.address(`${at.at(1, 100)}/24`, at.at(1, 1))
  const renewal = message('request', [], { ciaddr: at.at(1, 100), flags: 0 })
  const renewed = await client.ask(renewal, { ip: at.at(0, 1), port: 67 }, (replies) => replies.length > 0)
  expect(renewed.map(({ from, packet: one }) => [from, messageType(one.options), one.yiaddr])).toEqual([
    [at.at(0, 1), 'ack', at.at(1, 100)],
  ])
  expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual([at.at(1, 100)])
})

test('beside dnsmasq: the address is from there, the boot file from us, by port 4011 as EDK2 asks for it', async () => {
  const {
    wire: at,
    events,
    leases,
  } = await site(false, (one) => [subnetOf(one.cidr(0), one.at(0, 1), { mode: 'proxy' })])
  at.dnsmasq('/dev/null', `--dhcp-range=${at.at(0, 100)},${at.at(0, 150)},255.255.255.0,1h`, '--dhcp-authoritative')
  const client = at.talker(68)
  const offers = await client.ask(message('discover', []), BROADCAST, (replies) =>
    [at.at(0, 1), at.at(0, 2)].every((ip) => replies.some((one) => serverIdOf(one.packet) === ip)),
  )
  const ours = offers.find((one) => serverIdOf(one.packet) === at.at(0, 1))?.packet
  const theirs = offers.find((one) => serverIdOf(one.packet) === at.at(0, 2))?.packet
  expect([ours?.yiaddr, ours?.file, theirs?.file]).toEqual(['0.0.0.0', EFI_LOADER, ''])
  const taken = theirs?.yiaddr ?? ''
  expect(taken).not.toBe('0.0.0.0')

  const serverId: [number, Buffer] = [OPTION.serverId, ipToBytes(at.at(0, 2))]
  const request = message('request', [[OPTION.requestedIp, ipToBytes(taken)], serverId])
  const answers = await client.ask(request, BROADCAST, some('ack'))
  // Nothing from us: neither an acknowledgement nor a refusal.
  expect([...new Set(answers.map((one) => serverIdOf(one.packet)))]).toEqual([at.at(0, 2)])
  expect(events).toContainEqual({
    kind: 'heard',
    mac: mac(1),
    architecture: 'x86_64',
    ip: taken,
    server: at.at(0, 2),
    netboot: 'firmware',
  })
  expect(leases.macOf(taken)).toBe(mac(1))

  await at.address(`${taken}/24`, at.at(0, 2))
  const boot = message('request', [], { ciaddr: taken, flags: 0 })
  const [ack] = await at.talker(4011).ask(boot, { ip: at.at(0, 1), port: 4011 }, some('ack'))
  expect([ack?.from, ack?.packet.yiaddr, ack?.packet.siaddr, ack?.packet.file]).toEqual([
    at.at(0, 1),
    '0.0.0.0',
    at.at(0, 1),
    EFI_LOADER,
  ])
})

test('a dnsmasq with our snippet boots servers from us: loader, URL or script by what asks; we listen, and say nothing', async () => {
  const {
    wire: at,
    events,
    leases,
  } = await site(false, (one) => [subnetOf(one.cidr(0), one.at(0, 1), { mode: 'listen' })])
  const http = `http://${at.at(0, 1)}:8088`
  dir = await mkdtemp(join(tmpdir(), 'rackward-snippet-'))
  const conf = join(dir, 'rackward.conf')
  const parts = { tftp: at.at(0, 1), http, loaders: new Set(LOADERS), networks: [] }
  await writeFile(conf, snippet('dnsmasq', parts))
  at.dnsmasq(conf, `--dhcp-range=${at.at(0, 100)},${at.at(0, 150)},255.255.255.0,1h`, '--dhcp-authoritative')
  const client = at.talker(68)
  const offered = async (options: [number, Buffer][]) => {
    const about = packet(1, 'discover', [[OPTION.parameterList, Buffer.from([66, 67])], ...options], {
      xid: (xid += 1),
      flags: 0x8000,
    })
    const [offer] = await client.ask(about, BROADCAST, some('offer'))
    const { packet: one, from } = offer!
    expect([from, serverIdOf(one)]).toEqual([at.at(0, 2), at.at(0, 2)])
    const file = one.file || one.options.get(OPTION.bootFile)?.toString('latin1').replace(/\0$/, '')
    return [one.siaddr, file, one.options.get(OPTION.vendorClass)?.toString()]
  }
  expect(await offered(pxe(0))).toEqual([at.at(0, 1), BIOS_LOADER, undefined])
  expect(await offered(pxe(7))).toEqual([at.at(0, 1), EFI_LOADER, undefined])
  expect((await offered(webClient(16))).slice(1)).toEqual([`${http}/loader/${EFI_LOADER}`, 'HTTPClient'])
  const ipxe = await offered([
    ...pxe(7),
    [OPTION.ipxe, Buffer.from([1, 1, 1])],
    [OPTION.userClass, Buffer.from('iPXE')],
  ])
  expect(ipxe[1]).toBe(`${http}/boot/\${netX/mac:hexhyp}/script.ipxe`)

  const serverId: [number, Buffer] = [OPTION.serverId, ipToBytes(at.at(0, 2))]
  const request = message('request', [[OPTION.requestedIp, ipToBytes(at.at(0, 120))], serverId])
  const answers = await client.ask(request, BROADCAST, (replies) => replies.length > 0)
  expect(answers.every((one) => serverIdOf(one.packet) === at.at(0, 2))).toBe(true)
  expect(leases.macOf(at.at(0, 120))).toBe(mac(1))
  expect(events.every(({ kind }) => kind === 'heard')).toBe(true)
})
