/** `npm run bench -- redfish`: reading the power of 1,000 Redfish BMCs: the conductor's poll against python3-sushy on
 *  the same BMCs, and ipmipower on simulated IPMI BMCs, in one run. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { run } from '../../kit/run.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { ROOT } from '../lab/root.ts'
import { timed } from './load.ts'

const BMCS = 1_000
const IPMI_BMCS = 64
const TIMEOUT_MS = 300_000
const say = (line: string) => void process.stderr.write(`${line}\n`)

interface Pass {
  readonly seconds: number
  readonly cpuMs: number
  readonly failed: number
}

export interface Figure {
  readonly bmcs: number
  readonly pollsPerSecond: number
  readonly cpuMsPerPoll: number
}

/** Throws when BMCs were not read: then nothing was measured. */
export function figureOf(name: string, bmcs: number, { seconds, cpuMs, failed }: Pass): Figure {
  if (failed > 0) throw new Error(`${name}: ${failed} of ${bmcs} BMCs were not read`)
  if (!(seconds > 0)) throw new Error(`${name}: ${seconds} s are no time for a pass`)
  const round = (value: number, to: number) => Math.round(value * to) / to
  return { bmcs, pollsPerSecond: round(bmcs / seconds, 1), cpuMsPerPoll: round(cpuMs / bmcs, 100) }
}

async function child(file: string, args: readonly string[] = []): Promise<{ child: ChildProcess; said: unknown }> {
  const started = fork(join(ROOT, `dist/test/bench/${file}.js`), args)
  const [said] = (await once(started, 'message')) as [unknown]
  return { child: started, said }
}

async function asked<T>(of: ChildProcess, ask: object): Promise<T> {
  const answer = once(of, 'message')
  of.send(ask)
  return ((await answer) as [T])[0]
}

/** The proxies and CA settings of the caller are none of the peer's business. */
const PLAIN_PYTHON = [
  'env',
  ...['REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'SSL_CERT_FILE', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY'].flatMap(
    (name) => ['-u', name],
  ),
]

async function sushyPasses(bmcs: number, port: number): Promise<readonly [Pass, Pass] | null> {
  const script = join(ROOT, 'test/bench/redfish_sushy.py')
  const argv = [...PLAIN_PYTHON, '/usr/bin/python3', script, String(bmcs), String(port)]
  const { code, stdout, stderr } = await run(argv, { timeoutMs: TIMEOUT_MS })
  if (code === 0) return JSON.parse(stdout) as [Pass, Pass]
  if (/No module named 'sushy'/.test(stderr)) return null
  throw new Error(`sushy: ${stderr.slice(-400)}`)
}

/** User and system time of ipmipower alone: its BMCs are processes of their own. */
async function ipmipowerPass(sims: readonly Sim[]): Promise<Pass> {
  const hosts = sims.map(({ address }) => address).join(',')
  const command = `TIMEFORMAT='%R %U %S'; time ipmipower -D LAN_2_0 -I 3 -u admin -p secret -W opensesspriv --stat -h ${hosts}`
  const { stdout, stderr } = await run(['bash', '-c', command], { timeoutMs: TIMEOUT_MS })
  const [seconds = 0, user = 0, system = 0] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  const answered = stdout.split('\n').filter((line) => /: (on|off)$/.test(line)).length
  return { seconds, cpuMs: (user + system) * 1000, failed: sims.length - answered }
}

export async function benchRedfish({ json, bmcs = BMCS }: { json: boolean; bmcs?: number }): Promise<void> {
  const farm = await child('redfish-farm')
  const { port } = farm.said as { port: number }
  const sims: Sim[] = []
  try {
    const poller = await child('redfish-poller', [String(bmcs), String(port)])
    say(`rackward: ${bmcs} BMCs, first with logins, then on kept connections`)
    const first = await asked<Pass>(poller.child, {})
    await asked(farm.child, {})
    const kept = await asked<Pass>(poller.child, {})
    const seen = await asked<{ reads: number; connections: number }>(farm.child, {})
    if (seen.reads !== bmcs) throw new Error(`the BMCs saw ${seen.reads} of ${bmcs} reads`)
    await asked(farm.child, { dead: true })
    const oneDead = await asked<Pass>(poller.child, {})
    poller.child.disconnect()
    await asked(farm.child, { dead: false })

    say('python3-sushy: the same BMCs')
    const sushy = await sushyPasses(bmcs, port)
    say(`ipmipower: ${IPMI_BMCS} simulated IPMI BMCs`)
    await timed(IPMI_BMCS, 8, async (i) => void sims.push(await startSim(i + 1)))
    const ipmi = await ipmipowerPass(sims)
    const report = {
      rackward: { ...figureOf('rackward', bmcs, kept), newConnections: seen.connections, seconds: kept.seconds },
      rackwardLogin: figureOf('rackward, with logins', bmcs, first),
      oneDead: { seconds: oneDead.seconds, failed: oneDead.failed },
      sushy: sushy && figureOf('sushy', bmcs, sushy[1]),
      sushyLogin: sushy && figureOf('sushy, with logins', bmcs, sushy[0]),
      ipmipower: figureOf('ipmipower', IPMI_BMCS, ipmi),
    }
    if (!json) say(tableOf(report))
    process.stdout.write(`${JSON.stringify(report)}\n`)
  } finally {
    farm.child.disconnect()
    await Promise.all(sims.map((sim) => sim.stop()))
  }
}

function tableOf(report: Readonly<Record<string, unknown>>): string {
  const rows = Object.entries(report).flatMap(([name, value]) => {
    const figure = value as Partial<Figure> | null
    if (!figure?.pollsPerSecond) return []
    const rate = String(figure.pollsPerSecond).padStart(7)
    return `${name.padEnd(14)} ${rate} polls/s ${(figure.cpuMsPerPoll ?? 0).toFixed(2).padStart(7)} ms CPU per poll`
  })
  return rows.join('\n')
}
