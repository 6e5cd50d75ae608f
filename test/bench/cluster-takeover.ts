/** Three conductors on one PostgreSQL, and one that is killed (kill -9) again and again: how long until each of its
 *  slots has another owner, as the database has it. Many kills are spread over clusters beside each other. */
import { systemClock, until } from '../../kit/clock.ts'
import { Cluster } from '../cluster/rig.ts'
import { Postgres } from '../conductor/postgres.ts'
import type { Victim } from '../security/victim.ts'

export interface Takeover {
  readonly kills: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly longestMs: number
}

const NAMES = ['one', 'two', 'three']
const SLOTS_MS = 60_000
const LOOK_MS = 50

/** Of three conductors each: most of the time of a kill is waiting. */
const CLUSTERS = 4
const EACH_AT_LEAST = 10

export async function benchTakeover(kills: number, say: (line: string) => void): Promise<Takeover> {
  const clusters = Math.max(1, Math.min(CLUSTERS, Math.floor(kills / EACH_AT_LEAST)))
  const server = await Postgres.start({ max_connections: '200' })
  const times: number[] = []
  const onKill = (ms: number) => {
    times.push(ms)
    if (times.length % 10 === 0) say(`take-over: ${times.length} of ${kills} kills`)
  }
  try {
    const shares = Array.from({ length: clusters }, (_, n) => Math.floor((kills + n) / clusters))
    await Promise.all(shares.map((share) => killIn(server, share, onKill)))
    const sorted = times.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
    return { kills, medianMs: at(0.5), p99Ms: at(0.99), longestMs: sorted.at(-1) as number }
  } finally {
    await server.stop()
  }
}

async function killIn(server: Postgres, kills: number, onKill: (ms: number) => void): Promise<void> {
  const cluster = await Cluster.make(server)
  try {
    const conductors = new Map<string, Victim>()
    for (const name of NAMES) conductors.set(name, await cluster.start(name))
    for (let n = 0; n < kills; n += 1) {
      await balanced(cluster)
      const name = NAMES[n % NAMES.length] as string
      onKill(await kill(cluster, conductors.get(name) as Victim, name))
      await conductors.get(name)?.restart()
    }
  } finally {
    await cluster.stop()
  }
}

/** Each has some. */
const balanced = (cluster: Cluster): Promise<unknown> =>
  until(async () => new Set(await owners(cluster)).size === NAMES.length, {
    what: 'slots of every conductor',
    timeoutMs: SLOTS_MS,
    everyMs: LOOK_MS,
  })

async function kill(cluster: Cluster, victim: Victim, name: string): Promise<number> {
  const total = (await owners(cluster)).length
  const startMs = systemClock.now()
  await victim.end('SIGKILL')
  const isTaken = async () => {
    const all = await owners(cluster)
    return all.length >= total && all.every((owner) => !owner.startsWith(name))
  }
  await until(isTaken, { what: `another owner of the slots of ${name}`, timeoutMs: SLOTS_MS, everyMs: LOOK_MS })
  return systemClock.now() - startMs
}

/** Of the slots that somebody leases now. */
async function owners(cluster: Cluster): Promise<string[]> {
  const rows = await cluster.sql('SELECT owner FROM slots WHERE until > clock_timestamp()')
  return rows.map(({ owner }) => String(owner))
}

export const takeoverTable = ({ kills, medianMs, p99Ms, longestMs }: Takeover): string =>
  `${kills} kills: every slot had another owner after ${seconds(medianMs)} (median), ${seconds(p99Ms)} (p99), ${seconds(longestMs)} (longest)`
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
