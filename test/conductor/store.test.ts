/** The store on a real file: one conductor, versions, secrets, paging, migrations. */
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { PORT_DEFAULTS } from '../../conductor/store/port.ts'
import { newNode } from '../../conductor/node/record.ts'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

let dir = ''
let store: SqliteStore
const open = async () => new SqliteStore(join(dir, 'r.db'), await loadSeal(join(dir, 'key'), systemRandom))
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-store-'))
  store = await open()
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

/** A statement by somebody else, while the store is closed. */
function sql(text: string, ...values: unknown[]) {
  const db = new Database(join(dir, 'r.db'))
  expect(db.prepare(text).run(...values).changes).toBe(1)
  db.close()
}

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const node = (n: number, more = {}) => newNode({ uuid: uuid(n), driver: 'ipmi', name: `n${n}`, ...more }, n)
const page = { limit: 1000, sortKey: 'id', descending: false }

test('a second conductor on one database is refused, and gets in once the first is gone', async () => {
  await expect(open()).rejects.toMatchObject({ code: 'store.locked' })
  await store.close()
  store = await open()
})

test('a BMC password is nowhere in the files, and comes back; another key does not open it', async () => {
  await store.addNode(node(1, { driverInfo: { ipmi_address: '10.0.0.1', ipmi_password: 'correct horse' } }))
  await store.putNode((await store.node(uuid(1)))!)
  await store.close()
  for (const file of ['r.db', 'r.db-wal'])
    expect((await readFile(join(dir, file)).catch(() => Buffer.alloc(0))).includes('correct horse')).toBe(false)
  store = await open()
  expect((await store.node(uuid(1)))?.driverInfo).toEqual({ ipmi_address: '10.0.0.1', ipmi_password: 'correct horse' })
  await store.close()
  await rename(join(dir, 'key'), join(dir, 'own'))
  await writeFile(join(dir, 'key'), '00'.repeat(32), { mode: 0o600 })
  const own = await readFile(join(dir, 'own'))
  await expect(open()).rejects.toMatchObject({
    code: 'secret.key',
    detail: expect.stringContaining('not the key') as string,
  })
  await writeFile(join(dir, 'key'), own)
  store = await open()
})

test('a sealed secret that is moved to another node, or to another field, does not open there', async () => {
  await store.addNode(node(1, { driverInfo: { ipmi_password: 'secret' } }))
  await store.addNode(node(2, { driverInfo: { ipmi_password: 'other' } }))
  await store.addNode(node(3, { driverInfo: { ipmi_password: 'third', redfish: { password: null } } }))
  await store.close()
  sql('UPDATE nodes SET sealed = (SELECT sealed FROM nodes WHERE uuid = ?) WHERE uuid = ?', uuid(1), uuid(2))
  sql(
    `UPDATE nodes SET sealed = replace(sealed, '"driverInfo\\",\\"ipmi_password', '"driverInfo\\",\\"redfish\\",\\"password') WHERE uuid = ?`,
    uuid(3),
  )
  store = await open()
  expect((await store.node(uuid(1)))?.driverInfo).toEqual({ ipmi_password: 'secret' })
  for (const moved of [2, 3])
    await expect(store.node(uuid(moved))).rejects.toMatchObject({
      code: 'store.damaged',
      cause: { code: 'secret.key' },
    })
})

test('the key file has mode 0600, and one that others can read is refused', async () => {
  expect((await stat(join(dir, 'key'))).mode & 0o777).toBe(0o600)
  await chmod(join(dir, 'key'), 0o640)
  await expect(loadSeal(join(dir, 'key'), systemRandom)).rejects.toMatchObject({ code: 'secret.key' })
})

test('a record that changed meanwhile is not overwritten', async () => {
  await store.addNode(node(1))
  const first = (await store.node(uuid(1)))!
  await store.putNode({ ...first, description: 'one' })
  await expect(store.putNode({ ...first, description: 'two' })).rejects.toMatchObject({ code: 'store.moved' })
  expect((await store.node(uuid(1)))?.description).toBe('one')
})

test('uuid, name, instance and MAC are unique, and the message names the field', async () => {
  await store.addNode(node(1, { instanceUuid: uuid(7) }))
  await expect(store.addNode(node(1, { name: 'other' }))).rejects.toMatchObject({
    code: 'object.conflict',
    detail: expect.stringContaining('uuid') as string,
  })
  await expect(store.addNode(node(2, { name: 'n1' }))).rejects.toMatchObject({
    code: 'object.conflict',
    detail: expect.stringContaining('name') as string,
  })
  await expect(store.addNode(node(3, { instanceUuid: uuid(7) }))).rejects.toMatchObject({
    code: 'object.conflict',
    detail: expect.stringContaining('instance_uuid') as string,
  })
})

test.each(['id', 'name', 'created_at', 'resource_class'])(
  'pages sorted by %s hold every node once, in both directions',
  async (sortKey) => {
    for (let n = 1; n <= 23; n += 1) await store.addNode(node(n, { resourceClass: n % 3 === 0 ? null : `c${n % 3}` }))
    for (const descending of [false, true]) {
      const seen: string[] = []
      for (let marker: string | undefined; ;) {
        const got = await store.nodes({}, { limit: 5, sortKey, descending, ...(marker ? { marker } : {}) })
        seen.push(...got.map((one) => one.uuid))
        if (got.length < 5) break
        marker = got.at(-1)?.uuid
      }
      expect([seen.length, new Set(seen).size]).toEqual([23, 23])
    }
  },
)

test('filters combine; an unknown marker or sort key is an error', async () => {
  for (let n = 1; n <= 4; n += 1)
    await store.addNode(node(n, { maintenance: n % 2 === 0, provisionState: n > 2 ? 'active' : 'enroll' }))
  expect((await store.nodes({ maintenance: true, provisionState: 'active' }, page)).map((one) => one.uuid)).toEqual([
    uuid(4),
  ])
  await expect(store.nodes({}, { ...page, marker: uuid(99) })).rejects.toMatchObject({ code: 'object.missing' })
  await expect(store.nodes({}, { ...page, sortKey: 'driver_info' })).rejects.toMatchObject({ code: 'input.invalid' })
})

test('a node takes its ports and inventory with it; what happened to it is kept', async () => {
  await store.addNode(node(1))
  const port = { ...PORT_DEFAULTS, uuid: uuid(5), nodeUuid: uuid(1), address: '02:00:00:00:00:01', createdAtMs: 1 }
  await store.addPort(port)
  await store.putInventory(uuid(1), { a: 1 })
  await store.journal.add({ atMs: 1, nodeUuid: uuid(1), kind: 'seen', detail: {} })
  await store.removeNode(uuid(1))
  expect([
    await store.port(uuid(5)),
    await store.inventory(uuid(1)),
    (await store.journal.ofNode(uuid(1), 10)).map((event) => event.kind),
  ]).toEqual([undefined, undefined, ['seen', 'node-added']])
})

test('a database of a newer program is refused, not overwritten', async () => {
  await store.close()
  const db = new Database(join(dir, 'r.db'))
  const own = Number(db.pragma('user_version', { simple: true }))
  db.pragma('user_version = 99')
  db.close()
  await expect(open()).rejects.toMatchObject({ code: 'store.broken' })
  const back = new Database(join(dir, 'r.db'))
  back.pragma(`user_version = ${own}`)
  back.close()
  store = await open()
})
