/** Lists in pages: the same sequence as the whole table sorted, whatever is sorted by and filtered; and each statement
 *  reads along an index. */
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Damage } from '../../conductor/store/damage.ts'
import { Drives } from '../../conductor/store/drives.ts'
import { SqliteFile } from '../../conductor/store/file.ts'
import { NODE_SORTS } from '../../conductor/store/node-rows.ts'
import { NodeTable } from '../../conductor/store/nodes.ts'
import { PORT_SORTS } from '../../conductor/store/port-rows.ts'
import type { NodeFilter, ObjectRecord, Page } from '../../conductor/store/port.ts'
import { PortTable } from '../../conductor/store/ports.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { objectTable } from '../../conductor/store/tables.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { fill, SEED, uuid } from './random-records.ts'

const OBJECT_SORTS =
  'id uuid name node_uuid created_at updated_at address state resource_class boot_index priority public description'.split(
    ' ',
  )

let dir = ''
let file: SqliteFile
let db: Database.Database
let nodes: NodeTable
let ports: PortTable
let objects: ReturnType<typeof objectTable>
/** Texts of the statements that were run. */
let texts: string[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-lists-'))
  file = new SqliteFile(join(dir, 'r.db'), { clock: systemClock, limits: { durations: 10, durationsInAll: 10 } })
  const { sql } = file
  file.sql = (text) => {
    texts.push(text)
    return sql(text)
  }
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  const damage = new Damage()
  nodes = new NodeTable({ file, seal, damage, drives: new Drives(file, seal) })
  ports = new PortTable(file, damage)
  objects = objectTable(file, damage, seal)

  db = new Database(join(dir, 'r.db'))
  db.pragma('foreign_keys = OFF')
  fill(db, seal)
})
afterAll(async () => {
  db.close()
  file.close()
  await rm(dir, { recursive: true })
})

/** Nothing before numbers before texts by their bytes; then by age. */
function before(a: { v: unknown; id: number }, b: { v: unknown; id: number }): number {
  const rank = (v: unknown) => (v === null ? 0 : typeof v === 'number' ? 1 : 2)
  if (rank(a.v) !== rank(b.v)) return rank(a.v) - rank(b.v)
  if (typeof a.v === 'number' && a.v !== b.v) return a.v - (b.v as number)
  if (typeof a.v === 'string' && a.v !== b.v) return Buffer.compare(Buffer.from(a.v), Buffer.from(String(b.v)))
  return a.id - b.id
}

/** The whole table sorted in this process. */
function sorted(from: string, key: string, descending: boolean): string[] {
  const known = db.prepare<[], { id: number; uuid: string; v: unknown }>(`SELECT id, uuid, ${key} AS v FROM ${from}`)
  const rows = known.all().sort(before)
  return (descending ? rows.reverse() : rows).map((row) => row.uuid)
}

async function paged(fetch: (page: Page) => Promise<{ uuid: string }[]>, order: Omit<Page, 'marker'>) {
  const all: string[] = []
  for (;;) {
    const marker = all.at(-1)
    const rows = await fetch({ ...order, ...(marker === undefined ? {} : { marker }) })
    all.push(...rows.map((row) => row.uuid))
    if (rows.length < order.limit) return all
  }
}

const FILTERS: readonly (readonly [NodeFilter, string])[] = [
  [{ includeChildren: true }, '1'],
  [{}, 'parent_node IS NULL'],
  [{ owner: 'common' }, "parent_node IS NULL AND owner = 'common'"],
  [{ project: 'common', includeChildren: true }, "owner = 'common' OR lessee = 'common'"],
  [{ owner: 'rare', maintenance: false }, "parent_node IS NULL AND owner = 'rare' AND maintenance = 0"],
  [{ provisionState: 'available', includeChildren: true }, "provision_state = 'available'"],
  [
    { shard: ['a', 'b', '9'], associated: true },
    "parent_node IS NULL AND shard IN ('a','b','9') AND instance_uuid > ''",
  ],
]
const orders = (keys: readonly string[]) =>
  fc.record({
    sortKey: fc.constantFrom(...keys),
    descending: fc.boolean(),
    limit: fc.constantFrom(1, 2, 7, 100, 350, 1_000),
  })

describe('pages are the whole sorted list', () => {
  test('of nodes, whatever they are sorted by and filtered', async () => {
    const limited = (limit: number) => (limit < 7 ? 50 : limit)
    await fc.assert(
      fc.asyncProperty(orders(Object.keys(NODE_SORTS)), fc.constantFrom(...FILTERS), async (order, [filter, where]) => {
        const limit = limited(order.limit)
        const got = await paged(async (page) => nodes.list(filter, page), { ...order, limit })
        expect(got, `SEED=${SEED}`).toEqual(sorted(`nodes WHERE ${where}`, order.sortKey, order.descending))
      }),
      { numRuns: 60 },
    )
  })

  test('of nodes one by one: each marker, with a value and without', async () => {
    for (const sortKey of ['shard', 'updated_at'])
      for (const descending of [false, true]) {
        const got = await paged(async (page) => nodes.list({}, page), { sortKey, descending, limit: 1 })
        expect(got, `SEED=${SEED}`).toEqual(sorted('nodes WHERE parent_node IS NULL', sortKey, descending))
      }
  })

  test('of ports', async () => {
    const few = "('a', 'b')"
    await fc.assert(
      fc.asyncProperty(orders(Object.keys(PORT_SORTS)), fc.boolean(), async (order, sharded) => {
        const limit = Math.max(order.limit, 7)
        const filter = sharded ? { shard: ['a', 'b'] } : {}
        const where = sharded ? `node_uuid IN (SELECT uuid FROM nodes WHERE shard IN ${few})` : '1'
        const got = await paged(async (page) => ports.list(filter, page), { ...order, limit })
        expect(got, `SEED=${SEED}`).toEqual(sorted(`ports WHERE ${where}`, order.sortKey, order.descending))
      }),
      { numRuns: 15 },
    )
  })

  test('of objects, by columns and by what their bodies hold, of any type', async () => {
    await fc.assert(
      fc.asyncProperty(orders(OBJECT_SORTS), async (order) => {
        const limit = Math.max(order.limit, 7)
        const got = await paged((page) => objects.list('allocation', {}, page), { ...order, limit })
        const column = db.prepare("SELECT 1 FROM pragma_table_info('objects') WHERE name = ?").get(order.sortKey)
        const key = column ? order.sortKey : `json_extract(fields, '$.${order.sortKey}')`
        expect(got, `SEED=${SEED}`).toEqual(sorted("objects WHERE kind = 'allocation'", key, order.descending))
      }),
      { numRuns: 25 },
    )
  })
})

/** The plans of every statement of these pages, of a table alone. */
function plansOf(list: () => unknown): string[] {
  texts = []
  list()
  return [...new Set(texts)]
    .filter((text) => text.includes('ORDER BY'))
    .flatMap((text) => {
      const marks = Array.from({ length: text.split('?').length - 1 }, () => '1')
      const steps = db.prepare<string[], { detail: string }>(`EXPLAIN QUERY PLAN ${text}`).all(...marks)
      return steps.map(({ detail }) => `${detail} -- ${text}`)
    })
}

/** Pages from the start, and after rows with a value and without. */
function walk(fetch: (page: Page) => unknown, from: string, key: string): void {
  for (const descending of [false, true]) {
    const page = { limit: 10, sortKey: key, descending }
    fetch(page)
    const rows = sorted(from, key, descending)
    for (const at of [0, 300, rows.length - 2]) fetch({ ...page, marker: rows[at] as string })
  }
}

/** Along an index of the order, or the rows of the table as they stand: nothing is sorted, and nothing is searched in a
 *  table that has no order. */
function expectAlong(plans: readonly string[], table: string): void {
  expect(plans.length).toBeGreaterThan(0)
  expect(plans.filter((plan) => plan.includes('TEMP B-TREE') && !plan.includes(' EXCEPT '))).toEqual([])
  // Rows without a value, where they are few, are what one index has and another has not: no row of the table is read
  // for that.
  const scans = plans.filter((plan) => plan.includes(' EXCEPT ') && /^(SCAN|SEARCH) /.test(plan))
  expect(scans.filter((plan) => !/COVERING INDEX|PRIMARY KEY \(rowid=/.test(plan.split(' -- ')[0] ?? ''))).toEqual([])
  const bare = plans.filter((plan) => plan.startsWith(`SCAN ${table} --`) && !/ORDER BY id /.test(plan))
  expect(bare).toEqual([])
}

describe('no page sorts the table', () => {
  test.each(Object.keys(NODE_SORTS))('of nodes by %s, alone and with a filter that leaves most', (key) => {
    for (const [filter, where] of FILTERS.slice(0, 4)) {
      const walked = () => walk((page) => nodes.list(filter, page), `nodes WHERE ${where}`, key)
      expectAlong(plansOf(walked), 'nodes')
    }
  })

  test.each(Object.keys(PORT_SORTS))('of ports by %s', (key) => {
    expectAlong(
      plansOf(() => walk((page) => ports.list({}, page), 'ports', key)),
      'ports',
    )
  })

  test('of objects by anything', () => {
    const list = (page: Page) => void objects.list('allocation', {}, page)
    for (const key of ['uuid', 'name', 'node_uuid', 'created_at', 'updated_at'])
      expectAlong(
        plansOf(() => walk(list, "objects WHERE kind = 'allocation'", key)),
        'objects',
      )
    const inBodies =
      'address description state resource_class owner type connector_id volume_type volume_id boot_index priority phase mode public physical_network'
    for (const key of inBodies.split(' ')) {
      const walked = () => {
        for (const descending of [false, true])
          for (const marker of [undefined, uuid(30_000), uuid(30_001), uuid(30_093)])
            list({ limit: 10, sortKey: key, descending, ...(marker === undefined ? {} : { marker }) })
      }
      expectAlong(plansOf(walked), 'objects')
    }
  })

  test('a filter that leaves little is looked up, and what it leaves is sorted', () => {
    const plans = plansOf(() => nodes.list({ owner: 'rare' }, { limit: 10, sortKey: 'name', descending: false }))
    expect(plans.some((plan) => plan.startsWith('SEARCH nodes USING INDEX nodes_by_owner (owner=?)'))).toBe(true)
  })
})

test('an object that changes keeps what it does not change: its place in every list', async () => {
  const [one] = await objects.list('other', {}, { limit: 1, sortKey: 'id', descending: false })
  const { version } = await objects.put({ ...(one as ObjectRecord), updatedAtMs: 77 })
  expect(version).toBe((one as ObjectRecord).version + 1)
  expect(await objects.find('other', (one as ObjectRecord).uuid)).toEqual({ ...one, version, updatedAtMs: 77 })
  await expect(objects.put(one as ObjectRecord)).rejects.toMatchObject({ code: 'store.moved' })
})
