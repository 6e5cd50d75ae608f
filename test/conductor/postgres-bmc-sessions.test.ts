/** What the database keeps of sessions with BMCs: for whoever takes a slot, and of nobody who has it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Connections } from '../../conductor/store/postgres/connect.ts'
import { Members } from '../../conductor/store/postgres/members.ts'
import { openPostgres } from '../../conductor/store/postgres/store.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { Postgres } from './postgres.ts'
import { LIMITS, SEAL } from './store-conformance/bench.ts'

let server: Postgres
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())

const session = { place: 'redfish:https://192.0.2.1', name: '/redfish/v1/SessionService/Sessions/7', lastsMs: 60_000 }

test('a session belongs to whoever used it last: one who had its name, or its node, before neither ends nor forgets it', async () => {
  const database = await server.database()
  const parts = { clock: systemClock, monotonic: monotonicClock, limits: LIMITS, seal: SEAL }
  const store = await openPostgres({ url: server.urlOf(database), connections: 2 }, { ...parts, conductor: 'setup' })
  await store.close()
  await server.sql(database, "UPDATE leases SET until = '-infinity'")
  const connections = new Connections({ url: server.urlOf(database), connections: 2 })
  try {
    const members = new Members(connections)
    expect(await members.share()).toBe(true)
    await members.addSlots('', 1)
    await members.addSlots('other', 1)
    const take = async (owner: string, group: string) => {
      const [slot] = await members.take(owner, group, [0])
      if (!slot) throw new Error('the slot is not free')
      return slot
    }
    const first = await take('a', '')
    expect(await members.isHeldFor(first, 'node', session)).toBe(true)
    await members.give('a', [first])
    const second = await take('b', '')
    const found = await members.formerSessions([second])
    expect(found).toMatchObject([{ node: 'node', name: session.name, token: first.token }])
    expect(found[0]?.leftMs).toBeGreaterThan(0)
    expect(found[0]?.leftMs).toBeLessThanOrEqual(session.lastsMs)

    // The BMC gave the name to b now; what was known of a's is forgotten late.
    expect(await members.isHeldFor(second, 'node', session)).toBe(true)
    for (const one of found) await members.forgetSession(one)
    expect(await server.sql(database, 'SELECT token::int FROM bmc_sessions')).toEqual([{ token: second.token }])

    // The node moves to another group: its old slot has nothing to do with the session any more.
    const elsewhere = await take('c', 'other')
    expect(await members.isHeldFor(elsewhere, 'node', session)).toBe(true)
    await members.give('b', [second])
    expect(await members.formerSessions([await take('d', '')])).toEqual([])

    // What is over goes with the next session of the node.
    await server.sql(database, "UPDATE bmc_sessions SET until = clock_timestamp() - interval '1 s'")
    expect(await members.isHeldFor(elsewhere, 'node', { ...session, name: '/8' })).toBe(true)
    expect(await server.sql(database, 'SELECT name FROM bmc_sessions')).toEqual([{ name: '/8' }])
  } finally {
    await connections.close()
  }
}, 60_000)
