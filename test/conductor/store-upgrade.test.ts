/** A database of the schema before: with secrets sealed in place, nested ones in clear, a config drive in the record,
 *  and rows that cannot be read. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode } from '../../conductor/node/record.ts'
import { MIGRATIONS } from '../../conductor/store/migrations.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

const KEY = Buffer.alloc(32, 1)
const BEFORE = 2
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-upgrade-'))
})
afterEach(() => rm(dir, { recursive: true }))
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

/** As the first form was written. */
function sealFirst(text: string, about: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', KEY, nonce).setAAD(Buffer.from(about))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return `sealed:v1:${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')}`
}

function oldDatabase(fill: (db: Database.Database) => void) {
  const db = new Database(join(dir, 'r.db'))
  for (const sql of MIGRATIONS.slice(0, BEFORE)) db.exec(sql)
  db.pragma(`user_version = ${BEFORE}`)
  fill(db)
  db.close()
}

function addOld(db: Database.Database, n: number, more: Record<string, unknown>, body?: string) {
  const {
    configDrive: _,
    workflow,
    ...old
  } = {
    ...newNode({ uuid: uuid(n), driver: 'ipmi', name: `n${n}` }, n),
    ...more,
  } as ReturnType<typeof newNode>
  const { pendingEffects: owed, pendingVersion: owing, ...kept } = workflow
  const text = body ?? JSON.stringify({ machine: { ...kept, owed, owing }, ...old })
  const insert = db.prepare(
    'INSERT INTO nodes (uuid, name, provision_state, maintenance, driver, version, created_at, body) VALUES (?, ?, ?, 0, ?, 3, ?, ?)',
  )
  insert.run(old.uuid, old.name, old.provisionState, old.driver, n, text)
}
const open = (key = KEY) => new SqliteStore(join(dir, 'r.db'), new Seal(key, systemRandom))
const page = { limit: 100, sortKey: 'id', descending: false }

test('everything is there again, sealed anew and in its columns; what cannot be read is left alone', async () => {
  oldDatabase((db) => {
    const driverInfo = {
      ipmi_address: '10.0.0.1',
      ipmi_password: sealFirst('correct horse', uuid(1)),
      redfish: { password: 'battery staple' },
    }
    const instanceInfo = { configdrive: { user_data: 'from before' }, image_source: 'i' }
    addOld(db, 1, {
      driverInfo,
      instanceInfo,
      owner: 'red',
      shard: 's1',
      vifs: { v1: {} },
      powerState: 'power on',
      description: 'first',
    })
    addOld(db, 2, {}, 'no JSON')
    addOld(db, 3, { instanceInfo: { x_password: 'sealed:v1:AAAA' }, owner: 'blue' })
    const port = {
      uuid: uuid(4),
      nodeUuid: uuid(1),
      address: '02:00:00:00:00:01',
      extra: { ipv4_address: '10.0.0.9' },
      internalInfo: { ipv4_address: '10.0.0.8' },
    }
    const insertPort = db.prepare(
      'INSERT INTO ports (uuid, address, node_uuid, created_at, body) VALUES (?, ?, ?, 1, ?)',
    )
    insertPort.run(port.uuid, port.address, port.nodeUuid, JSON.stringify({ ...port, createdAtMs: 1 }))
    db.prepare("INSERT INTO ports (uuid, address, node_uuid, created_at, body) VALUES (?, 'x', ?, 1, 'no JSON')").run(
      uuid(5),
      uuid(1),
    )
    db.prepare("INSERT INTO objects (kind, uuid, created_at, body) VALUES ('portgroup', ?, 1, ?)").run(
      uuid(6),
      '{"address":"02:00:00:00:00:05"}',
    )
    db.prepare("INSERT INTO events (at, node_uuid, kind, detail) VALUES (1, ?, 'seen', '{}')").run(uuid(1))
  })
  const store = open()
  try {
    const node = (await store.node(uuid(1)))!
    expect(node.driverInfo).toEqual({
      ipmi_address: '10.0.0.1',
      ipmi_password: 'correct horse',
      redfish: { password: 'battery staple' },
    })
    expect([node.version, node.instanceInfo]).toEqual([3, { image_source: 'i' }])
    const counts = await store.nodeCounts()
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(3)
    expect(counts.find(({ powerState }) => powerState === 'power on')?.count).toBe(1)
    expect(await store.configDrive(uuid(1), node.configDrive!)).toEqual({ user_data: 'from before' })
    for (const filter of [
      { owner: 'red' },
      { project: 'red' },
      { shard: ['x', 's1'] },
      { vif: 'v1' },
      { descriptionContains: 'irs' },
    ])
      expect([filter, (await store.nodes(filter, page)).map(({ name }) => name)]).toEqual([filter, ['n1']])
    expect(await store.nodeCounts()).toContainEqual({
      provisionState: 'enroll',
      powerState: 'power on',
      maintenance: false,
      count: 1,
    })
    expect((await store.ports({ fixedIp: '10.0.0.9' }, page)).map(({ internalInfo }) => internalInfo)).toEqual([
      { ipv4_address: '10.0.0.8' },
    ])
    expect(await store.objects.list('portgroup', { where: { address: '02:00:00:00:00:05' } }, page)).toHaveLength(1)
    expect(await store.journal.ofNode(uuid(1), 10)).toHaveLength(1)
    const damaged = (await store.survey()).map(({ kind, uuid: of, owner }) => [kind, of, owner])
    expect(damaged.toSorted()).toEqual([
      ['node', uuid(2), null],
      ['node', uuid(3), 'blue'],
      ['port', uuid(5), null],
    ])
  } finally {
    await store.close()
  }
  // Nothing of it is left in clear in the rows (free pages of the file are SQLite's).
  const db = new Database(join(dir, 'r.db'), { readonly: true })
  const rows = JSON.stringify(db.prepare('SELECT * FROM nodes WHERE uuid = ?').all(uuid(1)))
  db.close()
  for (const secret of ['correct horse', 'battery staple', 'sealed:v1', 'from before'])
    expect([secret, rows.includes(secret)]).toEqual([secret, false])
  const later = open()
  expect((await later.node(uuid(1)))?.driverInfo.ipmi_password).toBe('correct horse')
  await later.close()
})

test('another key is refused, and changes nothing', async () => {
  oldDatabase((db) => addOld(db, 1, { driverInfo: { ipmi_password: sealFirst('correct horse', uuid(1)) } }))
  expect(() => open(Buffer.alloc(32, 2))).toThrow(/not the key that the secrets/)
  const store = open()
  expect((await store.node(uuid(1)))?.driverInfo.ipmi_password).toBe('correct horse')
  await store.close()
  expect((await readFile(join(dir, 'r.db'))).length).toBeGreaterThan(0)
})

test('a single node that a user had poisoned keeps no conductor from starting', async () => {
  oldDatabase((db) => addOld(db, 1, { instanceInfo: { x_password: 'sealed:v1:AAAA' } }))
  const store = open()
  expect(await store.everyNode()).toEqual([])
  await store.close()
})

/** A node of 0.1.0 that was in the middle of a step of fake hardware, as it stood in its database. */
const OLD_MACHINE = {
  generation: 3,
  phase: 'act',
  owed: [{ do: 'pretend' }],
  owing: 4,
  lockedAtMs: 7,
  tries: 0,
  retryAtMs: 0,
  attempt: 1,
  deadlineMs: null,
  order: 'clean',
  steps: [],
  stepIndex: 0,
  cleaningTo: 'available',
  imageId: null,
  bootToken: 'traded',
  sinceMs: 5,
}

test('a node of an earlier version continues where it was, under the names of this one', async () => {
  oldDatabase((db) => {
    addOld(db, 1, { provisionState: 'cleaning', machine: OLD_MACHINE })
    const { bootToken: _, ...oldest } = OLD_MACHINE
    addOld(db, 2, { provisionState: 'clean wait', machine: { ...oldest, phase: 'agent', owed: [] } })
  })
  const store = open()
  const { owed: _, owing: __, ...kept } = OLD_MACHINE
  const now = { ...kept, phase: 'step', pendingEffects: [{ do: 'simulate' }], pendingVersion: 4 }
  const node = (await store.node(uuid(1)))!
  expect(node.workflow).toMatchObject(now)
  expect([Object.keys(node), Object.keys(node.workflow)].flat()).not.toContainEqual(
    expect.stringMatching(/^(machine|owed|owing)$/),
  )
  expect((await store.node(uuid(2)))!.workflow).toMatchObject({ phase: 'agent', bootToken: 'good', pendingEffects: [] })

  const saved = await store.putNode({ ...node, description: 'written by this version' }, [])
  expect((await store.node(uuid(1)))!.workflow).toMatchObject(now)
  expect(saved).not.toHaveProperty('schema')
  await store.close()
})

test('a deadline of an earlier version is due at its time, although it has a fraction of a millisecond', async () => {
  const looked = { ...OLD_MACHINE, phase: 'bmc', owed: [], bmcTask: { lookAtMs: 7_000.333 } }
  oldDatabase((db) => {
    addOld(db, 1, { provisionState: 'clean wait', machine: looked })
    addOld(db, 2, { provisionState: 'clean wait', machine: { ...OLD_MACHINE, owed: [], deadlineMs: 9_000 } })
    addOld(db, 3, { machine: { ...OLD_MACHINE, owed: [] } })
  })
  const store = open()
  const due = async (nowMs: number) => (await store.dueNodes(nowMs, { limit: 10 })).map((node) => node.uuid)
  expect([await due(6_999), await due(7_001), await due(10_000)]).toEqual([[], [uuid(1)], [uuid(1), uuid(2)]])
  await store.close()
})

test('a node of a newer version is not read, and left as it is', async () => {
  const body = JSON.stringify({ ...newNode({ uuid: uuid(1), driver: 'ipmi' }, 1), schema: 99 })
  oldDatabase((db) => addOld(db, 1, {}, body))
  const store = open()
  await expect(store.node(uuid(1))).rejects.toMatchObject({
    code: 'store.damaged',
    detail: expect.stringContaining('schema 99') as string,
  })
  await store.close()
  const db = new Database(join(dir, 'r.db'), { readonly: true })
  expect(db.prepare('SELECT body FROM nodes').pluck().get()).toBe(body)
  db.close()
})
