/** A conductor that stands still in the middle of an act and goes on when others have its nodes: none of its commands
 *  reaches a BMC. With a real PostgreSQL, a process that is really stopped, and BMCs over UDP. All 2,400 stops are in
 *  test/cluster. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Postgres } from '../postgres.ts'
import { staleActs } from './stale-rig.ts'

const STOPS = 10
/** Most of them fall between the look at the lease and the command in one of eight lanes. */
const COUNTERCHECK = 4
let postgres: Postgres
beforeAll(async () => {
  postgres = await Postgres.start()
}, 60_000)
afterAll(() => postgres.stop())

test.concurrent(
  'the lease is asked for before each datagram: no stop lets a stale command through',
  async () => {
    const { acts, stale, ended } = await staleActs(postgres, { stops: STOPS, guard: 'each' })
    expect(acts).toBeGreaterThan(STOPS)
    // Some of the many lanes stood in the middle of a session that the database knew of.
    expect(ended).toBeGreaterThan(0)
    expect(stale).toBe(0)
  },
  180_000,
)

test.concurrent(
  'asked once when an act begins, some stops do: the measurement would see them',
  async () => {
    expect((await staleActs(postgres, { stops: COUNTERCHECK, guard: 'start' })).stale).toBeGreaterThan(0)
  },
  180_000,
)
