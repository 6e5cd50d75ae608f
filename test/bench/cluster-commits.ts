/** The conductor's commonest write, in both stores in one run: a node replaced at its version, with the event of a
 *  change of state and that of the request. One lane after the other, and many at once. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { openPostgres } from '../../conductor/store/postgres/store.ts'
import type { Store } from '../../conductor/store/port.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { LIMITS, SEAL } from '../conductor/store-conformance/bench.ts'

export interface Commits {
  readonly store: string
  readonly lanes: number
  readonly perSecond: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly longestMs: number
}

const NODES = 512
const LANES = [1, 16]
const SECONDS = 5
const CONNECTIONS = 16
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** Some 3 KB, as the record of a real server has. */
const nodeAt = (n: number): NodeRecord => ({
  ...newNode({ uuid: uuid(n), driver: 'ipmi', name: `node-${n}` }, 1_763_700_000_000),
  provisionState: 'active',
  resourceClass: 'bm.large',
  driverInfo: { ipmi_address: `10.1.${n >> 8}.${n & 255}`, ipmi_username: 'rackward', ipmi_password: `secret ${n}` },
  properties: { cpus: 64, memory_mb: 262_144, local_gb: 960, cpu_arch: 'x86_64', vendor: 'Dell Inc.' },
  instanceInfo: { image_source: 'debian-12', configdrive: { user_data: 'x'.repeat(1600) } },
  extra: { rack: `r${n % 250}`, asset: `A-${n}`, note: 'y'.repeat(400) },
})

export async function benchCommits(say: (line: string) => void): Promise<Commits[]> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-commits-'))
  const server = await Postgres.start()
  try {
    say('commits: SQLite')
    const figures = await measure('SQLite', new SqliteStore(join(dir, 'r.db'), SEAL))
    say('commits: PostgreSQL on this machine')
    const url = server.urlOf(await server.database())
    const postgres = await openPostgres(
      { url, connections: CONNECTIONS },
      {
        clock: systemClock,
        monotonic: monotonicClock,
        limits: LIMITS,
        seal: SEAL,
        conductor: 'bench',
        shared: undefined,
      },
    )
    return [...figures, ...(await measure('PostgreSQL', postgres))]
  } finally {
    await server.stop()
    await rm(dir, { recursive: true })
  }
}

async function measure(name: string, store: Store): Promise<Commits[]> {
  try {
    const nodes: NodeRecord[] = []
    for (let n = 0; n < NODES; n += 1) {
      await store.addNode(nodeAt(n))
      nodes.push((await store.node(uuid(n))) as NodeRecord)
    }
    const figures: Commits[] = []
    for (const lanes of LANES) figures.push({ store: name, lanes, ...(await write(store, nodes, lanes)) })
    return figures
  } finally {
    await store.close()
  }
}

async function write(store: Store, nodes: NodeRecord[], lanes: number): Promise<Omit<Commits, 'store' | 'lanes'>> {
  const times: number[] = []
  const endMs = performance.now() + SECONDS * 1000
  const startMs = performance.now()
  const lane = async (first: number) => {
    for (let n = first; performance.now() < endMs; n = (n + lanes) % nodes.length) {
      const beginMs = performance.now()
      const now = nodes[n] as NodeRecord
      nodes[n] = await store.putNode(now, [
        { atMs: 1, nodeUuid: now.uuid, kind: 'state', detail: { from: 'deploying', to: 'wait call-back', on: 'wait' } },
        { atMs: 1, nodeUuid: now.uuid, kind: 'act', detail: { user: 'admin', method: 'PUT', path: '/v1/nodes/x' } },
      ])
      times.push(performance.now() - beginMs)
    }
  }
  // The number of lanes divides that of the nodes: each lane has nodes of its own.
  await Promise.all(Array.from({ length: lanes }, (_, n) => lane(n)))
  const seconds = (performance.now() - startMs) / 1000
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
  return { perSecond: times.length / seconds, medianMs: at(0.5), p99Ms: at(0.99), longestMs: sorted.at(-1) as number }
}

export const commitsTable = (figures: readonly Commits[]): string =>
  figures
    .map(
      ({ store, lanes, perSecond, medianMs, p99Ms, longestMs }) =>
        `${store.padEnd(12)} ${String(lanes).padStart(3)} at once ${perSecond.toFixed(0).padStart(6)} commits/s  p50 ${medianMs.toFixed(2)} ms  p99 ${p99Ms.toFixed(2)} ms  longest ${longestMs.toFixed(0)} ms`,
    )
    .join('\n')
