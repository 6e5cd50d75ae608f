/** Strangers on the provisioning wire, against real boot services in a network namespace: a datagram that ends the
 *  process, and floods. What must hold: an honest server boots meanwhile, and neither journal nor log nor memory grows
 *  without end. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { Victim } from './victim.ts'

const MIB = 1024 * 1024
const SERVER = `rw-wire-s${process.pid}`
const WIRE = `rw-wire-a${process.pid}`
/** The API is reached from here over a link of its own. */
const API_LINK = `rwapi${process.pid}`.slice(0, 15)
const API = `198.18.${process.pid % 250}`
const MAC = '02:00:00:00:00:01'
const FIXED = '10.99.0.50'
const ATTACKER = '10.99.0.66'
const FLOOD_SECONDS = '2'

const ip = (...argv: string[]) => runOk(['ip', ...argv], { timeoutMs: 10_000 })
const attack = (mode: string, target: string, last: string) =>
  runOk(
    [
      'ip',
      'netns',
      'exec',
      WIRE,
      process.execPath,
      join(ROOT, 'dist/test/security/wire-attacker.js'),
      mode,
      target,
      last,
    ],
    { timeoutMs: 120_000 },
  )
/** A server that boots while the attack runs. */
const honestBoot = async () =>
  JSON.parse(await attack('boot', MAC, FIXED)) as { ip: string; loaderBytes: number; script: number }

let victim: Victim | undefined
let bootPid = 0

beforeAll(async () => {
  await ip('netns', 'add', SERVER)
  await ip('netns', 'add', WIRE)
  await ip('-n', SERVER, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', WIRE)
  await ip('link', 'add', API_LINK, 'type', 'veth', 'peer', 'name', 'api', 'netns', SERVER)
  await ip('addr', 'add', `${API}.2/24`, 'dev', API_LINK)
  await ip('-n', SERVER, 'addr', 'add', `${API}.1/24`, 'dev', 'api')
  await ip('-n', SERVER, 'addr', 'add', '10.99.0.1/24', 'brd', '+', 'dev', 'wire')
  for (const address of [FIXED, ATTACKER])
    await ip('-n', WIRE, 'addr', 'add', `${address}/24`, 'brd', '+', 'dev', 'wire')
  await ip('link', 'set', API_LINK, 'up')
  for (const [namespace, link] of [
    [SERVER, 'api'],
    [SERVER, 'wire'],
    [SERVER, 'lo'],
    [WIRE, 'wire'],
  ] as const)
    await ip('-n', namespace, 'link', 'set', link, 'up')
  victim = await Victim.start({
    namespace: SERVER,
    address: `${API}.1`,
    config: {
      agent: { address: '10.99.0.1', port: 6386 },
      boot: {
        interfaces: [{ name: 'wire', address: '10.99.0.1' }],
        http: { address: '10.99.0.1', port: 8088 },
        tftp: '10.99.0.1',
        subnets: [{ cidr: '10.99.0.0/24', first: '10.99.0.100', last: '10.99.0.199', serverIp: '10.99.0.1' }],
        kernel: '/etc/hostname',
        initrd: '/etc/hostname',
      },
    },
  })
  const node = await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })
  const port = await victim.call('POST', '/v1/ports', {
    node_uuid: (node.body as { uuid: string }).uuid,
    address: MAC,
    extra: { ipv4_address: FIXED },
  })
  expect(port.status).toBe(201)
  bootPid = await bootProcess()
}, 60_000)

afterAll(async () => {
  await victim?.end()
  for (const namespace of [WIRE, SERVER]) {
    const pids = (await run(['ip', 'netns', 'pids', namespace], { timeoutMs: 10_000 })).stdout
      .split('\n')
      .filter(Boolean)
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
    await run(['ip', 'netns', 'delete', namespace], { timeoutMs: 10_000 })
  }
  await run(['ip', 'link', 'delete', API_LINK], { timeoutMs: 10_000 })
  await victim?.remove()
})

async function bootProcess(): Promise<number> {
  const pids = (await ip('netns', 'pids', SERVER)).split('\n').filter(Boolean)
  const lines = await Promise.all(
    pids.map(async (pid) => ({ pid, line: await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') })),
  )
  const found = lines.filter(({ line }) => line.split('\0').includes('boot'))
  expect(found).toHaveLength(1)
  return Number(found[0]?.pid)
}

async function bootRssBytes(): Promise<number> {
  const status = await readFile(`/proc/${bootPid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
}

/** Rows of the journal, and how many events they stand for in all by their own words. */
function journal(): { rows: number; text: string } {
  const db = new Database(join(victim?.dir ?? '', 'data', 'rackward.db'), { readonly: true })
  const rows = db.prepare<[], { detail: string }>('SELECT detail FROM events').all()
  db.close()
  return { rows: rows.length, text: rows.map(({ detail }) => detail).join('\n') }
}

/** From port 0, and from a broadcast address, neither of which can be answered. */
const FORGED = `
import socket, struct
rrq = b"\\0\\1snponly.efi\\0octet\\0"
def ip(src, port, payload):
    udp = struct.pack("!HHHH", port, 69, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(src), socket.inet_aton("10.99.0.1"))
    return head + udp
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for n in range(20):
    raw.sendto(ip("${ATTACKER}", 0, rrq), ("10.99.0.1", 0))
    raw.sendto(ip("${ATTACKER}", 0, b"\\0\\1none\\0octet\\0"), ("10.99.0.1", 0))
    raw.sendto(ip("10.99.0.255", 2000 + n, rrq), ("10.99.0.1", 0))
`

test('an honest server boots: address, loader, script', async () => {
  expect(await honestBoot()).toEqual({ ip: FIXED, loaderBytes: 512, script: 200 })
})

test('the script beside the loader leads the address of a node to its own script, and nobody else anywhere', async () => {
  const fetched = (from: string, url: string) =>
    run(['ip', 'netns', 'exec', WIRE, 'curl', '-s', '-f', '--max-time', '10', '--interface', from, url], {
      timeoutMs: 30_000,
    })
  const script = `http://10.99.0.1:8088/boot/${MAC.replaceAll(':', '-')}/script.ipxe`
  for (const url of ['tftp://10.99.0.1/autoexec.ipxe', 'http://10.99.0.1:8088/loader/autoexec.ipxe']) {
    expect((await fetched(FIXED, url)).stdout).toContain(`chain --replace --autofree ${script} `)
    expect(await fetched(ATTACKER, url)).toMatchObject({ stdout: '', code: expect.toBeOneOf([22, 68]) })
  }
})

test('GRUB at the address of a node is led to the configuration of that node, with a script of its own; at any other address it goes back to the firmware', async () => {
  const fetched = (from: string, url: string) =>
    run(['ip', 'netns', 'exec', WIRE, 'curl', '-s', '--max-time', '10', '--interface', from, url], {
      timeoutMs: 30_000,
    })
  const path = `boot/${MAC.replaceAll(':', '-')}/grub.cfg`
  for (const url of ['tftp://10.99.0.1/grub/grub.cfg', 'http://10.99.0.1:8088/grub/grub.cfg']) {
    expect((await fetched(FIXED, url)).stdout).toContain(`source (http,10.99.0.1:8088)/${path}\n`)
    const stranger = (await fetched(ATTACKER, url)).stdout
    expect(stranger).toContain('exit')
    expect(stranger).not.toContain('boot/')
  }
  expect((await fetched(FIXED, `http://10.99.0.1:8088/${path}`)).stdout).toContain('Rackward: no boot order for n1')
  expect((await fetched(ATTACKER, `http://10.99.0.1:8088/${path}`)).stdout).toBe('403\n')
})

test('requests from port 0 and from a broadcast address are survived', async () => {
  for (const file of ['all', 'default', 'wire'])
    await ip('netns', 'exec', SERVER, 'sh', '-c', `echo 0 >/proc/sys/net/ipv4/conf/${file}/rp_filter`)
  await ip('netns', 'exec', WIRE, 'python3', '-c', FORGED)
  expect(await honestBoot()).toMatchObject({ script: 200 })
  expect(await bootProcess()).toBe(bootPid)
})

/** A release of the node's address by somebody else, a packet of a relay that is the node itself, an answer of a DHCP
 *  server to a DHCP server, and a request for the offer of another one: RFC 2131, section 2. */
const POSED = `
import socket, struct
def send(src, op, options, ciaddr="0.0.0.0", giaddr="0.0.0.0"):
    addresses = b"".join(map(socket.inet_aton, [ciaddr, "0.0.0.0", "0.0.0.0", giaddr]))
    head = struct.pack("!BBBBIHH", op, 1, 6, 0, 7, 0, 0) + addresses + bytes.fromhex("${MAC.replaceAll(':', '')}")
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((src, 0))
    s.sendto(head.ljust(236, bytes(1)) + bytes.fromhex("63825363" + options + "ff"), ("10.99.0.1", 67))
server = "3604" + socket.inet_aton("${ATTACKER}").hex()
send("${ATTACKER}", 1, "350107", ciaddr="${FIXED}")
send("${FIXED}", 1, "350101", giaddr="10.99.0.250")
send("${ATTACKER}", 2, "350102" + server)
send("${ATTACKER}", 1, "3501033204" + socket.inet_aton("10.99.0.180").hex() + server)
`

test('a forged release, relay, answer and the offer of another server are told of, and take no address', async () => {
  await honestBoot()
  await ip('netns', 'exec', WIRE, 'python3', '-c', POSED)
  for (const words of [
    `${ATTACKER} releases the address ${FIXED} in its name; that is ignored`,
    `a packet as of the relay 10.99.0.250 came from ${FIXED}, which is the address of the server ${MAC}`,
    `DHCP: ${ATTACKER} sent an answer of a DHCP server (server ${ATTACKER}) to this one`,
    `it takes the address 10.99.0.180 from another DHCP server, ${ATTACKER}`,
  ])
    await until(() => journal().text.includes(words), { what: words, timeoutMs: 20_000, everyMs: 250 })
  expect(await honestBoot()).toEqual({ ip: FIXED, loaderBytes: 512, script: 200 })
})

test.each([
  ['TFTP requests', 'tftp', ATTACKER],
  ['requests for boot scripts', 'scripts', ATTACKER],
  ['DHCP of a known MAC', 'dhcp-known', MAC],
  ['DHCP of made-up MACs', 'dhcp-random', ''],
])(
  'a flood of %s: an honest server boots, and little is written',
  async (_, mode, target) => {
    const before = { ...journal(), log: (await victim?.log())?.length ?? 0, rss: await bootRssBytes() }
    const flood = attack(mode, target, FLOOD_SECONDS)
    expect(await honestBoot()).toEqual({ ip: FIXED, loaderBytes: 512, script: 200 })
    const sent = Number(await flood)
    expect(sent).toBeGreaterThan(200)
    expect(await victim?.healthy()).toBe(true)
    expect(await bootProcess()).toBe(bootPid)
    const after = { ...journal(), log: (await victim?.log())?.length ?? 0, rss: await bootRssBytes() }
    // Twenty of one source, a hundred of a kind at once, its share of some seconds, and the honest boot.
    expect(after.rows - before.rows).toBeLessThan(180)
    expect(after.log - before.log).toBeLessThan(MIB / 4)
    expect(after.rss - before.rss).toBeLessThan(96 * MIB)
    // eslint-disable-next-line no-control-regex
    expect(after.text).not.toMatch(/\\u001b|\x1b/)
  },
  180_000,
)

test('what was held back is told in numbers', async () => {
  await until(() => /and \d{3,} more of this kind from 10\.99\.0\.66/.test(journal().text), {
    what: 'the summary of a flood',
    timeoutMs: 20_000,
    everyMs: 250,
  })
})

test('the metrics of the conductor count what the boot services did and refused', async () => {
  const scrape = async (): Promise<Map<string, number>> => {
    const response = await fetch(`${victim?.base}/metrics`)
    const lines = (await response.text()).split('\n').filter((line) => /^rackward_(boot_requests|limit)/.test(line))
    return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]))
  }
  const requests = (service: string, outcome: string) =>
    `rackward_boot_requests_total{service="${service}",outcome="${outcome}"}`
  const counted = [
    requests('dhcp', 'ack'),
    requests('dhcp', 'unknown'),
    requests('tftp', 'failed'),
    requests('tftp', 'refused'),
    requests('http', 'sent'),
    requests('http', 'refused'),
    'rackward_limit_reached_total{limit="boot.eventsPerSecond"}',
  ]
  const before = await until(
    async () => {
      const now = await scrape()
      return counted.every((name) => (now.get(name) ?? 0) > 0) && now
    },
    { what: 'every counter to have counted something', timeoutMs: 20_000, everyMs: 250 },
  )
  const boots = before.get(requests('dhcp', 'ack')) as number
  await honestBoot()
  await until(async () => ((await scrape()).get(requests('dhcp', 'ack')) ?? 0) > boots, {
    what: 'another boot to be counted',
    timeoutMs: 20_000,
    everyMs: 250,
  })
  // A new conductor knows what the boot services, which outlived the one before, did until then.
  await victim?.end('SIGKILL')
  await victim?.restart()
  await until(async () => ((await scrape()).get(requests('dhcp', 'ack')) ?? 0) > boots, {
    what: 'the totals to be told again',
    timeoutMs: 20_000,
    everyMs: 250,
  })
})
