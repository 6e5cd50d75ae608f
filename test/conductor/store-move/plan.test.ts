/** Every table and column of both schemas is moved, or known to be one store's own: one that is added cannot be
 *  forgotten. */
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SqliteSide } from '../../../conductor/store/move/sqlite-side.ts'
import { PostgresSide } from '../../../conductor/store/move/postgres-side.ts'
import { planMove, type StoreSchema } from '../../../conductor/store/move/plan.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { Postgres } from '../postgres.ts'
import { SEAL } from '../store-conformance/bench.ts'
import { MoveBench } from './bench.ts'

let server: Postgres
let bench: MoveBench
beforeAll(async () => {
  server = await Postgres.start()
  bench = await MoveBench.make(server)
}, 60_000)
afterAll(async () => {
  await bench.close()
  await server.stop()
})

async function schemas(): Promise<[sqlite: StoreSchema, postgres: StoreSchema]> {
  await bench.sqlite(async () => undefined)
  const sqlite = new SqliteSide(bench.file, SEAL)
  const clocks = { clock: systemClock, monotonic: monotonicClock }
  const url = server.urlOf(bench.database)
  const postgres = await PostgresSide.open({ url, connections: 2 }, { seal: SEAL, ...clocks, owner: 'a' })
  const both: [StoreSchema, StoreSchema] = [await sqlite.schema(), await postgres.schema()]
  await sqlite.close()
  await postgres.close()
  return both
}

test('the two schemas have a plan, in which what is referred to comes first', async () => {
  const names = planMove(...(await schemas())).map(({ name }) => name)
  expect(names.toSorted()).toEqual(
    'conductors config_drives cursors durations events hardware_documents inventories meta nodes objects port_sightings ports'.split(
      ' ',
    ),
  )
  expect(names.indexOf('nodes')).toBeLessThan(names.indexOf('ports'))
  expect(names.indexOf('ports')).toBeLessThan(names.indexOf('port_sightings'))
})

test('a table or a column that is added to one schema stops a move; one that is added to both is moved', async () => {
  const unknown = (name: string) => new RegExp(`${name} is in one of the two stores alone`)
  const alter = (text: string) => {
    const db = new Database(bench.file)
    db.exec(text)
    db.close()
  }
  alter('CREATE TABLE racks (name TEXT PRIMARY KEY) STRICT')
  await expect(schemas().then((both) => planMove(...both))).rejects.toThrow(unknown('racks'))
  await server.sql(bench.database, 'CREATE TABLE racks (name text PRIMARY KEY)')
  alter('ALTER TABLE ports ADD COLUMN rack TEXT')
  await expect(schemas().then((both) => planMove(...both))).rejects.toThrow(unknown('ports.rack'))
  await server.sql(bench.database, 'ALTER TABLE ports ADD COLUMN rack text')
  const plan = planMove(...(await schemas()))
  expect(plan.find(({ name }) => name === 'racks')).toMatchObject({ columns: ['name'], key: ['name'] })
  expect(plan.find(({ name }) => name === 'ports')?.columns).toContain('rack')
  await server.sql(bench.database, 'ALTER TABLE nodes ADD COLUMN shelf integer')
  await expect(schemas().then((both) => planMove(...both))).rejects.toThrow(unknown('nodes.shelf'))
})
