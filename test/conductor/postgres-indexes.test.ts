/** Statements of PostgreSQL that must not read a whole table, and what its full disk looks like from here. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newNode } from '../../conductor/node/record.ts'
import { notReadyReasons } from '../../conductor/metrics.ts'
import { numbered } from '../../conductor/store/postgres/listing.ts'
import { openPostgres } from '../../conductor/store/postgres/store.ts'
import { nodeWheres } from '../../conductor/store/postgres/wheres.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { Postgres } from './postgres.ts'
import { LIMITS, PAGE, SEAL, uuid, uuids } from './store-conformance/bench.ts'

let server: Postgres
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())

const open = (database: string) =>
  openPostgres(
    { url: server.urlOf(database), connections: 4 },
    { clock: systemClock, monotonic: monotonicClock, limits: LIMITS, seal: SEAL, conductor: 'a' },
  )

test('nodes of a VIF are found by an index, whatever the VIF is called', async () => {
  const database = await server.database()
  const store = await open(database)
  const names = ['v', '"', '\\', 'é', "'; --", '?']
  for (const [n, name] of names.entries())
    await store.addNode({
      ...newNode({ uuid: uuid(n), driver: 'ipmi' }, n),
      vifs: { [name]: {} as never, other: {} as never },
    })
  for (const [n, name] of names.entries()) expect(uuids(await store.nodes({ vif: name }, PAGE))).toEqual([uuid(n)])
  expect(uuids(await store.nodes({ vif: 'other' }, PAGE))).toHaveLength(names.length)
  expect(await store.nodes({ vif: 'oth' }, PAGE)).toEqual([])
  const bad = { ...newNode({ uuid: uuid(99), driver: 'ipmi' }, 1), vifs: { 'a\0': {} as never } }
  await expect(store.addNode(bad)).rejects.toMatchObject({ code: 'input.invalid' })

  await server.sql(
    database,
    `INSERT INTO nodes (uuid, version, provision_state, maintenance, driver, created_at, owner_raw, lessee_raw, sealed, body, vifs)
     SELECT 'x' || i, 0, 'active', 0, 'ipmi', 0, 0, 0, '{}', '{}', '["vif' || i || '"]' FROM generate_series(1, 5000) AS i`,
  )
  await server.sql(database, 'ANALYZE')
  const { text, values } = numbered(nodeWheres({ vif: 'vif77' }))
  const plan = await server.sql(database, `EXPLAIN SELECT id FROM nodes ${text} ORDER BY id LIMIT 100`, values)
  expect(JSON.stringify(plan)).toContain('nodes_by_vif')
  await store.close()
})

test('a full disk of the server is named, nothing hangs, and it ends with the shortage', async () => {
  const disk = await server.folder('small')
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'rackward-test', disk])
  try {
    const space = await server.folder('small/space')
    await server.sql('postgres', `CREATE TABLESPACE small LOCATION '${space}'`)
    const database = await server.database('TABLESPACE small')
    const store = await open(database)
    await store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1))
    const fill = async (): Promise<unknown> => {
      for (let n = 0; n < 1_000; n += 1) {
        const detail = { noise: randomBytes(200_000).toString('base64') }
        const failed = await store.journal
          .add({ atMs: 1, nodeUuid: null, kind: 'x', detail })
          .catch((error: unknown) => error)
        if (failed) return failed
      }
      return undefined
    }
    expect(await fill()).toMatchObject({
      code: 'store.broken',
      message: expect.stringContaining('the disk of the database server is full') as string,
    })
    expect((await notReadyReasons(store, () => false)).join()).toContain('the disk of the database server is full')
    expect((await store.node(uuid(1)))?.uuid).toBe(uuid(1))

    execFileSync('mount', ['-o', 'remount,size=64m', disk])
    await store.journal.add({ atMs: 1, nodeUuid: null, kind: 'after', detail: {} })
    expect(await notReadyReasons(store, () => false)).toEqual([])
    await store.close()
  } finally {
    await server.kill()
    execFileSync('umount', [disk])
  }
})
