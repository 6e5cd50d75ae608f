/** What only a database server can do to a conductor: the wrong database, a standby, another conductor, a crash; and
 *  events that are committed in another order than they were begun. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseConfig } from '../../conductor/config.ts'
import { newNode } from '../../conductor/node/record.ts'
import { optionsOf } from '../../conductor/start/open-store.ts'
import { Connections } from '../../conductor/store/postgres/connect.ts'
import { openPostgres, type PostgresStore } from '../../conductor/store/postgres/store.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { Postgres } from './postgres.ts'
import { LIMITS, SEAL } from './store-conformance/bench.ts'

let server: Postgres
const opened: PostgresStore[] = []
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(async () => {
  for (const store of opened) await store.close().catch(() => undefined)
  await server.stop()
})

const open = async (database: string, conductor = 'a', seal = SEAL): Promise<PostgresStore> => {
  const clocks = { clock: systemClock, monotonic: monotonicClock }
  const url = server.urlOf(database)
  const store = await openPostgres({ url, connections: 4 }, { ...clocks, limits: LIMITS, seal, conductor })
  opened.push(store)
  return store
}
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const refusal = (text: string, code = 'store.broken') => ({ code, detail: expect.stringContaining(text) as string })

test('a database of another product, or of another encoding, is refused and left as it is', async () => {
  const foreign = await server.database()
  await server.sql(foreign, 'CREATE TABLE customers (id integer)')
  await expect(open(foreign)).rejects.toMatchObject(refusal('another product'))
  const tables = await server.sql(
    foreign,
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
  )
  expect(tables).toEqual([{ table_name: 'customers' }])

  const ascii = await server.database("ENCODING 'SQL_ASCII' TEMPLATE template0")
  await expect(open(ascii)).rejects.toMatchObject(refusal('UTF8'))
})

test('a statement may have a time of its own, such as a step of the schema', async () => {
  const connections = new Connections({ url: server.urlOf(await server.database()), connections: 1 })
  try {
    const sleep = { text: 'SELECT pg_sleep(8)', timeoutMs: 100 }
    await expect(connections.rows(sleep)).rejects.toMatchObject(refusal('timeout'))
    // On a connection that works.
    expect(await connections.rows({ text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }])
  } finally {
    await connections.close()
  }
})

test('a schema that only newer programs can use is refused; one that was only extended is not', async () => {
  const database = await server.database()
  await (await open(database)).close()
  await server.sql(database, 'UPDATE rackward_schema SET version = 99')
  await (await open(database)).close()
  await server.sql(database, 'UPDATE rackward_schema SET oldest = 99')
  await expect(open(database)).rejects.toMatchObject(refusal('use the newer program'))
})

test('another key is refused, and no secret stands in the database', async () => {
  const database = await server.database()
  const store = await open(database)
  await store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi', driverInfo: { ipmi_password: 'correct horse' } }, 1))
  await store.close()
  const [row] = await server.sql(database, 'SELECT nodes::text AS whole FROM nodes')
  expect(row?.whole).toContain('sealed:v2:')
  expect(row?.whole).not.toContain('correct horse')
  const other = new Seal(Buffer.alloc(32, 2), systemRandom)
  await expect(open(database, 'a', other)).rejects.toMatchObject(refusal('not the key', 'secret.key'))
})

test('who takes the lease over ends what the one before may write and begin', async () => {
  const database = await server.database()
  const first = await open(database, 'a')
  await first.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1))
  const node = await first.node(uuid(1))
  const waiting = open(database, 'b')
  const early = await Promise.race([waiting.then(() => 'open'), systemClock.sleep(1_500).then(() => 'waits')])
  expect(early).toBe('waits')

  // As when the first one was stopped for longer than its lease.
  let taken = false
  void waiting.then(() => (taken = true)).catch(() => undefined)
  const expire = "UPDATE leases SET until = clock_timestamp() - interval '6 s' WHERE owner = 'a'"
  // Again and again, because the first one renews it.
  await until(() => server.sql(database, expire).then(() => taken), { what: 'the second one', timeoutMs: 15_000 })
  const second = await waiting
  await expect(first.putNode({ ...node!, extra: { late: true } })).rejects.toMatchObject({ code: 'store.locked' })
  // At once, and not with the next renewal.
  expect(first.owner.mine({ uuid: uuid(1) })).toBe(false)
  await expect(first.journal.add({ atMs: 1, nodeUuid: null, kind: 'late', detail: {} })).rejects.toMatchObject({
    code: 'store.locked',
  })
  expect(await second.node(uuid(1))).toEqual(node)
  expect(await second.journal.after(0, { kinds: ['late'] }, 10)).toEqual([])
  await expect(first.alive()).rejects.toMatchObject({ code: 'store.locked' })
  expect(await first.writeFailure()).toContain('taken over')

  await second.putNode({ ...node!, extra: { done: true } })
  // Given back, it is free at once.
  await second.close()
  const third = await open(database, 'c')
  expect((await third.node(uuid(1)))?.extra).toEqual({ done: true })

  // One that writes nothing learns it from the renewal.
  await server.sql(database, 'UPDATE leases SET token = token + 1')
  await until(() => !third.owner.mine({ uuid: uuid(1) }), { what: 'the third one to see it', timeoutMs: 20_000 })
})

test('a reader that follows misses no event, in whatever order they are committed', async () => {
  const database = await server.database()
  const store = await open(database)
  const write = async (by: number): Promise<void> => {
    const client = new pg.Client({ connectionString: server.urlOf(database) })
    await client.connect()
    for (let n = 0; n < 25; n += 1) {
      await client.query('BEGIN')
      await client.query("INSERT INTO events (at, kind, detail) VALUES (1, 'many', $1)", [JSON.stringify({ by, n })])
      // Those who began later commit earlier.
      await systemClock.sleep(systemRandom.bytes(1)[0]! % 10)
      await client.query('COMMIT')
    }
    await client.end()
  }
  const writers = Array.from({ length: 8 }, (_, by) => write(by))
  const seen: string[] = []
  let at = 0
  const follow = async (): Promise<true | undefined> => {
    // As another conductor does after its own commits.
    await server.sql(database, 'SELECT number_events(7)')
    const { events, upToSeq } = await store.journal.scan(at, { kinds: ['many'] }, 50)
    seen.push(...events.map(({ detail }) => `${String(detail.by)} ${String(detail.n)}`))
    at = upToSeq
    return seen.length >= 200 ? true : undefined
  }
  await until(follow, { what: 'all events', timeoutMs: 30_000, everyMs: 1 })
  await Promise.all(writers)
  expect(new Set(seen).size).toBe(200)
  expect(seen).toHaveLength(200)
})

test('a server that crashes is missed while it is away, and used when it is back; a standby is refused', async () => {
  const database = await server.database()
  const store = await open(database)
  const heard: number[] = []
  store.journal.watch((upToSeq) => heard.push(upToSeq))
  await store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1))
  await server.kill()
  await expect(store.node(uuid(1))).rejects.toMatchObject({ code: 'store.broken' })
  expect(await store.writeFailure()).toBeDefined()
  expect(await store.alive()).toBe(true)

  await server.run()
  await until(() => store.node(uuid(1)).catch(() => undefined), { what: 'an answer', timeoutMs: 20_000 })
  await server.sql(database, "INSERT INTO events (at, kind, detail) VALUES (1, 'other', '{}')")
  const last = async () => heard.at(-1) === (await store.journal.lastSeq())
  await until(last, { what: 'the doorbell', timeoutMs: 20_000 })
  expect(await store.writeFailure()).toBeUndefined()
  await store.close()

  await server.kill()
  await writeFile(join(server.dir, 'data/standby.signal'), '')
  await server.run()
  await expect(open(database)).rejects.toMatchObject(refusal('standby'))
})

test('a password stands in a file of its own, which others cannot read', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-pg-config-'))
  const config = (postgres: unknown) =>
    parseConfig(
      JSON.stringify({ data: dir, images: { store: dir }, api: { auth: { strategy: 'noauth' } }, store: { postgres } }),
      'test',
    )
  for (const url of [
    'postgresql://a:secret@db/x',
    'postgresql://db/x?password=secret',
    'mysql://db/x',
    'postgresql://db',
    'postgresql://db/x?sslmode=disable',
  ])
    expect(() => config({ url })).toThrow(/store/)
  expect(() => config({ url: 'postgresql://a:secret@db/x' })).not.toThrow(/secret/)

  const passwordFile = join(dir, 'password')
  await writeFile(passwordFile, 'correct horse\n', { mode: 0o600 })
  const { store } = config({ url: 'postgresql://a@db/x', passwordFile })
  if (store === 'sqlite') throw new Error('it is PostgreSQL')
  expect(await optionsOf(store.postgres)).toMatchObject({ password: 'correct horse', tls: {} })
  await chmod(passwordFile, 0o644)
  await expect(optionsOf(store.postgres)).rejects.toMatchObject({ code: 'config.invalid' })
  await rm(dir, { recursive: true })
})
