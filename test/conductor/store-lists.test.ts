/** Lists in pages: the same sequence as the whole table sorted, whatever is sorted by and filtered; and each statement reads along an index. */
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Damage } from '../../conductor/store/damage.ts'
import { Drives } from '../../conductor/store/drives.ts'
import { SqliteFile } from '../../conductor/store/file.ts'
import { NODE_SORTS, nodeColumns } from '../../conductor/store/node-rows.ts'
import { NodeTable } from '../../conductor/store/nodes.ts'
import { PORT_SORTS, portColumns } from '../../conductor/store/port-rows.ts'
import { PORT_DEFAULTS, type NodeFilter, type ObjectRecord, type Page } from '../../conductor/store/port.ts'
import { PortTable } from '../../conductor/store/ports.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { objectTable } from '../../conductor/store/tables.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const NODES = 700
const OBJECT_SORTS =
  'id uuid name node_uuid created_at updated_at address state resource_class boot_index priority public description'.split(
    ' ',
  )
type Row = Record<string, string | number | null>

let dir = ''
let file: SqliteFile
let db: Database.Database
let nodes: NodeTable
let ports: PortTable
let objects: ReturnType<typeof objectTable>
/** Texts of the statements that were run. */
let texts: string[] = []

/** Of the data; a failure names it. */
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
/** The same number for the same n: as random as it needs to be. */
const random = (n: number) => createHash('sha256').update(`${SEED} ${n}`).digest().readUInt32BE() / 2 ** 32

/** Few values, many duplicates, and none. */
const pick = <T>(n: number, ...from: T[]): T | null =>
  random(n) < 0.4 ? null : (from[Math.floor(random(n + 0.5) * from.length)] as T)
const odd = (n: number) => pick(n, 'b', 'a', '', 'B', 'é', '10', '9')

function nodeAt(n: number): NodeRecord {
  const fresh = newNode({ uuid: uuid(n), driver: n % 3 === 0 ? 'ipmi' : 'fake-hardware' }, 1_000 - (n % 50))
  return {
    ...fresh,
    name: pick(n + 1, `n${Math.floor(random(n) * 10)}-${n}`),
    instanceUuid: pick(n + 2, uuid(10_000 + ((n * 17) % 9_973))),
    provisionState: n % 5 === 0 ? 'active' : 'available',
    maintenance: n % 11 === 0,
    resourceClass: odd(n),
    owner: n % 20 === 0 ? 'rare' : 'common',
    lessee: odd(n + 3),
    shard: odd(n + 4),
    conductorGroup: n % 4 === 0 ? 'g' : '',
    chassisUuid: odd(n + 5),
    powerState: pick(n, 'power on', 'power off'),
    fault: pick(n + 1, 'power failure'),
    automatedClean: pick(n, true, false),
    retired: n % 9 === 0,
    instanceName: odd(n + 6),
    provisionUpdatedAtMs: pick(n + 2, 9, 10, 100),
    inspectionStartedAtMs: pick(n, 5, -1),
    lastError: odd(n + 1),
    description: odd(n + 2),
    parentNode: n % 13 === 0 ? uuid(1) : null,
    updatedAtMs: pick(n + 5, 1, 2, 3),
  }
}

const insert = (table: string, row: Row) =>
  db
    .prepare(
      `INSERT INTO ${table} (${Object.keys(row).join()}) VALUES (${Object.keys(row)
        .map(() => '?')
        .join()})`,
    )
    .run(...Object.values(row))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-lists-'))
  file = new SqliteFile(join(dir, 'r.db'), systemClock)
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
  db.transaction(() => {
    for (let n = 0; n < NODES; n += 1) {
      const node = nodeAt(n)
      insert('nodes', { uuid: node.uuid, created_at: node.createdAtMs, ...(nodeColumns(node, seal) as Row) })
      const port = {
        ...PORT_DEFAULTS,
        uuid: uuid(20_000 + n),
        nodeUuid: uuid((n * 3) % NODES),
        address: `52:54:00:00:${String(n % 100).padStart(2, '0')}:${String(Math.floor(n / 100)).padStart(2, '0')}`,
        createdAtMs: n % 10,
        updatedAtMs: pick(n, 3, 4),
        name: pick(n, `p${(n * 31) % NODES}`),
        pxeEnabled: n % 3 === 0,
        physicalNetwork: odd(n),
        portgroupUuid: odd(n + 1),
        description: odd(n + 2),
      }
      insert('ports', { uuid: port.uuid, created_at: port.createdAtMs, ...(portColumns(port) as Row) })
      for (const kind of ['allocation', 'other']) {
        const body = {
          address: odd(n),
          state: odd(n + 1),
          resource_class: pick<string | number>(n, 'x', 5, 'y', 4.5),
          public: n % 2 === 0,
          priority: pick(n, 3, 20, 100),
          boot_index: n,
        }
        insert('objects', {
          kind,
          uuid: uuid(30_000 + ((n * 31) % NODES)),
          name: pick(n + 1, `o${n}`),
          node_uuid: n % 2 === 0 ? uuid(n) : null,
          created_at: n % 10,
          updated_at: pick(n, 3, 4),
          fields: JSON.stringify(body),
          body: JSON.stringify(body),
        })
      }
    }
  })()
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

/** Along an index of the order, or the rows of the table as they stand: nothing is sorted, and nothing is searched in a table that has no order. */
function expectAlong(plans: readonly string[], table: string): void {
  expect(plans.length).toBeGreaterThan(0)
  expect(plans.filter((plan) => plan.includes('TEMP B-TREE'))).toEqual([])
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
  await expect(objects.put(one as ObjectRecord)).rejects.toMatchObject({ code: 'store.stale' })
})
