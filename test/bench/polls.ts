/** `npm run bench -- polls [--bmcs N]`: reading the power of 10,000 IPMI BMCs with a password each: our own client,
 *  alone, with dead ones among them, and ipmipower on the same BMCs in the same run. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ROOT } from '../lab/root.ts'

/** Of the power sync: its interval, and the part of it that it spreads a pass over. */
const INTERVAL_SECONDS = 30
const SPREAD_MS = 24_000
const DEAD_EVERY = 20
/** With a password each, it asks one at a time: more would take minutes. */
const IPMIPOWER_BMCS = 1_000
const say = (line: string) => void process.stderr.write(`${line}\n`)

interface Pass {
  readonly seconds: number
  readonly answeredSeconds: number
  readonly cpuMs: number
  readonly failed: number
}

interface PollFigure {
  readonly bmcs: number
  readonly failed: number
  readonly seconds: number
  readonly answeredSeconds: number
  readonly pollsPerSecond: number
  readonly cpuMsPerPoll: number
}

const round = (value: number, to: number) => Math.round(value * to) / to

function figureOf(bmcs: number, { seconds, answeredSeconds, cpuMs, failed }: Pass): PollFigure {
  return {
    bmcs,
    failed,
    seconds: round(seconds, 100),
    answeredSeconds: round(answeredSeconds, 100),
    pollsPerSecond: round((bmcs - failed) / answeredSeconds, 1),
    cpuMsPerPoll: round(cpuMs / bmcs, 1_000),
  }
}

async function child(file: string, args: readonly string[]): Promise<ChildProcess> {
  const started = fork(join(ROOT, `dist/test/bench/${file}.js`), args)
  await once(started, 'message')
  return started
}

async function asked<T>(of: ChildProcess, ask: object): Promise<T> {
  const answer = once(of, 'message')
  of.send(ask)
  return ((await answer) as [T])[0]
}

export async function benchPolls({ json, bmcs }: { json: boolean; bmcs: number }): Promise<void> {
  say(`${bmcs} BMCs, each with an address and a password of its own`)
  const farm = await child('rmcp-farm', [String(bmcs)])
  const children: ChildProcess[] = [farm]
  try {
    /** Throws when the BMCs saw otherwise: then nothing was measured. */
    const measure = async (of: ChildProcess, what: { count: number; spreadMs: number; dead?: boolean }) => {
      await asked(farm, what.dead ? { deadEvery: DEAD_EVERY } : {})
      const pass = await asked<Pass>(of, what)
      const { reads, open } = await asked<{ reads: number; open: number }>(farm, {})
      const wanted = what.dead ? what.count - Math.ceil(what.count / DEAD_EVERY) : what.count
      if (reads !== wanted || pass.failed !== what.count - wanted)
        throw new Error(`the BMCs saw ${reads} of ${wanted} reads; ${pass.failed} polls failed`)
      if (open > what.count / 100) throw new Error(`${open} sessions were left open`)
      const figure = figureOf(what.count, pass)
      say(`  ${JSON.stringify(figure)}`)
      return figure
    }
    const poller = await child('rmcp-poller', ['native'])
    children.push(poller)
    say('our own client: at once, spread as the power sync does it, then with 1 of 20 dead (twice)')
    const native = await measure(poller, { count: bmcs, spreadMs: 0 })
    const spread = await measure(poller, { count: bmcs, spreadMs: SPREAD_MS })
    const someDead = await measure(poller, { count: bmcs, spreadMs: 0, dead: true })
    const knownDead = await measure(poller, { count: bmcs, spreadMs: 0, dead: true })
    say('ipmipower: the same BMCs')
    const peer = await child('rmcp-poller', ['ipmipower'])
    children.push(peer)
    const ipmipower = await measure(peer, { count: Math.min(bmcs, IPMIPOWER_BMCS), spreadMs: 0 })
    const ratio = round(native.pollsPerSecond / ipmipower.pollsPerSecond, 10)
    const report = { native, spread, someDead, knownDead, ipmipower, ratio, toReachSeconds: INTERVAL_SECONDS }
    if (!json) say(pollTable(report))
    process.stdout.write(`${JSON.stringify(report)}\n`)
  } finally {
    for (const one of children) one.disconnect()
  }
}

function pollTable({ ratio, toReachSeconds, ...figures }: Readonly<Record<string, PollFigure | number>>): string {
  const rows = Object.entries(figures).flatMap(([name, figure]) => {
    if (typeof figure !== 'object') return []
    const columns = [figure.bmcs, figure.failed, figure.answeredSeconds, figure.pollsPerSecond, figure.cpuMsPerPoll]
    return [name.padEnd(10) + columns.map((value) => String(value).padStart(12)).join('')]
  })
  const head = ['BMCs', 'silent', 'seconds', 'polls/s', 'CPU ms/poll'].map((word) => word.padStart(12)).join('')
  return [
    ''.padEnd(10) + head,
    ...rows,
    `native / ipmipower: ${ratio as number} (to reach: ${toReachSeconds as number} s)`,
  ].join('\n')
}
