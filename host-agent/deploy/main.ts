/** The program in the deploy ramdisk: brings the network up, calls the conductor, carries out its orders, waits for the
 *  next one. */
import { readFile, writeFile } from 'node:fs/promises'
import { monotonicClock as clock, systemClock } from '../../kit/clock.ts'
import { asFault, isFault } from '../../kit/fault.ts'
import { systemRandom } from '../../kit/random.ts'
import { becomeNobody, inCell } from '../../kit/nobody.ts'
import { piped, run, type Piped } from '../../kit/run.ts'
import type { Order, Progress, SessionGrant } from '../../conductor/api/agent-wire.ts'
import { parseCmdline, type BootArgs } from './cmdline.ts'
import { ConductorLink } from './conductor.ts'
import { askDhcp } from './dhcp.ts'
import { bringUp } from './network.ts'
import { carryOut } from './orders.ts'
import { whileReporting } from './reporting.ts'
import type { DoorParts } from './swarm/door.ts'
import { servePeers } from './swarm/peer-main.ts'
import { PeerProcess } from './swarm/peer-process.ts'
import { readBootMode, readNics } from './sysfs.ts'
import { proveBoot } from './tpm/prove.ts'
import { troubleOf } from './trouble.ts'

const SECRET_FILE = '/run/rackward-session'
/** The root of the process that serves pieces of an image to other nodes, and its name on the command line. */
const CELL_DIR = '/run/rackward-peer'
const PEER = 'peer'
/** Reports come at least once a second (the conductor's clock for silence is counted in minutes). */
const REPORT_MS = 900

const say = (line: string): void => void process.stdout.write(`rackward-agent: ${line}\n`)

/** The secret is kept before it is used: an agent that is started again in the same boot is the same agent. */
async function openSession(link: ConductorLink, args: BootArgs): Promise<SessionGrant> {
  const kept = await readFile(SECRET_FILE, 'utf8').catch(() => undefined)
  const secret = kept ?? systemRandom.bytes(32).toString('base64url')
  if (!kept) await writeFile(SECRET_FILE, secret, { mode: 0o600 })
  const macs = (await readNics()).map((nic) => nic.mac)
  const proof = args.token === undefined ? { claim: args.mac } : { token: args.token }
  return link.open({ ...proof, secret, macs, bootMode: await readBootMode(), clockMs: systemClock.now() })
}

async function obey(link: ConductorLink, order: Order, args: BootArgs): Promise<boolean> {
  say(`order ${order.kind}`)
  let progress: Progress = { phase: order.kind, doneBytes: 0, totalBytes: 0 }
  const parts = {
    clock,
    run,
    bootMac: args.mac,
    bootIp: args.ip,
    index: link.index,
    configDrive: link.configDrive,
    swarm: link.swarm,
    door: (doorParts: DoorParts) => new PeerProcess(doorParts, launchPeer),
    random: systemRandom,
    progress: (now: Progress) => {
      progress = now
    },
  }
  const work = carryOut(order, parts).then(
    (done) => ({ done }),
    (error: unknown) => {
      const fault = asFault(error, 'agent.broken')
      say(`order ${order.kind} failed: ${fault.message}`)
      return { failed: { code: fault.code, text: fault.detail.slice(0, 4000) } }
    },
  )
  const result = await whileReporting(work, {
    clock,
    everyMs: REPORT_MS,
    say: () => link.report({ orderId: order.id, progress }),
  })
  await link.report({ orderId: order.id, ...result }).catch((error: unknown) => {
    // The conductor has moved on (an abort, a new try): the result is of no use any more.
    if (!isFault(error, 'store.stale')) throw error
  })
  say(`order ${order.kind} is reported`)
  return 'done' in result
}

/** The rescue system is its owner's now: the conductor believes this boot no more, and an agent that ended would be
 *  started again. */
async function rest(link: ConductorLink): Promise<never> {
  link.close()
  for (;;) await clock.sleep(24 * 3_600_000)
}

async function main(): Promise<void> {
  const said = parseCmdline(await readFile('/proc/cmdline', 'utf8'))
  const args =
    'claim' in said ? { ...said, bond: undefined, vlan: undefined, ...(await askDhcp({ run, clock })) } : said
  await bringUp(args, { run, clock, say })
  const link = new ConductorLink({
    url: args.url,
    pin: args.pin,
    clock,
    onTrouble: troubleOf({ http: said.http, say }),
  })
  const { tpm } = await openSession(link, args)
  say('the conductor knows this node')
  // Beside the orders: some TPMs take half a minute to make their keys. What must wait for it waits at the conductor.
  if (tpm)
    void proveBoot({ ask: link.tpm, run, clock, say }).catch((error: Error) =>
      say(`no proof of this boot: ${error.message}`),
    )
  for (let have = ''; ;) {
    const order = await link.order(have)
    const isDone = order && order.id !== have ? await obey(link, order, args) : false
    if (isDone && order?.kind === 'rescue') return rest(link)
    have = order?.id ?? ''
  }
}

/** It sees Node.js and this program alone, and has no network but the socket that it inherits. */
function launchPeer(listeningFd: number): Piped {
  const { argv, env } = inCell({
    dir: CELL_DIR,
    node: process.execPath,
    program: process.argv[1] as string,
    words: [PEER],
    busybox: '/bin/busybox',
  })
  return piped(argv, env, [listeningFd])
}

async function servePieces(): Promise<void> {
  becomeNobody()
  const end = () => process.exit(0)
  await servePeers({ input: process.stdin, output: process.stdout, fd: 3, clock, random: systemRandom, end })
}

const start = process.argv[2] === PEER ? servePieces : main
start().catch(async (error: unknown) => {
  say(`cannot go on: ${error instanceof Error ? error.message : String(error)}`)
  // A refused token or session stays refused; the conductor's deadline decides. Others may pass.
  await clock.sleep(isFault(error, 'agent.token') || isFault(error, 'agent.session') ? 30_000 : 2_000)
  process.exit(1)
})
