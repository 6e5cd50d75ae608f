/** 2,400 stops of processes that act on BMCs, each followed by a take-over: no stale command reaches a BMC. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Postgres } from '../conductor/postgres.ts'
import { staleActs } from '../conductor/rmcp/stale-rig.ts'

const STOPS = 2_400
/** Beside each other, each with a database of its own: most of their time is waiting. */
const RIGS = 4
const TIMEOUT_MS = 90 * 60_000
let postgres: Postgres
beforeAll(async () => {
  postgres = await Postgres.start({ max_connections: '100' })
}, 60_000)
afterAll(() => postgres.stop())

test(
  `none of ${STOPS} stops lets a stale command through`,
  async () => {
    const rigs = Array.from({ length: RIGS }, () => staleActs(postgres, { stops: STOPS / RIGS, guard: 'each' }))
    const ends = await Promise.all(rigs)
    const sum = (of: 'acts' | 'stale' | 'ended') => ends.reduce((so, end) => so + end[of], 0)
    const [acts, stale, ended] = [sum('acts'), sum('stale'), sum('ended')]
    process.stderr.write(`${STOPS} stops, ${acts} changes in time, ${stale} stale, ${ended} sessions ended\n`)
    expect(acts).toBeGreaterThan(STOPS)
    expect(stale).toBe(0)
  },
  TIMEOUT_MS,
)
