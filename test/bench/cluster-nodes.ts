/** A conductor of many IPMI nodes, each with a password of its own: its memory, the longest pause of its event loop
 *  while its API is asked, and a pass over the power of all BMCs, which are those of `rackward simulate`. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { stringify } from 'yaml'
import { Fleet } from '../../cli/simulate/fleet.ts'
import { Measures } from '../../cli/simulate/measures.ts'
import { Relay } from '../../cli/simulate/relay.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { Pass } from '../../conductor/node/run/power-sync.ts'
import { nodeColumns } from '../../conductor/store/node-rows.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { http } from '../../kit/http.ts'
import { systemRandom } from '../../kit/random.ts'
import { inserter } from '../conductor/random-records.ts'
import { ROOT } from '../lab/root.ts'
import { client, listAll, must } from './load.ts'

export interface NodesFigures {
  readonly nodes: number
  readonly startSeconds: number
  readonly memoryBytes: number
  /** Over all that was asked. */
  readonly longestPauseMs: number
  readonly slowestPageMs: number
  readonly metricsMs: number
  readonly oneNodeMs: number
  readonly passSeconds: number
  readonly answered: number
}

interface Seen {
  readonly maxMs: number
  readonly rssBytes: number
  readonly lastPass: Pass | null
}

const SYNC_SECONDS = 30
const START_MS = 120_000
const PASS_MS = 600_000
const METRICS_MS = 60_000

export async function benchNodes(nodes: number, say: (line: string) => void): Promise<NodesFigures> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-nodes-'))
  const fleet = simulated(nodes)
  let child: ChildProcess | undefined
  try {
    say(`nodes: ${nodes} BMCs, each with a password of its own`)
    await fleet.start()
    await fill(dir, fleet)
    const startMs = performance.now()
    child = fork(join(ROOT, 'dist/test/bench/conductor-child.js'), [join(dir, 'conductor.yaml')])
    const [{ address }] = (await once(child, 'message', { signal: AbortSignal.timeout(START_MS) })) as [
      { address: string },
    ]
    const startSeconds = (performance.now() - startMs) / 1000
    return { nodes, startSeconds, ...(await measure(address, child)) }
  } finally {
    if (child?.connected) {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    }
    await fleet.stop()
    await rm(dir, { recursive: true })
  }
}

function simulated(nodes: number): Fleet {
  const measures = new Measures()
  const address = '127.0.0.1'
  // Nothing is booted.
  const relay = new Relay({ clock: systemClock, address, server: address, port: 67, onAgain: () => undefined })
  return new Fleet(
    {
      nodes,
      prefix: 'node',
      seed: 1,
      times: { speed: 1, rate: 200e6 },
      faults: new Map(),
      drivers: ['ipmi'],
      bmc: { firstAddress: '127.96.0.1', ipmiPort: 623, redfishPort: 443, ports: false },
    },
    { clock: systemClock, random: systemRandom, measures, relay },
  )
}

async function fill(dir: string, { members }: Fleet): Promise<void> {
  const data = join(dir, 'data')
  await mkdir(data, { mode: 0o700 })
  await writeFile(join(data, 'secret.key'), `${Buffer.alloc(32, 1).toString('hex')}\n`, { mode: 0o600 })
  const config = {
    data,
    images: { store: join(dir, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: SYNC_SECONDS },
  }
  await writeFile(join(dir, 'conductor.yaml'), stringify(config))
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  const file = join(data, 'rackward.db')
  await new SqliteStore(file, seal).close()
  const db = new Database(file)
  const insert = inserter(db)
  db.transaction(() => {
    for (const [n, { server, driverInfo }] of members.entries()) {
      const node = {
        ...newNode({ uuid: server.uuid, driver: 'ipmi', name: server.name }, 1_000_000 + n),
        provisionState: 'available' as const,
        powerState: 'power off' as const,
        driverInfo,
      }
      insert('nodes', { uuid: node.uuid, created_at: node.createdAtMs, ...nodeColumns(node, seal) })
    }
  })()
  db.close()
}

async function measure(address: string, child: ChildProcess): Promise<Omit<NodesFigures, 'nodes' | 'startSeconds'>> {
  const seen = async (ask: 'watch' | 'see'): Promise<Seen> => {
    const answer = once(child, 'message')
    child.send(ask)
    return ((await answer) as [Seen])[0]
  }
  await seen('watch')
  const c = client(address, 4)
  const took = async (work: () => Promise<unknown>): Promise<number> => {
    const startMs = performance.now()
    await work()
    return performance.now() - startMs
  }
  const { slowestPage, nodes } = await listAll(c, '/v1/nodes?limit=1000')
  const metricsMs = await took(() =>
    http({ method: 'GET', url: `${address}/metrics`, signal: AbortSignal.timeout(METRICS_MS), ignoreBody: true }),
  )
  const oneNodeMs = await took(() => must(c, 'GET', `/v1/nodes/${nodes[0].uuid}`))
  c.close()
  const pass = await until(async () => (await seen('see')).lastPass ?? undefined, {
    what: 'a pass over all BMCs',
    timeoutMs: PASS_MS,
    everyMs: 1_000,
  })
  const { maxMs, rssBytes } = await seen('see')
  return {
    memoryBytes: rssBytes,
    longestPauseMs: maxMs,
    slowestPageMs: slowestPage * 1000,
    metricsMs,
    oneNodeMs,
    passSeconds: pass.tookMs / 1000,
    answered: pass.asked - pass.failed,
  }
}

export const nodesTable = (of: NodesFigures): string =>
  [
    `start to the first answer      ${of.startSeconds.toFixed(1)} s`,
    `memory                         ${(of.memoryBytes / 1e6).toFixed(0)} MB`,
    `longest pause of the event loop ${of.longestPauseMs.toFixed(0)} ms`,
    `slowest page of 1,000          ${of.slowestPageMs.toFixed(0)} ms`,
    `/metrics                       ${of.metricsMs.toFixed(0)} ms`,
    `one node                       ${of.oneNodeMs.toFixed(0)} ms`,
    `a pass over all BMCs           ${of.passSeconds.toFixed(1)} s, ${of.answered} of ${of.nodes} answered`,
  ].join('\n')
