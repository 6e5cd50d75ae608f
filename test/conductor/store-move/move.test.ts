/** Records that are moved between SQLite and PostgreSQL: whatever they are, they come back as they were; and neither
 *  store is used by mistake. */
import { renameSync } from 'node:fs'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { newNode } from '../../../conductor/node/record.ts'
import { MIGRATIONS } from '../../../conductor/store/migrations.ts'
import { FENCE } from '../../../conductor/store/move/mark.ts'
import type { MoveSide } from '../../../conductor/store/move/side.ts'
import { openPostgres } from '../../../conductor/store/postgres/store.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { Postgres } from '../postgres.ts'
import { LIMITS, SEAL, uuid } from '../store-conformance/bench.ts'
import { MoveBench } from './bench.ts'
import { act, actsOf } from './random-store.ts'

let server: Postgres
let bench: MoveBench
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())
beforeEach(async () => {
  bench = await MoveBench.make(server)
})
afterEach(() => bench.close())

const node = (n: number, more = {}) => ({ ...newNode({ uuid: uuid(n), driver: 'ipmi' }, n), ...more })
const refused = (text: string) => ({ code: 'store.migrated', message: expect.stringContaining(text) as string })

/** What is kept for speed, and not as a record. */
function records(dump: Record<string, unknown[]>): Record<string, unknown[]> {
  const { node_counts: counts, sqlite_sequence: sequence, ...rest } = dump
  const of = (rows: unknown[] = [], zero: string) => rows.filter((row) => !String(row).includes(zero))
  return { ...rest, node_counts: of(counts, '"nodes":0}'), sqlite_sequence: of(sequence, '"seq":0}') }
}

test('whatever a store holds comes back from PostgreSQL as it was', async () => {
  const there = async (acts: Parameters<typeof act>[1][]) => {
    const one = await MoveBench.make(server)
    try {
      await one.sqlite(async (store) => {
        for (const each of acts) await act(store, each)
      })
      const before = records(one.dump())
      await one.move('sqlite')
      renameSync(one.file, `${one.file}.old`)
      await one.move('postgres')
      expect(records(one.dump())).toEqual(before)
    } finally {
      await one.close()
    }
  }
  await fc.assert(fc.asyncProperty(actsOf(fc), there), { numRuns: 3 })
})

test('a conductor goes on in PostgreSQL where it was: numbers, owners, secrets, shared BMCs, pending effects', async () => {
  const shared = { driverInfo: { ipmi_address: '192.0.2.9', ipmi_password: 'correct horse' } }
  await bench.sqlite(async (store) => {
    await store.addNode(node(1, { ...shared, owner: 'a' }))
    await store.addNode(node(2))
    await store.removeNode(uuid(2))
    const one = (await store.node(uuid(1)))!
    const workflow = { ...one.workflow, pendingEffects: [{ do: 'publish' as const }], deadlineMs: 5 }
    await store.putNode({ ...one, owner: 'b', workflow }, [{ atMs: 1, nodeUuid: uuid(1), kind: 'of b', detail: {} }])
  })
  // As before it was checked.
  const db = new Database(bench.file)
  db.exec(`INSERT INTO nodes (uuid, provision_state, maintenance, driver, version, created_at, sealed, bmc, body)
    SELECT '${uuid(3)}', provision_state, maintenance, driver, version, created_at, '{}', bmc, replace(body, '${uuid(1)}', '${uuid(3)}')
    FROM nodes`)
  const ids = db.prepare('SELECT id FROM nodes ORDER BY id').pluck().all()
  db.close()
  const report = await bench.move('sqlite')
  expect(report.tables.find(({ name }) => name === 'nodes')).toMatchObject({ rows: 2 })
  expect(bench.lines).toContain('nodes: 2 of 2')
  await bench.postgres(async (store) => {
    expect((await store.node(uuid(1)))?.driverInfo).toEqual(shared.driverInfo)
    const kinds = async (project: string) => (await store.journal.after(0, { project }, 10)).map(({ kind }) => kind)
    expect(await kinds('a')).toEqual([])
    expect(await kinds('b')).toEqual(['of b'])
    const last = await store.journal.lastSeq()
    await store.addNode(node(4))
    expect((await store.journal.after(last, {}, 10)).map(({ seq }) => seq)).toEqual([last + 1])
    await store.putNode((await store.node(uuid(3)))!)
    await expect(store.addNode(node(5, shared))).rejects.toMatchObject({ code: 'object.conflict' })
    expect((await store.dueNodes(9, { limit: 9 })).map((due) => due.uuid)).toContain(uuid(1))
  })
  const rows = await server.sql(bench.database, 'SELECT id::int, uuid, due_at::int FROM nodes ORDER BY id')
  expect(rows.map(({ id }) => id).slice(0, 2)).toEqual(ids)
  expect(rows[0]).toMatchObject({ due_at: 0 })
  expect(Number(rows[2]?.id)).toBeGreaterThan(Math.max(...(ids as number[])))
})

test('the source refuses a conductor afterwards, of this program and of an older one, and can be moved only once', async () => {
  await bench.sqlite((store) => store.addNode(node(1)))
  await bench.move('sqlite')
  await expect(bench.sqlite(async () => 0)).rejects.toMatchObject(refused('were moved to PostgreSQL, postgresql://'))
  const db = new Database(bench.file, { readonly: true })
  expect(db.pragma('user_version', { simple: true })).toBe(FENCE + MIGRATIONS.length)
  db.close()
  await bench.postgres((store) => store.addNode(node(2)))
  // Again: nothing is copied over what was done since.
  expect(await bench.move('sqlite')).toEqual({ isNew: false, tables: [] })
  await bench.postgres(async (store) => expect((await store.everyNode()).length).toBe(2))

  await expect(bench.move('postgres')).rejects.toMatchObject(refused('rename it'))
  renameSync(bench.file, `${bench.file}.old`)
  await bench.move('postgres')
  await expect(bench.postgres(async () => 0)).rejects.toMatchObject(refused('were moved to SQLite, '))
  expect(await server.sql(bench.database, 'SELECT oldest FROM rackward_schema')).toEqual([{ oldest: FENCE }])
  await bench.sqlite(async (store) => expect((await store.everyNode()).length).toBe(2))
})

test('a destination with records is refused and left as it is; so is a source that a conductor uses', async () => {
  await bench.postgres((store) => store.addNode(node(9)))
  await bench.sqlite((store) => store.addNode(node(1)))
  await expect(bench.move('sqlite')).rejects.toMatchObject(refused('holds records already ('))
  await bench.sqlite((store) => store.addNode(node(2)))
  await bench.postgres(async (store) => expect((await store.everyNode()).length).toBe(1))
  await expect(bench.move('postgres')).rejects.toMatchObject(refused('rackward.db holds records already (nodes'))

  const locked = { code: 'store.locked' }
  await bench.sqlite(() => expect(bench.move('sqlite')).rejects.toMatchObject(locked))
  await bench.postgres(() => expect(bench.move('postgres')).rejects.toMatchObject(locked))
})

test('conductors that share the database are named, and one that died is waited for', async () => {
  const url = server.urlOf(bench.database)
  const open = (name: string) =>
    openPostgres(
      { url, connections: 2 },
      {
        clock: systemClock,
        monotonic: monotonicClock,
        limits: LIMITS,
        seal: SEAL,
        conductor: `id of ${name}`,
        shared: { hostname: name, group: '' },
      },
    )
  const stores = [await open('rack-1'), await open('rack-2')]
  try {
    await stores[0]?.addNode(node(1))
    await expect(bench.move('postgres')).rejects.toMatchObject({
      code: 'store.locked',
      detail: expect.stringContaining('stop all of them first (rack-1, rack-2)') as string,
    })
  } finally {
    for (const store of stores) await store.close()
  }
  // As after kill -9.
  await server.sql(
    bench.database,
    "INSERT INTO members (owner, hostname, grp, until) VALUES ('dead', 'rack-3', '', clock_timestamp() + interval '2 s')",
  )
  expect((await bench.move('postgres')).isNew).toBe(true)
})

test('a configuration that names an empty database beside a file with nodes is refused', async () => {
  await bench.sqlite((store) => store.addNode(node(1)))
  await expect(bench.postgres(async () => 0)).rejects.toMatchObject(refused('were not moved to it'))
  await bench.move('sqlite')
  await bench.postgres(async (store) => expect((await store.everyNode()).length).toBe(1))
})

test('a text that PostgreSQL cannot store is named, and the source can be used as before', async () => {
  await bench.sqlite((store) => store.addNode(node(1, { description: 'a\0b' })))
  await expect(bench.move('sqlite')).rejects.toMatchObject({
    code: 'input.invalid',
    message: expect.stringContaining('nodes 1: description') as string,
  })
  await expect(bench.postgres(async () => 0)).rejects.toMatchObject(refused('not all of them have arrived'))
  await bench.sqlite(async (store) => store.putNode({ ...(await store.node(uuid(1)))!, description: 'ab' }))
  await bench.move('sqlite')
  await bench.postgres(async (store) => expect((await store.node(uuid(1)))?.description).toBe('ab'))
})

test('what arrives otherwise than it left is not cut over', async () => {
  await bench.sqlite((store) => store.addNode(node(1)))
  const forge = bench.move('sqlite', (side) =>
    side.name.startsWith('SQLite')
      ? side
      : new Proxy(side, {
          get: (target, name: keyof typeof side) =>
            name === 'write'
              ? (table: never, rows: { kind?: string }[]) =>
                  target.write(table, rows.map((row) => ('kind' in row ? { ...row, kind: 'forged' } : row)) as never)
              : ((target[name] as { bind?: (to: unknown) => unknown })?.bind?.(target) ?? target[name]),
        }),
  )
  await expect(forge).rejects.toMatchObject({ code: 'store.damaged' })
  await bench.sqlite(async (store) => expect((await store.everyNode()).length).toBe(1))
})

test('a conductor that stood still cannot write into PostgreSQL while its records are moved, nor afterwards', async () => {
  await bench.postgres((store) => store.addNode(node(1)))
  // It shares the nodes, and proves nothing with a change that a client asked for.
  const late = () => server.sql(bench.database, "SET lock_timeout = 200; UPDATE nodes SET description = 'late'")
  const tried: unknown[] = []
  const trying = (side: MoveSide): MoveSide =>
    new Proxy(side, {
      get(target, name: keyof MoveSide) {
        const own = target[name] as { bind?: (to: unknown) => unknown }
        if (name !== 'write' || !target.name.startsWith('SQLite')) return own?.bind?.(target) ?? own
        return async (...args: Parameters<MoveSide['write']>) => {
          await late().catch((error: { code?: string }) => tried.push(error.code))
          if (tried.length === 3) throw new Error('it dies')
          return target.write(...args)
        }
      },
    })
  await expect(bench.move('postgres', trying)).rejects.toThrow('it dies')
  expect(tried).toEqual(['55P03', '55P03', '55P03'])
  await late()
  await bench.move('postgres')
  await expect(late()).rejects.toMatchObject({ code: 'RW002' })
  const lease = server.sql(bench.database, "UPDATE leases SET owner = 'late'")
  await expect(lease).rejects.toMatchObject({ code: 'RW002' })
  await bench.sqlite(async (store) => expect((await store.everyNode()).length).toBe(1))
  await expect(bench.move('sqlite')).rejects.toMatchObject(refused('the destination still holds records'))
})
