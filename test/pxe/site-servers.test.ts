/** Beside the real DHCP servers of a site, and behind a real relay, in network namespaces: Kea, ISC dhcpd and dnsmasq
 *  take our configuration for them, what they answer with it boots from here, and doctor sees both; beside them without
 *  it the proxy names the boot files; ISC dhcrelay writes the switch port. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { namedBySite, wantedOfSite } from '../../conductor/doctor/site-boot.ts'
import { foreignOffers } from '../../conductor/doctor/rogue.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { run } from '../../kit/run.ts'
import { ipToBytes } from '../../pxe/addresses.ts'
import { messageType, OPTION } from '../../pxe/dhcp/options.ts'
import type { DhcpSubnet } from '../../pxe/dhcp/place.ts'
import { EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { snippet, type SiteServer, type SnippetParts } from '../../pxe/snippets.ts'
import { listening, type Site } from './site.ts'
import { mac, packet, pxe, serverIdOf } from './dhcp-bench.ts'
import type { Reply, Wire } from './wire.ts'

const BROADCAST = { ip: '255.255.255.255', port: 67 }

let dir = ''
let open: Site[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-site-'))
})
afterEach(async () => {
  for (const site of open.splice(0)) await site.close()
  await rm(dir, { recursive: true })
})

async function site(isRouted: boolean, subnets: (wire: Wire) => readonly DhcpSubnet[]): Promise<Site> {
  const made = await listening({ isRouted, subnets })
  open = [...open, made]
  return made
}
const beside = (mode: 'proxy' | 'listen') =>
  site(false, (one) => [{ cidr: one.cidr(0), serverIp: one.at(0, 1), dns: [], leaseSeconds: 600, mode }])

const partsOf = (wire: Wire): SnippetParts => ({
  tftp: wire.at(0, 1),
  http: `http://${wire.at(0, 1)}:8088`,
  loaders: new Set(LOADERS),
  networks: [],
})

const PATH = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'

interface Peer {
  /** Configuration that gives addresses, and what it is to add. */
  readonly conf: (wire: Wire, snippet: string) => string
  readonly check: (file: string) => readonly string[]
  readonly start: (wire: Wire, file: string) => readonly string[]
}

const PEERS: Readonly<Record<Exclude<SiteServer, 'windows'>, Peer>> = {
  kea: {
    conf: (wire, own) => {
      const { Dhcp4 = {} } = own === '' ? {} : (JSON.parse(own.replace(/^\/\/.*\n/, '')) as { Dhcp4: object })
      return JSON.stringify({
        Dhcp4: {
          'interfaces-config': { interfaces: ['br0'] },
          'lease-database': { type: 'memfile', persist: false },
          'valid-lifetime': 3600,
          subnet4: [{ subnet: wire.cidr(0), pools: [{ pool: `${wire.at(0, 100)} - ${wire.at(0, 150)}` }] }],
          ...Dhcp4,
        },
      })
    },
    check: (file) => ['env', `KEA_LOCKFILE_DIR=none`, 'kea-dhcp4', '-t', file],
    start: (_, file) => ['env', 'KEA_LOCKFILE_DIR=none', `KEA_PIDFILE_DIR=${dir}`, 'kea-dhcp4', '-c', file],
  },
  isc: {
    conf: (wire, own) => `authoritative;
ping-check false;
default-lease-time 3600;
${own}
subnet ${wire.at(0, 0)} netmask 255.255.255.0 { range ${wire.at(0, 100)} ${wire.at(0, 150)}; }
`,
    check: (file) => ['dhcpd', '-4', '-t', '-cf', file],
    // A variable that vitest sets ends it.
    start: (_, file) => [
      'sh',
      '-c',
      `: > ${dir}/leases; exec env -i ${PATH} dhcpd -4 -f -q --no-pid -cf ${file} -lf ${dir}/leases br0`,
    ],
  },
  dnsmasq: {
    conf: (wire, own) => `${own}
dhcp-range=${wire.at(0, 100)},${wire.at(0, 150)},255.255.255.0,1h
dhcp-authoritative
`,
    check: (file) => ['dnsmasq', '--test', `--conf-file=${file}`],
    start: (_, file) => [
      'dnsmasq',
      '--no-daemon',
      `--conf-file=${file}`,
      '--port=0',
      '--user=root',
      '--leasefile-ro',
      '--no-ping',
    ],
  },
}
const NAMES = ['kea', 'isc', 'dnsmasq'] as const

async function started(name: keyof typeof PEERS, wire: Wire, own: string): Promise<void> {
  const file = join(dir, `${name}.conf`)
  await writeFile(file, PEERS[name].conf(wire, own))
  const { code, stdout, stderr } = await run(['ip', 'netns', 'exec', wire.site, ...PEERS[name].check(file)], {
    timeoutMs: 20_000,
  })
  expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, ''])
  wire.inSite(PEERS[name].start(wire, file))
}

let xid = 5000
const message = (type: 'discover' | 'request', options: [number, Buffer][], more = {}) =>
  packet(1, type, [...pxe(7), ...options], { xid: (xid += 1), flags: 0x8000, ...more })
const is = (type: string) => (reply: Reply) => messageType(reply.packet.options) === type

describe.each(NAMES)('%s', (name) => {
  /** Until it is up. */
  const offered = (wire: Wire) =>
    until(
      async () => {
        const at = { interface: wire.own, own: [wire.at(0, 1)], waitMs: 2_000 }
        const offers = await foreignOffers(at, { clock: systemClock, random: systemRandom })
        return offers.length > 0 ? offers : undefined
      },
      { what: `an offer of ${name}`, timeoutMs: 30_000, everyMs: 100 },
    )

  test('takes our configuration, and boots every kind of firmware from here with it, as doctor finds', async () => {
    const { wire, events } = await beside('listen')
    const parts = partsOf(wire)
    await started(name, wire, snippet(name, parts))
    const offers = await offered(wire)
    expect(offers.map(({ server, isBareBootServer }) => [server, isBareBootServer])).toEqual([[wire.at(0, 2), false]])
    const findings = wantedOfSite(parts, offers)
    expect(findings.map(({ level, says }) => `${level} ${says}`)).toEqual([
      `ok ${wire.at(0, 2)} boots BIOS from here (undionly.kpxe)`,
      `ok ${wire.at(0, 2)} boots UEFI from here (snponly.efi)`,
      `ok ${wire.at(0, 2)} boots UEFI HTTP boot from here (${parts.http}/loader/snponly.efi)`,
      `ok ${wire.at(0, 2)} boots iPXE from here (${parts.http}/boot/\${netX/mac:hexhyp}/script.ipxe)`,
    ])
    expect(events.every(({ kind }) => kind === 'unknown' || kind === 'heard')).toBe(true)
  })

  test('gives the address, and the proxy beside it the boot file; doctor says that it names none itself', async () => {
    const { wire, events, leases } = await beside('proxy')
    await started(name, wire, '')
    const offers = await offered(wire)
    expect(namedBySite(offers)).toEqual([])
    expect(wantedOfSite(partsOf(wire), offers).map(({ level }) => level)).toEqual(['bad', 'bad', 'bad', 'bad'])

    const client = wire.talker(68)
    const both = await client.ask(message('discover', []), BROADCAST, (replies) =>
      [1, 2].every((host) => replies.some((one) => serverIdOf(one.packet) === wire.at(0, host))),
    )
    const [ours, theirs] = [1, 2].map((host) => both.find((one) => serverIdOf(one.packet) === wire.at(0, host))?.packet)
    expect([ours?.yiaddr, ours?.file, theirs?.file]).toEqual(['0.0.0.0', EFI_LOADER, ''])
    const taken = theirs?.yiaddr ?? ''
    const chosen: [number, Buffer][] = [
      [OPTION.requestedIp, ipToBytes(taken)],
      [OPTION.serverId, ipToBytes(wire.at(0, 2))],
    ]
    const answers = await client.ask(message('request', chosen), BROADCAST, (replies) => replies.some(is('ack')))
    expect([...new Set(answers.map((one) => serverIdOf(one.packet)))]).toEqual([wire.at(0, 2)])
    expect(events).toContainEqual({
      kind: 'heard',
      mac: mac(1),
      architecture: 'x86_64',
      ip: taken,
      server: wire.at(0, 2),
      netboot: 'firmware',
    })
    expect(leases.macOf(taken)).toBe(mac(1))

    await wire.address(`${taken}/24`, wire.at(0, 2))
    const boot = message('request', [], { ciaddr: taken, flags: 0 })
    const [ack] = await wire.talker(4011).ask(boot, { ip: wire.at(0, 1), port: 4011 }, (all) => all.some(is('ack')))
    expect([ack?.packet.yiaddr, ack?.packet.siaddr, ack?.packet.file]).toEqual(['0.0.0.0', wire.at(0, 1), EFI_LOADER])
  })
})

test('ISC dhcrelay: the subnet behind it, option 82 there and back, the switch port, and a renewal by unicast', async () => {
  const { wire, events, leases } = await site(true, (one) => [
    {
      cidr: one.cidr(0),
      serverIp: one.at(0, 1),
      first: one.at(0, 100),
      last: one.at(0, 150),
      dns: [],
      leaseSeconds: 600,
    },
    {
      cidr: one.cidr(1),
      serverIp: one.at(0, 1),
      first: one.at(1, 100),
      last: one.at(1, 150),
      router: one.at(1, 1),
      dns: [],
      leaseSeconds: 600,
      relays: [one.at(1, 1)],
    },
  ])
  wire.inSite(['dhcrelay', '-4', '-d', '--no-pid', '-a', '-id', 'rack', '-iu', 'uplink', wire.at(0, 1)])
  const client = wire.talker(68)
  const offers = await client.ask(message('discover', []), BROADCAST, (replies) => replies.some(is('offer')))
  expect(offers[0]?.packet).toMatchObject({ yiaddr: wire.at(1, 100), giaddr: wire.at(1, 1), file: EFI_LOADER })
  // The relay takes its own option out again, which it does for the one alone that it wrote.
  expect(offers[0]?.packet.options.has(OPTION.relayInfo)).toBe(false)
  const chosen: [number, Buffer][] = [
    [OPTION.requestedIp, ipToBytes(wire.at(1, 100))],
    [OPTION.serverId, ipToBytes(wire.at(0, 1))],
  ]
  await client.ask(message('request', chosen), BROADCAST, (replies) => replies.some(is('ack')))
  expect(events).toContainEqual(
    expect.objectContaining({
      kind: 'reply',
      type: 'ack',
      ip: wire.at(1, 100),
      switchPort: { relay: wire.at(1, 1), circuitId: 'rack' },
    }),
  )

  await wire.address(`${wire.at(1, 100)}/24`, wire.at(1, 1))
  const renewal = message('request', [], { ciaddr: wire.at(1, 100), flags: 0 })
  const renewed = await client.ask(renewal, { ip: wire.at(0, 1), port: 67 }, (replies) => replies.length > 0)
  expect(renewed.map(({ packet: one }) => [messageType(one.options), one.yiaddr])).toEqual([['ack', wire.at(1, 100)]])
  expect(leases.leasesOf(mac(1)).map(({ ip }) => ip)).toEqual([wire.at(1, 100)])
})
