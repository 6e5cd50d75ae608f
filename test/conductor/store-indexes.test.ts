/** Indexes of the store: what a change of a record writes, and that lists still find what changed. */
import Database from 'better-sqlite3'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { PORT_DEFAULTS, type NodeFilter } from '../../conductor/store/port.ts'
import { nodeWheres } from '../../conductor/store/node-rows.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

const PAGE = { limit: 100, sortKey: 'id', descending: false }
/** A page of 4096 bytes with its header, in the write-ahead log. */
const FRAME_BYTES = 4096 + 24

let dir = ''
let store: SqliteStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-indexes-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

async function framesOf(act: () => Promise<unknown>): Promise<number> {
  const bytes = async () => (await stat(join(dir, 'r.db-wal'))).size
  const before = await bytes()
  await act()
  return ((await bytes()) - before) / FRAME_BYTES
}

test('a change of what has no index writes the pages of the record alone', async () => {
  const nodes: NodeRecord[] = []
  for (let i = 0; i < 40; i += 1) {
    nodes.push(newNode({ uuid: uuid(i), driver: 'fake-hardware', name: `n${i}`, resourceClass: 'c', owner: 'o' }, i))
    await store.addNode(nodes[i] as NodeRecord)
  }
  const node = nodes[20] as NodeRecord

  let put = node
  const plain = await framesOf(async () => (put = await store.putNode({ ...node, extra: { n: 1 } })))
  // A row of the table, and the pages that it flows over to.
  expect(plain).toBeGreaterThan(0)
  expect(plain).toBeLessThanOrEqual(3)

  const moved = await framesOf(() => store.putNode({ ...put, resourceClass: 'd' }))
  expect(moved).toBeGreaterThan(plain)
  expect(moved).toBeLessThanOrEqual(plain + 2)
})

test('a change of something else writes neither the flags nor the counts', async () => {
  const flags = { maintenance: true, protected: true, retired: true }
  const nodes: NodeRecord[] = []
  for (let i = 0; i < 2; i += 1) {
    nodes.push({ ...newNode({ uuid: uuid(i), driver: 'fake-hardware' }, i), ...(i === 0 ? {} : flags) })
    await store.addNode(nodes[i] as NodeRecord)
  }
  const db = new Database(join(dir, 'r.db'))
  db.exec(`CREATE TABLE counted (at INTEGER) STRICT;
    CREATE TRIGGER counts_written AFTER UPDATE ON node_counts BEGIN INSERT INTO counted VALUES (1); END;
    CREATE TRIGGER flags_written AFTER UPDATE OF maintenance, protected, retired ON nodes BEGIN INSERT INTO counted VALUES (2); END;`)
  const written = () => (db.prepare('SELECT count(*) AS count FROM counted').get() as { count: number }).count

  for (const node of nodes) await store.putNode({ ...node, extra: { n: 1 }, health: 'OK' })
  expect(written()).toBe(0)
  await store.putNode({ ...(nodes[0] as NodeRecord), version: (nodes[0] as NodeRecord).version + 1, maintenance: true })
  expect(written()).toBeGreaterThan(0)
  db.close()
})

test.each([
  ['resourceClass', 'gold'],
  ['owner', 'p1'],
  ['lessee', 'p1'],
  ['chassisUuid', uuid(900)],
  ['conductorGroup', 'g'],
  ['instanceUuid', uuid(901)],
  ['parentNode', uuid(902)],
] as const)('a list by %s follows its changes', async (field, value) => {
  const filter: NodeFilter = { [field]: value }
  const found = async () => (await store.nodes(filter, PAGE)).map((node) => node.uuid)
  let node = newNode({ uuid: uuid(1), driver: 'fake-hardware' }, 1)
  await store.addNode(node)
  await store.addNode(newNode({ uuid: uuid(2), driver: 'fake-hardware', [field]: value }, 2))
  expect(await found()).toEqual([uuid(2)])

  node = await store.putNode({ ...node, ...(field === 'instanceUuid' ? { name: 'only one' } : { [field]: value }) })
  expect(await found()).toEqual(field === 'instanceUuid' ? [uuid(2)] : [uuid(1), uuid(2)])

  await store.putNode({ ...node, [field]: field === 'conductorGroup' ? '' : null })
  expect(await found()).toEqual([uuid(2)])
})

test('a state and a shard are found after a change, a name and an instance stay unique', async () => {
  let node = newNode({ uuid: uuid(1), driver: 'fake-hardware', name: 'a', shard: 's', instanceUuid: uuid(9) }, 1)
  await store.addNode(node)
  let other = newNode({ uuid: uuid(2), driver: 'fake-hardware', name: 'b' }, 2)
  await store.addNode(other)

  node = await store.putNode({ ...node, provisionState: 'manageable', shard: 't' })
  expect(await store.nodes({ provisionState: 'enroll' }, PAGE)).toEqual([other])
  expect(await store.nodes({ shard: ['t'] }, PAGE)).toEqual([node])
  expect(await store.shards()).toEqual([{ name: 't', count: 1 }])

  await expect(store.putNode({ ...other, name: 'a' })).rejects.toMatchObject({ code: 'object.conflict' })
  await expect(store.putNode({ ...other, instanceUuid: uuid(9) })).rejects.toMatchObject({ code: 'object.conflict' })
  node = await store.putNode({ ...node, name: null, instanceUuid: null })
  other = await store.putNode({ ...other, name: 'a', instanceUuid: uuid(9) })
  expect(await store.nodeByName('a')).toEqual(other)
})

test('ports: a name stays unique, and lists follow a new bundle and a new address', async () => {
  await store.addNode(newNode({ uuid: uuid(1), driver: 'fake-hardware' }, 1))
  const portOf = (n: number, more: object) => ({
    ...PORT_DEFAULTS,
    uuid: uuid(n),
    nodeUuid: uuid(1),
    address: `52:54:00:00:00:0${n}`,
    createdAtMs: n,
    ...more,
  })
  await store.addPort(portOf(2, { name: 'p' }))
  await store.addPort(portOf(3, {}))
  await store.addPort(portOf(4, {}))
  await expect(store.addPort(portOf(5, { name: 'p' }))).rejects.toMatchObject({
    code: 'object.conflict',
    field: 'name',
  })

  const port = await store.port(uuid(3))
  if (!port) throw new Error('the port is not there')
  await expect(store.putPort({ ...port, name: 'p' })).rejects.toMatchObject({ code: 'object.conflict' })
  const next = await store.putPort({ ...port, portgroupUuid: uuid(8), extra: { ipv4_address: '10.0.0.9' } })
  expect(await store.ports({ portgroupUuid: uuid(8) }, PAGE)).toEqual([next])
  expect(await store.ports({ fixedIp: '10.0.0.9' }, PAGE)).toEqual([next])

  const bare = await store.putPort({ ...next, portgroupUuid: null, extra: {}, address: '52:54:00:00:00:99' })
  expect(await store.ports({ portgroupUuid: uuid(8) }, PAGE)).toEqual([])
  expect(await store.ports({ fixedIp: '10.0.0.9' }, PAGE)).toEqual([])
  expect(await store.portByAddress('52:54:00:00:00:99')).toEqual(bare)
  expect(await store.portByAddress('52:54:00:00:00:03')).toBeUndefined()
})

test('how many nodes there are of each kind follows every change, and is asked of no node', async () => {
  const states = ['enroll', 'available', 'active'] as const
  const powers = [null, 'power on', 'power off'] as const
  const kept = new Map<number, NodeRecord>()
  for (let n = 0; n < 12; n += 1) {
    const node = newNode({ uuid: uuid(n), driver: 'fake-hardware' }, n)
    await store.addNode(node)
    kept.set(n, node)
  }
  for (let i = 0; i < 40; i += 1) {
    const n = (i * 7) % 12
    const node = kept.get(n)
    if (!node) continue
    if (i % 11 === 10) {
      await store.removeNode(node.uuid)
      kept.delete(n)
      continue
    }
    const change = {
      provisionState: states[(i * 5) % 3] ?? 'enroll',
      powerState: powers[(i * 3 + n) % 3] ?? null,
      maintenance: i % 4 === 0,
    }
    kept.set(n, await store.putNode({ ...node, ...change }))
    // Of a transaction that does not come about, nothing stays.
    await expect(store.putNode({ ...node, ...change, provisionState: 'error' })).rejects.toThrow('changed meanwhile')
  }

  const wanted: Record<string, number> = {}
  for (const { provisionState, powerState, maintenance } of kept.values()) {
    const key = `${provisionState} ${powerState} ${maintenance}`
    wanted[key] = (wanted[key] ?? 0) + 1
  }
  const counts = await store.nodeCounts()
  const got = counts.map((one) => [`${one.provisionState} ${one.powerState} ${one.maintenance}`, one.count] as const)
  expect(Object.fromEntries(got)).toEqual(wanted)
  expect(kept.size).toBeLessThan(12)

  const db = new Database(join(dir, 'r.db'))
  db.exec('DELETE FROM node_counts')
  db.close()
  expect(await store.nodeCounts()).toEqual([])
})

test('what goes with a node or an event is found by an index: each foreign key has one', () => {
  const db = new Database(join(dir, 'r.db'), { readonly: true })
  const keys = db
    .prepare<[], { name: string; column: string }>(
      `SELECT m.name, f."from" AS column FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'`,
    )
    .all()
  expect(keys.map(({ name }) => name).sort()).toEqual([
    'hardware_documents',
    'inventories',
    'objects',
    'port_sightings',
    'ports',
  ])
  const deletes = [
    ...keys.map(({ name, column }) => `DELETE FROM ${name} WHERE ${column} = ?`),
    'DELETE FROM config_drives WHERE node_uuid = ?',
    'SELECT 1 FROM nodes WHERE parent_node = ?',
    'SELECT 1 FROM nodes WHERE chassis_uuid = ?',
    'SELECT 1 FROM ports WHERE portgroup_uuid = ?',
    'DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ? LIMIT 10)',
  ]
  const plans = deletes.map((text) =>
    db
      .prepare<[number], { detail: string }>(`EXPLAIN QUERY PLAN ${text}`)
      .all(1)
      .map(({ detail }) => detail),
  )
  expect(plans.flat().filter((detail) => detail.startsWith('SCAN'))).toEqual([])
  db.close()
})

test('times of states are kept for each model and state, the newest; and so many in all', async () => {
  await store.close()
  const path = join(dir, 'r.db')
  const old = new Database(path)
  const add = old.prepare("INSERT INTO durations (model, state, took_ms) VALUES ('old', 'deploying', ?)")
  old.transaction(() => Array.from({ length: 250 }, (_, i) => add.run(i)))()
  old.close()
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  store = new SqliteStore(path, seal, { limits: { durations: 5, durationsInAll: 12 } })
  const ended = (model: string, tookMs: number) => ({
    atMs: 1,
    nodeUuid: uuid(1),
    kind: 'state',
    detail: { model, from: 'deploying', to: 'active', tookMs },
  })
  const rows = () => {
    const db = new Database(path, { readonly: true })
    const { count } = db.prepare('SELECT count(*) AS count FROM durations').get() as { count: number }
    db.close()
    return count
  }

  for (let n = 0; n < 20; n += 1) await store.journal.addAll([ended('a', n), ended('b', 100 + n), ended('old', n)])
  expect(await store.journal.durations('a', 'deploying')).toEqual([19, 18, 17, 16, 15])
  expect(await store.journal.durations('b', 'deploying')).toEqual([119, 118, 117, 116, 115])
  // The sixteenth of each made place.
  expect(rows()).toBe(3 * (5 + 4))

  expect(await store.journal.prune(0, 2)).toBe(2)
  expect(rows()).toBe(25)
  expect([await store.journal.prune(0, 1_000), rows()]).toEqual([13, 12])
  expect(await store.journal.durations('b', 'deploying')).toHaveLength(4)
})

test('a list by VIF follows its changes, and reads the rows of that VIF alone', async () => {
  const found = async (vif: string) => (await store.nodes({ vif }, PAGE)).map((node) => node.uuid)
  let node = newNode({ uuid: uuid(1), driver: 'fake-hardware', vifs: { v1: {} } as never }, 1)
  await store.addNode(node)
  await store.addNode(newNode({ uuid: uuid(2), driver: 'fake-hardware', vifs: { v1: {}, v2: {} } as never }, 2))
  await store.addNode(newNode({ uuid: uuid(3), driver: 'fake-hardware' }, 3))
  expect([await found('v1'), await found('v2'), await found('v')]).toEqual([[uuid(1), uuid(2)], [uuid(2)], []])
  node = await store.putNode({ ...node, vifs: { v3: {} } as never })
  expect([await found('v1'), await found('v3')]).toEqual([[uuid(2)], [uuid(1)]])

  const db = new Database(join(dir, 'r.db'))
  db.exec(`CREATE TABLE counted (at INTEGER) STRICT;
    CREATE TRIGGER vifs_written AFTER UPDATE OF vifs ON nodes BEGIN INSERT INTO counted VALUES (1); END;`)
  node = await store.putNode({ ...node, extra: { n: 1 } })
  expect(db.prepare('SELECT * FROM counted').all()).toEqual([])
  const wheres = nodeWheres({ vif: 'v1' })
  const plan = db
    .prepare(`EXPLAIN QUERY PLAN SELECT id FROM nodes WHERE ${wheres.map(([clause]) => clause).join(' AND ')}`)
    .all(...wheres.flatMap(([, ...values]) => values)) as { detail: string }[]
  expect(plan.map(({ detail }) => detail).join('\n')).toMatch(/SEARCH nodes USING INTEGER PRIMARY KEY/)

  for (const n of [1, 2]) await store.removeNode(uuid(n))
  expect(db.prepare('SELECT * FROM node_vifs').all()).toEqual([])
  db.close()
})
