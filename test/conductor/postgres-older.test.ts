/** A database that is replaced by an older one under a running conductor: it is noticed before anything is written to
 *  it, readers of events go on, and nothing else is taken for it. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { EventHub } from '../../conductor/events/hub.ts'
import type { NewEvent } from '../../conductor/store/port.ts'
import { openPostgres, type PostgresStore } from '../../conductor/store/postgres/store.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { Postgres } from './postgres.ts'
import { LIMITS, SEAL } from './store-conformance/bench.ts'

const WAIT = { timeoutMs: 60_000, everyMs: 20 }

let server: Postgres
let opened: PostgresStore[] = []
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())
afterEach(async () => {
  for (const store of opened) await store.close().catch(() => undefined)
  opened = []
})

async function open(database: string, hostname?: string): Promise<PostgresStore> {
  const clocks = { clock: systemClock, monotonic: monotonicClock }
  const shared = hostname === undefined ? undefined : { hostname, group: '' }
  const options = { url: server.urlOf(database), connections: 4 }
  const store = await openPostgres(options, {
    ...clocks,
    limits: LIMITS,
    seal: SEAL,
    conductor: hostname ?? 'a',
    shared,
  })
  opened.push(store)
  return store
}
const event = (n: number): NewEvent => ({ atMs: n, nodeUuid: null, kind: 'room', detail: { n } })

/** Until the server takes it. */
const add = (store: PostgresStore, n: number) =>
  until(
    () =>
      store.journal.add(event(n)).then(
        () => true,
        (error: unknown) => (isFault(error) ? false : Promise.reject(error)),
      ),
    { ...WAIT, what: `event ${n}` },
  )

test.each([undefined, 'several'])('an older database is noticed before it is written to (%s)', async (hostname) => {
  const database = await server.database()
  const store = await open(database, hostname)
  const older: { seq: number; seen: number }[] = []
  const stop = store.journal.watch(
    () => undefined,
    (at) => older.push(at),
  )
  const hub = new EventHub({ journal: store.journal, log: silentLog, batch: 100 })
  await hub.start()
  const heard: number[] = []
  hub.follow(({ events }) => heard.push(...events.map(({ detail }) => Number((detail as { n: number }).n))))
  for (let n = 1; n <= 5; n += 1) await add(store, n)
  const dumped = await store.journal.lastSeq()
  const dump = await server.dump(database)
  // A single event more than the dump has.
  await add(store, 6)
  const seen = await store.journal.lastSeq()
  await until(() => heard.length === 6, { ...WAIT, what: 'all events' })

  await server.replace(database, dump)
  await add(store, 7)
  expect(older).toEqual([{ seq: dumped, seen }])
  // Its number is that of the one that was lost.
  expect(await store.journal.one(seen)).toMatchObject({ detail: { n: 7 } })
  await until(() => heard.length === 7, { ...WAIT, what: 'the event of the older database' })
  expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7])
  await hub.stop()
  stop()
})

test('connections that end, and others that write, are no sign of an older database', async () => {
  const database = await server.database()
  const [one, other] = [await open(database, 'one'), await open(database, 'other')]
  const older: unknown[] = []
  for (const store of [one, other])
    store.journal.watch(
      () => undefined,
      (at) => older.push(at),
    )
  for (let round = 0; round < 15; round += 1) {
    await Promise.all([one, other].flatMap((store) => [1, 2, 3].map((n) => add(store, round * 10 + n))))
    await server.sql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [
      database,
    ])
  }
  await add(one, 999)
  expect(older).toEqual([])
})
