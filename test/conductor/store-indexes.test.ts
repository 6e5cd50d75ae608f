/** Indexes of the store: what a change of a record writes, and that lists still find what changed. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { PORT_DEFAULTS, type NodeFilter } from '../../conductor/store/port.ts'
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
