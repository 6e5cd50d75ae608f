/** `npm run bench -- storm [--servers N]`: so many servers of four subnets behind relays are switched on at once, on a
 *  link of 400 Mbit/s. All must get their scripts, none an address of another one, and the ramdisks must come as fast
 *  as the link bears, with the memory of the boot services bounded. Throws when a server did not boot or an address
 *  was given twice. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { inNamespace, sh } from '../lab/shell.ts'
import { makeFiles } from './boot.ts'
import { rackward, type Peer } from './boot-peers.ts'

const RELAYS = ['10.101.0.1', '10.102.0.1', '10.103.0.1', '10.104.0.1']
const LINK_BITS_PER_SECOND = 400e6
const RAMDISK_BYTES = 2e6
/** At once: enough for the link, and few enough that each gets on. */
const PLACES = 32
const TIMEOUT_MS = 600_000
const LOOK_MS = 500

interface Met {
  readonly servers: number
  readonly failed: number
  readonly why: string | null
  readonly twice: number
  readonly addresses: number
  /** DHCP packets that were sent again. */
  readonly again: number
  readonly waited: number
  readonly polls: number
  readonly mostLoading: number
  readonly bytes: number
  /** Until the last server had it. */
  readonly addressSeconds: number
  readonly scriptSeconds: number
  readonly ramdiskSeconds: number
}

export interface StormFigures extends Met {
  /** What the link needs for the bytes alone. */
  readonly linkSeconds: number
  readonly mostMemoryBytes: number
}

/** Throws where the storm was not weathered. */
export function stormFigures(met: Met, mostMemoryBytes: number): StormFigures {
  if (met.failed > 0) throw new Error(`${met.failed} of ${met.servers} servers did not boot: ${met.why}`)
  if (met.twice > 0 || met.addresses !== met.servers)
    throw new Error(`${met.twice} addresses were given twice; ${met.servers} servers have ${met.addresses}`)
  // What the kernel holds for a server counts as sent, so that the next ones begin a little early.
  if (met.mostLoading > 2 * PLACES) throw new Error(`${met.mostLoading} servers loaded at once, and ${PLACES} may`)
  return { ...met, linkSeconds: (met.bytes * 8) / LINK_BITS_PER_SECOND, mostMemoryBytes }
}

export async function benchStorm(opts: { servers: number; json: boolean; say: (line: string) => void }): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-storm-'))
  let peer: Peer | undefined
  try {
    const files = await makeFiles(dir, { ramdisk: RAMDISK_BYTES })
    const limits = { ramdiskTransfers: PLACES }
    peer = await rackward(dir, files, { clients: opts.servers, relays: RELAYS, limits })
    await shape(peer.server)
    opts.say(`storm: ${opts.servers} servers are switched on`)
    const figures = await weather(peer, opts.servers)
    if (!opts.json) opts.say(table(figures))
    process.stdout.write(`${JSON.stringify(figures)}\n`)
  } finally {
    await peer?.stop()
    await rm(dir, { recursive: true })
  }
}

/** A link of that rate on which DHCP does not wait behind the ramdisks, as where switches and servers queue fairly: UDP
 *  goes first. */
async function shape(namespace: string): Promise<void> {
  const tc = (...words: readonly string[]) => sh(['tc', '-n', namespace, ...words])
  const rate = `${LINK_BITS_PER_SECOND / 1e6}mbit`
  const whole = ['rate', rate, 'ceil', rate, 'quantum', '60000']
  await tc('qdisc', 'add', 'dev', 'eth0', 'root', 'handle', '1:', 'htb', 'default', '20')
  await tc('class', 'add', 'dev', 'eth0', 'parent', '1:', 'classid', '1:1', 'htb', ...whole)
  for (const [id, share, priority] of [
    ['1:10', '10mbit', '0'],
    ['1:20', '390mbit', '1'],
  ] as const) {
    const part = ['rate', share, 'ceil', rate, 'quantum', '60000', 'prio', priority]
    await tc('class', 'add', 'dev', 'eth0', 'parent', '1:1', 'classid', id, 'htb', ...part)
  }
  const isUdp = ['match', 'ip', 'protocol', '17', '0xff']
  await tc('filter', 'add', 'dev', 'eth0', 'parent', '1:', 'protocol', 'ip', 'u32', ...isUdp, 'flowid', '1:10')
}

async function weather(peer: Peer, servers: number): Promise<StormFigures> {
  let mostBytes = 0
  const watch = setInterval(
    () =>
      void peer.rssBytes().then(
        (bytes) => (mostBytes = Math.max(mostBytes, bytes)),
        () => undefined,
      ),
    LOOK_MS,
  )
  try {
    const program = join(ROOT, 'dist/test/bench/storm-servers.js')
    const argv = inNamespace(peer.clients, [process.execPath, program, String(servers), ...RELAYS])
    const { code, stdout, stderr } = await run(argv, { timeoutMs: TIMEOUT_MS })
    if (code !== 0) throw new Error(`the servers: ${stderr}`)
    return stormFigures(JSON.parse(stdout) as Met, mostBytes)
  } finally {
    clearInterval(watch)
  }
}

const table = (of: StormFigures): string =>
  [
    `${of.servers} servers in ${RELAYS.length} subnets, each with an address of its own; ${of.again} DHCP packets sent again`,
    `all have an address after   ${of.addressSeconds.toFixed(1)} s`,
    `all have a script after     ${of.scriptSeconds.toFixed(1)} s (${of.waited} of them wait for a place)`,
    `all have the ramdisk after  ${of.ramdiskSeconds.toFixed(1)} s; the link needs ${of.linkSeconds.toFixed(1)} s`,
    `at most at once             ${of.mostLoading} ramdisks, ${(of.mostMemoryBytes / 1e6).toFixed(0)} MB of memory`,
  ].join('\n')
