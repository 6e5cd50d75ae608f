/** `npm run bench -- api`: the same work for this conductor and for a real Ironic, one after the other on one machine,
 *  as ratios. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { client, enroll, lifecycle, listAll, must, timed, type Client } from './load.ts'
import { measurePower, type PowerResult } from './power.ts'

const say = (line: string) => void process.stderr.write(`${line}\n`)
const NODES = 1_000
/** Whole lives are looked at every 100 ms, and the first ones run cold: the median of some rounds is the figure. */
const LIFE_ROUNDS = 5
const MANY = 10_000
const READS = 1_000
const PATCHES = 300

export interface Server {
  readonly name: string
  readonly base: string
  memoryBytes(): Promise<number>
  stop(): Promise<void>
}

interface Seen {
  readonly p99Ms: number
  readonly maxMs: number
  readonly rssBytes: number
  readonly lastPass: { tookMs: number; asked: number; failed: number } | null
}

export interface Rackward extends Server {
  look(what: 'watch' | 'look'): Promise<Seen>
}

export async function startRackward(powerSyncSeconds: number): Promise<Rackward> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-bench-'))
  const config = {
    data: join(dir, 'data'),
    images: { store: join(dir, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    fake: { delaySeconds: 0 },
    powerSync: { everySeconds: powerSyncSeconds },
  }
  await writeFile(join(dir, 'conductor.yaml'), stringify(config))
  const child: ChildProcess = fork(join(ROOT, 'dist/test/bench/conductor-child.js'), [join(dir, 'conductor.yaml')])
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  const look = async (what: string) => {
    const answer = once(child, 'message')
    child.send(what)
    return ((await answer) as [Seen])[0]
  }
  return {
    name: 'rackward',
    base: address,
    look,
    memoryBytes: async () => memoryOf([child.pid as number]),
    async stop() {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Undefined where it cannot be installed: then there is nothing to compare with, and the report says so. */
export async function startIronic(syncSeconds: number): Promise<Server | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-ironic-'))
  const port = 18_000 + (process.pid % 1_000) * 3
  const script = join(ROOT, 'test/bench/peers/ironic.sh')
  const { code, stderr } = await run([script, 'up', dir, String(port), String(syncSeconds)], { timeoutMs: 10 * 60_000 })
  const down = () => run([script, 'down', dir], { timeoutMs: 60_000 })
  if (code !== 0) {
    say(`no Ironic to compare with: ${stderr.trim().split('\n').at(-1)}`)
    await down()
    return undefined
  }
  return {
    name: 'ironic',
    base: `http://127.0.0.1:${port}`,
    async memoryBytes() {
      const files = (await readdir(join(dir, 'run'))).filter((name) => name.endsWith('.pid'))
      return memoryOf(
        await Promise.all(files.map(async (name) => Number(await readFile(join(dir, 'run', name), 'utf8')))),
      )
    },
    stop: async () => void (await down()),
  }
}

/** Resident memory of processes and all their children. */
async function memoryOf(roots: readonly number[]): Promise<number> {
  const stats = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => [Number(pid), await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')] as const),
  )
  const field = (text: string, name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const wanted = new Set(roots)
  for (let size = 0; size !== wanted.size;) {
    size = wanted.size
    for (const [pid, text] of stats) if (wanted.has(field(text, 'PPid'))) wanted.add(pid)
  }
  return stats.reduce((sum, [pid, text]) => sum + (wanted.has(pid) ? field(text, 'VmRSS') * 1024 : 0), 0)
}

async function wipe(c: Client): Promise<void> {
  const { nodes } = await listAll(c, '/v1/nodes?limit=1000')
  await timed(nodes.length, 8, async (i) => {
    const path = `/v1/nodes/${nodes[i].uuid}`
    await c.call('PUT', `${path}/maintenance`, {})
    await must(c, 'DELETE', path)
  })
}

type Figures = Record<string, number>

async function measure(server: Server): Promise<Figures> {
  const [one, eight] = [client(server.base, 1), client(server.base, 8)]
  const figures: Figures = {}
  try {
    say(`${server.name}: enrolling ${NODES} nodes with ports, one client`)
    figures['nodes/s enrolled, 1 client'] = NODES / (await enroll(one, { from: 0, to: NODES }, 1)).seconds
    await wipe(eight)
    say(`${server.name}: the same, eight clients`)
    const { uuids, seconds } = await enroll(eight, { from: 0, to: NODES }, 8)
    figures['nodes/s enrolled, 8 clients'] = NODES / seconds
    const pick = (i: number) => uuids[(i * 7919) % uuids.length] as string
    say(`${server.name}: reading, patching, listing`)
    for (const [c, lanes] of [
      [one, 1],
      [eight, 8],
    ] as const) {
      figures[`reads/s, ${lanes} client${lanes > 1 ? 's' : ''}`] =
        READS / (await timed(READS, lanes, (i) => must(c, 'GET', `/v1/nodes/${pick(i)}`)))
      const patch = (i: number) =>
        must(c, 'PATCH', `/v1/nodes/${pick(i)}`, [{ op: 'add', path: '/extra/n', value: i + lanes * 100_000 }])
      figures[`patches/s, ${lanes} client${lanes > 1 ? 's' : ''}`] = PATCHES / (await timed(PATCHES, lanes, patch))
    }
    const lists = []
    for (let i = 0; i < 5; i += 1) lists.push((await listAll(one, '/v1/nodes/detail?limit=1000')).slowestPage * 1000)
    figures['ms for a detailed list of 1,000'] = median(lists)
    figures['MB of memory at 1,000 nodes'] = (await server.memoryBytes()) / 1e6
    await wipe(eight)
    say(`${server.name}: 100 fake nodes through manage, provide, active, deleted at once`)
    const lives: number[] = []
    for (let round = 0; round < LIFE_ROUNDS; round += 1) {
      lives.push(await lifecycle(eight, 100))
      await wipe(eight)
    }
    figures['s for 100 whole lives at once'] = lives.toSorted((a, b) => a - b)[Math.floor(LIFE_ROUNDS / 2)] as number
  } finally {
    one.close()
    eight.close()
  }
  return figures
}

/** What only we can be asked: ten thousand nodes, and the delays of the event loop while they are listed. */
async function measureMany(server: Rackward): Promise<Figures> {
  const c = client(server.base, 8)
  try {
    say(`rackward: ${MANY} nodes`)
    await enroll(c, { from: 0, to: MANY }, 8)
    await server.look('watch')
    const { nodes, seconds, slowestPage } = await listAll(c, '/v1/nodes/detail?limit=1000')
    const seen = await server.look('look')
    return {
      'nodes listed in full': nodes.length,
      's for the whole list': seconds,
      'ms for its slowest page': slowestPage * 1000,
      'ms of event-loop delay meanwhile, p99': seen.p99Ms,
      'ms of event-loop delay meanwhile, longest': seen.maxMs,
      'MB of memory at 10,000 nodes': (await server.memoryBytes()) / 1e6,
    }
  } finally {
    c.close()
  }
}

/** Whatever happens, the server is stopped. */
export async function during<S extends Server, T>(server: S, work: (server: S) => Promise<T>): Promise<T> {
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number

export async function benchApi(options: { json: boolean; peer: boolean }): Promise<void> {
  const { own, many } = await during(await startRackward(0), async (ours) => ({
    own: await measure(ours),
    many: await measureMany(ours),
  }))
  say(`${table(own, undefined)}\n${table(many, undefined)}`)
  const peer = options.peer ? await startIronic(0) : undefined
  const theirs = peer && (await during(peer, measure))
  const power = await measurePower(options.peer)
  if (!options.json) process.stderr.write(`${table(own, theirs)}\n${table(many, undefined)}\n${powerTable(power)}\n`)
  process.stdout.write(`${JSON.stringify({ rackward: { ...own, ...many }, ironic: theirs ?? null, power })}\n`)
}

const round = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(2))

function table(own: Figures, theirs: Figures | undefined): string {
  const rows = Object.entries(own).map(([name, value]) => {
    const other = theirs?.[name]
    // A rate is better when it is higher, a time or a size when it is lower.
    const ratio = other === undefined ? '' : `${(name.includes('/s') ? value / other : other / value).toFixed(1)} x`
    return `${name.padEnd(44)} ${round(value).padStart(9)} ${other === undefined ? '' : round(other).padStart(9)} ${ratio.padStart(8)}`
  })
  return [
    `${''.padEnd(44)} ${'rackward'.padStart(9)} ${theirs ? 'ironic'.padStart(9) : ''} ${theirs ? 'better'.padStart(8) : ''}`,
    ...rows,
  ].join('\n')
}

function powerTable({ rackward, ironic, oneDead }: PowerResult): string {
  return table(
    {
      [`s for one pass over ${rackward.bmcs} BMCs`]: rackward.seconds,
      [`s until ${oneDead.bmcs} are read, beside a dead one`]: oneDead.seconds,
    },
    ironic ? { [`s for one pass over ${rackward.bmcs} BMCs`]: ironic.seconds } : undefined,
  )
}
