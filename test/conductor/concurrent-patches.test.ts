/** Fifty people change one record of a smaller resource at the same time: every change is there afterwards, and its
 *  version tells how many there were. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ANYBODY } from '../../conductor/api/auth.ts'
import { portRoutes, type PortRouteParts } from '../../conductor/api/ports.ts'
import { Query, type ApiRequest, type Route } from '../../conductor/api/route.ts'
import type { ResourceParts } from '../../conductor/api/resource.ts'
import { hardwareRoutes } from '../../conductor/api/resources/hardware.ts'
import { planRoutes } from '../../conductor/api/resources/plans.ts'
import { PortService } from '../../conductor/node/ports.ts'
import { newNode } from '../../conductor/node/record.ts'
import { PORT_DEFAULTS, type Store } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { Turns } from '../../kit/turns.ts'

const WRITERS = 50
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

let dir = ''
let store: SqliteStore
let routes: Route[]
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-patches-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  const slow = slowToRead(store)
  const nodes = {
    find: async () => newNode({ uuid: uuid(1), driver: 'fake-hardware', powerState: 'power off' }, 1),
  } as never
  const parts: ResourceParts = {
    store: slow,
    nodes,
    clock: systemClock,
    random: systemRandom,
    turns: new Turns(),
    recordBytes: 1_000_000,
  }
  const ports = new PortService({
    ...parts,
    plan: { subnets: [], reserved: new Map() },
    onPorts: async () => undefined,
  })
  routes = [
    ...hardwareRoutes({ ...parts, ports }),
    ...planRoutes({ ...parts, apiCalls: { key: 'inspection.apiCallUrls', prefixes: [] } }),
    ...portRoutes({ ...parts, ports } as PortRouteParts),
  ]
  await store.addNode(newNode({ uuid: uuid(1), driver: 'fake-hardware' }, 1))
})
afterAll(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

/** As a database across a network: others have their turn between a reading and what follows from it. */
function slowToRead(fast: SqliteStore): Store {
  const find: Store['objects']['find'] = async (...of) => {
    const found = await fast.objects.find(...of)
    await turn()
    return found
  }
  const port: Store['port'] = async (ident) => {
    const found = await fast.port(ident)
    await turn()
    return found
  }
  return Object.assign(Object.create(fast) as Store, { objects: { ...fast.objects, find }, port })
}

const patch = async (path: string, ident: string, body: unknown) => {
  const route = routes.find((one) => one.method === 'patch' && one.path === path)
  const request = {
    params: { ident },
    query: new Query({}),
    body,
    minor: 110,
    actor: ANYBODY,
    view: { base: 'http://x', conductor: 'x', holderOf: () => undefined },
  }
  return route?.handle(request as unknown as ApiRequest)
}

const TEMPLATE = {
  name: 'CUSTOM_A',
  steps: [{ interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority: 90 }],
  extra: {},
}
const KINDS: readonly [kind: string, path: string, body: Record<string, unknown>][] = [
  ['chassis', '/v1/chassis/:ident', { extra: {} }],
  ['portgroup', '/v1/portgroups/:ident', { extra: {}, mode: 'active-backup' }],
  ['deploy_template', '/v1/deploy_templates/:ident', TEMPLATE],
  ['volume connector', '/v1/volume/connectors/:ident', { type: 'iqn', connector_id: 'iqn.2017-05.org.x:1', extra: {} }],
]

test.each(KINDS)('%s: no change of fifty is lost', async (kind, path, { name = null, ...body }) => {
  const nodeUuid = kind === 'chassis' || kind === 'deploy_template' ? null : uuid(1)
  const fresh = {
    kind,
    uuid: uuid(7),
    version: 0,
    name: name as string | null,
    nodeUuid,
    uniqueKey: null,
    createdAtMs: 1,
    updatedAtMs: null,
    body,
  }
  await store.objects.add(fresh)
  const writers = Array.from({ length: WRITERS }, (_, n) =>
    patch(path, uuid(7), [{ op: 'add', path: `/extra/k${n}`, value: n }]),
  )
  expect((await Promise.allSettled(writers)).filter((one) => one.status === 'rejected')).toEqual([])
  const after = await store.objects.find(kind, uuid(7))
  expect(Object.keys(after?.body.extra as object)).toHaveLength(WRITERS)
  expect(after?.version).toBe(WRITERS)
})

test('port: no change of fifty is lost, and a check is made on what is written', async () => {
  await store.addPort({
    ...PORT_DEFAULTS,
    uuid: uuid(8),
    nodeUuid: uuid(1),
    address: '02:00:00:00:00:08',
    createdAtMs: 1,
  })
  const writers = Array.from({ length: WRITERS }, (_, n) =>
    patch('/v1/ports/:ident', uuid(8), [{ op: 'add', path: `/extra/k${n}`, value: n }]),
  )
  await Promise.all(writers)
  expect(Object.keys((await store.port(uuid(8)))?.extra ?? {})).toHaveLength(WRITERS)
  // Whoever tests a value that only one can remove: one succeeds, the others are told.
  const removers = await Promise.allSettled(
    Array.from({ length: 5 }, () => patch('/v1/ports/:ident', uuid(8), [{ op: 'remove', path: '/extra/k1' }])),
  )
  expect(removers.map((one) => one.status).sort()).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
    'rejected',
  ])
})

test('a record that is gone, or was written meanwhile, is not written over', async () => {
  const group = (await store.objects.find('portgroup', uuid(7)))!
  await store.objects.put(group)
  await expect(store.objects.put(group)).rejects.toMatchObject({ code: 'store.moved' })
  await store.objects.remove('portgroup', uuid(7))
  await expect(store.objects.put({ ...group, version: group.version + 1 })).rejects.toMatchObject({
    code: 'store.moved',
  })
})
