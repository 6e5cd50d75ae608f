/** What users can write into secrets, and what then stands in the database: never a secret in clear, and never a user's
 *  value taken for a sealed one. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemRandom } from '../../kit/random.ts'

const UUID = '00000000-0000-4000-8000-000000000001'
let dir = ''
let store: SqliteStore
const open = () => new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-secrets-'))
  store = open()
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})
const again = async (node: Partial<NodeRecord>) => {
  await store.addNode(newNode({ uuid: UUID, driver: 'ipmi', ...node }, 1))
  await store.close()
  store = open()
  return store.node(UUID)
}

test.each([
  ['a text that looks sealed', { x_password: 'sealed:v1:AAAA' }],
  ['one of the second form', { x_password: 'sealed:v2:AAAA' }],
  ['the map of sealed values itself', { x_password: '{"[\\"instanceInfo\\",\\"x_password\\"]":"sealed:v2:AAAA"}' }],
  ['an object in the place of a secret', { a_secret: { sealed: 'sealed:v2:AAAA', $sealed: true } }],
  ['nested secrets', { redfish: { password: 'one', list: [{ token: 'two' }, { token: 3 }] } }],
  ['numbers, lists, nothing', { ipmi_password: 12_345, b_token: [1, 'x'], c_secret: null, d_password: '' }],
  [
    'keys that objects have',
    JSON.parse('{"__proto__": {"password": "p"}, "constructor": {"password": "q"}}') as Record<string, unknown>,
  ],
])('%s comes back as it was', async (_what, info) => {
  const node = await again({ instanceInfo: info, driverInfo: info })
  expect(JSON.stringify([node?.instanceInfo, node?.driverInfo])).toBe(JSON.stringify([info, info]))
})

test('no secret stands in the files, whatever its kind and however deep', async () => {
  await again({
    driverInfo: {
      redfish: { password: 'correct horse', more: [{ api_token: 'battery staple' }] },
      ipmi_password: 918_273_645,
    },
  })
  await store.putNode((await store.node(UUID))!)
  await store.close()
  for (const file of ['r.db', 'r.db-wal']) {
    const bytes = await readFile(join(dir, file)).catch(() => Buffer.alloc(0))
    for (const secret of ['correct horse', 'battery staple', '918273645'])
      expect([file, secret, bytes.includes(secret)]).toEqual([file, secret, false])
  }
  store = open()
})

test('a config drive is kept beside the record, sealed, and goes when the record refers to it no more', async () => {
  await store.addNode(newNode({ uuid: UUID, driver: 'ipmi' }, 1))
  const content = { user_data: 'correct horse '.repeat(200_000) }
  const drive = await store.addConfigDrive(UUID, 'first', content)
  let node = await store.putNode({ ...(await store.node(UUID))!, configDrive: drive })
  expect([drive.pieces, await store.configDrive(UUID, drive)]).toEqual([3, content])
  expect(JSON.stringify(await store.node(UUID)).length).toBeLessThan(10_000)
  // An upload that is not referred to yet outlives a change of the node; what it replaces does not.
  const second = await store.addConfigDrive(UUID, 'second', 'YQ==')
  node = await store.putNode({ ...node, description: 'changed meanwhile' })
  await store.removeConfigDrive('first')
  expect(await store.configDrive(UUID, drive)).toEqual(content)
  await store.putNode({ ...node, configDrive: second })
  await expect(store.configDrive(UUID, drive)).rejects.toMatchObject({ code: 'store.damaged' })
  expect(await store.configDrive(UUID, second)).toEqual(Buffer.from('a'))
  // What a conductor that died left behind is cleared away.
  const lost = await store.addConfigDrive(UUID, 'lost', 'YQ==')
  await store.close()
  for (const file of ['r.db', 'r.db-wal'])
    expect((await readFile(join(dir, file)).catch(() => Buffer.alloc(0))).includes('correct horse')).toBe(false)
  store = open()
  await store.survey()
  await expect(store.configDrive(UUID, lost)).rejects.toMatchObject({ code: 'store.damaged' })
  expect(await store.configDrive(UUID, second)).toEqual(Buffer.from('a'))
})

const target = (properties: Record<string, unknown>) => ({
  kind: 'volume target',
  uuid: '00000000-0000-4000-8000-00000000000a',
  name: null,
  nodeUuid: UUID,
  uniqueKey: `${UUID} 0`,
  createdAtMs: 1,
  updatedAtMs: null,
  version: 0,
  body: { node_uuid: UUID, volume_type: 'iscsi', volume_id: 'v', boot_index: 0, properties },
})

test('the password of a volume stands in no file, and comes back', async () => {
  await store.addNode(newNode({ uuid: UUID, driver: 'ipmi' }, 1))
  const made = target({
    target_portal: '192.0.2.1:3260',
    auth_password: 'correct horse',
    nested: { auth_password: 'sealed:v2:AAAA' },
  })
  await store.objects.add(made)
  await store.close()
  for (const file of ['r.db', 'r.db-wal']) {
    const bytes = await readFile(join(dir, file)).catch(() => Buffer.alloc(0))
    expect([file, bytes.includes('correct horse')]).toEqual([file, false])
  }
  store = open()
  expect((await store.objects.find(made.kind, made.uuid))?.body).toEqual(made.body)
})

test('a volume of an older database is sealed at the next start', async () => {
  await store.addNode(newNode({ uuid: UUID, driver: 'ipmi' }, 1))
  const made = target({ auth_password: 'battery staple' })
  await store.objects.add(made)
  await store.close()
  const db = new Database(join(dir, 'r.db'))
  db.prepare('UPDATE objects SET sealed = NULL, body = ?').run(JSON.stringify(made.body))
  db.close()

  store = open()
  expect((await store.objects.find(made.kind, made.uuid))?.body).toEqual(made.body)
  await store.close()
  const again = new Database(join(dir, 'r.db'))
  expect((again.prepare('SELECT body FROM objects').get() as { body: string }).body).not.toContain('battery staple')
  again.close()
  store = open()
})
