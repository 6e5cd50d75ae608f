/** `rackward simulate`: servers that speak the real protocols, for a conductor that is there or one of their own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { lookup } from 'node:dns/promises'
import { isIPv4 } from 'node:net'
import { systemClock } from '../kit/clock.ts'
import { openFilesLimit } from '../kit/open-files.ts'
import { systemRandom } from '../kit/random.ts'
import { CliError } from './error.ts'
import { connect, type Common } from './nodes.ts'
import type { Api } from './server.ts'
import { formatOf, show } from './show.ts'
import { drive } from './simulate/drive.ts'
import { parseFaults } from './simulate/faults.ts'
import { Fleet, type Driver } from './simulate/fleet.ts'
import { canHaveNamespace, Ground, insideNamespace, OWN } from './simulate/ground.ts'
import { removeNodes } from './simulate/leave.ts'
import { Measures } from './simulate/measures.ts'
import { Relay } from './simulate/relay.ts'
import { lineOf, summaryOf, textOf } from './simulate/summary.ts'
import { Watch } from './simulate/watch.ts'

export interface SimulateOptions extends Common {
  readonly nodes: string
  readonly conductor?: string
  readonly deploy?: boolean
  readonly image?: string
  readonly driver: 'ipmi' | 'redfish' | 'both'
  readonly speed: string
  readonly rate: string
  readonly faults: string
  readonly seed: string
  readonly prefix: string
  readonly bmcAddress: string
  readonly bmcPorts?: boolean
  readonly ipmiPort: string
  readonly redfishPort: string
  readonly relay: string
  readonly dhcp?: string
  readonly timeout: string
  readonly stay?: boolean
  readonly keepNodes?: boolean
  readonly config?: string
}

/** Set in the namespace. */
const INSIDE = 'RACKWARD_SIMULATE_INSIDE'
const MB = 1_000_000
const LINE_MS = 10_000
const DHCP_PORT = 67
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** More than a site has, and as many as there are addresses for them. */
const MOST_NODES = 100_000
const MOST_PORT = 65_535
const FILES_PER_SERVER = 3
const OWN_FILES = 100

export async function simulate(options: SimulateOptions): Promise<void> {
  const plan = planOf(options)
  await needFiles(plan.fleet.nodes)
  const isOwn = options.conductor === undefined
  if (isOwn && process.env[INSIDE] === undefined) return runInside()
  // A terminal interrupts all of us, and the program outside tells it again: what was begun is cleaned up all the same.
  const stop = new AbortController()
  for (const signal of SIGNALS) process.on(signal, () => stop.abort())
  const api = await connect({ ...options, server: options.conductor ?? OWN.url })
  let ground: Ground | undefined
  try {
    if (isOwn) ground = await Ground.start(api, await overlayOf(options.config), stop.signal)
    await simulateOn({ api, ground, stop: stop.signal }, options, plan)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    process.exitCode = 130
  } finally {
    await ground?.stop()
  }
}

interface On {
  readonly api: Api
  /** Of the simulation's own conductor. */
  readonly ground: Ground | undefined
  readonly stop: AbortSignal
}

async function simulateOn({ api, ground, stop }: On, options: SimulateOptions, plan: Plan): Promise<void> {
  const measures = new Measures()
  const relay = new Relay({
    clock: systemClock,
    address: options.relay,
    server: await addressOf(options.dhcp ?? (ground ? OWN.address : api.place.url.hostname)),
    port: DHCP_PORT,
    onAgain: () => measures.count('DHCP packets that were sent again'),
  })
  const fleet = new Fleet(plan.fleet, { clock: systemClock, random: systemRandom, measures, relay })
  const watch = new Watch(api, ground)
  const enrolled: string[] = []
  try {
    await relay.listen()
    await fleet.start()
    if (ground) tell(`the conductor answers at unix:${ground.socket}\n`)
    watch.start()
    const startMs = systemClock.now()
    const line = progressLine()
    const travels = await drive(
      fleet.members,
      { image: plan.image, timeoutMs: plan.timeoutMs },
      {
        api,
        clock: systemClock,
        measures,
        signal: stop,
        onEnrolled: (uuid) => enrolled.push(uuid),
        onLook: (all) => line(lineOf(all, systemClock.now() - startMs)),
      },
    )
    const seconds = (systemClock.now() - startMs) / 1000
    const memory = await watch.stop()
    const summary = summaryOf(travels, seconds, { memory, phases: measures.phases(), happened: measures.happened() })
    await show(summary, formatOf(options.output), () => textOf(summary))
    if (summary.failedUnexpectedly > 0) process.exitCode = 1
    if (options.stay) await until(stop)
  } finally {
    await watch.stop()
    if (!ground && !options.keepNodes) await leave(api, enrolled)
    await fleet.stop()
    relay.close()
  }
}

/** Their BMCs still answer meanwhile. */
async function leave(api: Api, enrolled: readonly string[]): Promise<void> {
  if (enrolled.length > 0) tell(`removing ${enrolled.length} nodes (--keep-nodes leaves them)\n`)
  const left = await removeNodes(enrolled, { api, clock: systemClock }).catch((error: Error) => {
    tell(`${error.message}\n`)
    return enrolled
  })
  if (left.length > 0) tell(`${left.length} nodes could not be removed: rackward node list\n`)
}

/** Throws where this process may not open what the servers need: the BMC's socket, the agent's, and a download. */
async function needFiles(nodes: number): Promise<void> {
  const [needed, limit] = [nodes * FILES_PER_SERVER + OWN_FILES, await openFilesLimit()]
  if (needed > limit)
    throw new CliError(
      'failed',
      `--nodes: ${nodes} servers need ${needed} open files, and this process may have ${limit}; raise the limit (ulimit -n)`,
    )
}

/** DHCP is sent to an address. */
const addressOf = async (host: string): Promise<string> =>
  lookup(host, 4).then(
    ({ address }) => address,
    (error: Error) =>
      Promise.reject(new CliError('usage', `--dhcp: name the address of the DHCP server: ${error.message}`)),
  )

const until = async (signal: AbortSignal): Promise<void> => {
  tell('the servers go on until this program is interrupted\n')
  if (!signal.aborted) await once(signal, 'abort')
}

const tell = (text: string): void => void process.stderr.write(text)

/** One line that is written over on a terminal; elsewhere one from time to time. */
function progressLine(): (text: string) => void {
  let toldMs = -Infinity
  return (text) => {
    if (process.stderr.isTTY) return tell(`\u001b[2K\r${text.slice(0, (process.stderr.columns ?? 120) - 1)}`)
    if (performance.now() - toldMs < LINE_MS) return
    toldMs = performance.now()
    tell(`${text}\n`)
  }
}

type Plan = ReturnType<typeof planOf>

function planOf(options: SimulateOptions) {
  const number = (name: string, text: string, least: number): number => {
    const value = Number(text)
    if (!(value >= least && Number.isFinite(value)))
      throw new CliError('usage', `--${name}: ${JSON.stringify(text)} is no number of at least ${least}`)
    return value
  }
  const whole = (name: string, text: string, [least, most]: readonly [number, number]): number => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
      throw new CliError(
        'usage',
        `--${name}: ${JSON.stringify(text)} is no number: it is a whole number from ${least} to ${most}`,
      )
    return value
  }
  if (!isIPv4(options.bmcAddress))
    throw new CliError('usage', `--bmc-address: ${JSON.stringify(options.bmcAddress)} is no IPv4 address`)
  const nodes = whole('nodes', options.nodes, [1, MOST_NODES])
  const image = options.deploy
    ? (options.image ?? (options.conductor === undefined ? OWN.image : undefined))
    : undefined
  if (options.deploy && image === undefined)
    throw new CliError('usage', '--deploy: name the image that the conductor shall write, with --image NAME')
  const drivers: readonly Driver[] = options.driver === 'both' ? ['ipmi', 'redfish'] : [options.driver]
  if (options.bmcPorts && drivers.includes('redfish'))
    throw new CliError('usage', '--bmc-ports: Redfish BMCs are told apart by their address; use it with --driver ipmi')
  return {
    image,
    timeoutMs: number('timeout', options.timeout, 1) * 1000,
    fleet: {
      nodes,
      prefix: options.prefix,
      seed: whole('seed', options.seed, [0, 2 ** 32 - 1]),
      times: { speed: number('speed', options.speed, 0.01), rate: number('rate', options.rate, 0.001) * MB },
      faults: parseFaults(options.faults),
      drivers,
      bmc: {
        firstAddress: options.bmcAddress,
        // Each BMC has one, from the first on.
        ipmiPort: whole('ipmi-port', options.ipmiPort, [1, options.bmcPorts ? MOST_PORT - nodes + 1 : MOST_PORT]),
        redfishPort: whole('redfish-port', options.redfishPort, [1, MOST_PORT]),
        ports: options.bmcPorts ?? false,
      },
    },
  }
}

async function overlayOf(path: string | undefined): Promise<Record<string, unknown>> {
  if (path === undefined) return {}
  const text = await readFile(path, 'utf8').catch((error: Error) =>
    Promise.reject(new CliError('usage', `--config: ${error.message}`)),
  )
  const { parse } = await import('./yaml.ts')
  return (parse(text) as Record<string, unknown> | null) ?? {}
}

/** Runs this command again in a network namespace of its own. */
async function runInside(): Promise<void> {
  const uid = process.getuid?.() ?? -1
  await canHaveNamespace(uid)
  const [program = '', ...words] = insideNamespace(process.argv.slice(2), uid)
  const child = spawn(program, words, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } })
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(new CliError('failed', `${program} cannot be started: ${error.message}`)))
    child.once('exit', resolve)
  })
  process.exitCode = code ?? 1
}
