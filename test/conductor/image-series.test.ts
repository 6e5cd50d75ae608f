/** Versions and channels of images by the API: who may, what a node is given, who is behind, what garbage collection
 *  keeps. */
import { expect, test } from 'vitest'
import { seriesRoutes } from '../../conductor/api/image-series.ts'
import { imageRoutes } from '../../conductor/api/images.ts'
import type { ApiRequest } from '../../conductor/api/route.ts'
import { imageReferences } from '../../conductor/image-store/references.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { imageOfSeries, keepGiven, noteDone } from '../../conductor/image-store/series.ts'
import type { State } from '../../conductor/node/workflow/states.ts'
import type { Store } from '../../conductor/store/port.ts'
import { systemClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { systemRandom } from '../../kit/random.ts'
import { addNode, openStore } from './rollouts/world.ts'

const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)]
const BOSS = { user: 'boss', role: 'admin', project: null } as const
const TENANT = { user: 'tess', role: 'admin', project: 'blue' } as const

const WRITES = [
  { interface: 'deploy', step: 'write_image', args: {}, priority: 80 },
] as unknown as NodeRecord['workflow']['steps']
const ACTIVE = { provisionState: 'active' } as const

function apiOf(store: Store) {
  const images = {
    list: () => Promise.resolve([{ id: OLD, names: [`url-${'0'.repeat(32)}`], createdAt: '' } as never]),
    broken: () => Promise.resolve([]),
    find: (name: string) =>
      ['old', 'new'].includes(name)
        ? Promise.resolve({ id: name === 'old' ? OLD : NEW } as never)
        : Promise.reject(new Fault('image.missing', 'not there')),
  }
  const nodes = {
    find: async (uuid: string) => {
      const node = await store.node(uuid)
      if (!node) throw new Fault('object.missing', uuid)
      return node
    },
  } as never
  const routes = [
    ...seriesRoutes({ store, images, nodes, clock: systemClock, random: systemRandom }),
    ...imageRoutes({ store, images, imageKeeper: {} as never }),
  ]
  return async (method: string, path: string, more: Partial<ApiRequest> & { q?: Record<string, unknown> } = {}) => {
    const route = routes.find((one) => one.method === method && one.path.endsWith(path))
    const params = { name: 'web', version: '1', channel: 'stable' }
    const request = { actor: BOSS, minor: 99, params, ...more } as ApiRequest
    const answer = await route?.handle(request, { behind: 'false', limit: 100, ...more.q })
    return (answer as { body: never }).body as Record<string, never>
  }
}

async function world() {
  const { store } = await openStore()
  const ask = apiOf(store)
  await ask('post', '/versions', { body: { version: '1', image: 'old' } })
  await ask('post', '/versions', { body: { version: '2', image: 'new' } })
  await ask('put', '/:channel', { body: { version: '1' } })
  return { store, ask }
}

test('a channel is resolved to what it is at now, and goes back', async () => {
  const { store, ask } = await world()
  expect(await imageOfSeries(store, 'web@stable')).toBe(OLD)
  await ask('put', '/:channel', { body: { version: '2' } })
  expect(await imageOfSeries(store, 'web@stable')).toBe(NEW)
  expect(await imageOfSeries(store, 'web:1')).toBe(OLD)
  await ask('post', '/rollback')
  expect(await imageOfSeries(store, 'web@stable')).toBe(OLD)
  expect(await imageOfSeries(store, 'web')).toBeUndefined()
  await expect(imageOfSeries(store, 'web@none')).rejects.toThrow('no channel none')
  await expect(imageOfSeries(store, 'other:1')).rejects.toThrow('image other has no version 1')
})

test('a node is behind once its channel has moved on, and not before', async () => {
  const { store, ask } = await world()
  const given = { image_source: 'web@stable' }
  const [follows, pinned] = [
    await addNode(store, 'follows', { ...ACTIVE, instanceInfo: given }),
    await addNode(store, 'pinned', { ...ACTIVE, instanceInfo: given, owner: 'blue' }),
  ]
  await addNode(store, 'blank', { ...ACTIVE, instanceInfo: given })
  await keepGiven(store, follows.uuid, { source: 'web@stable', image: NEW, nowMs: 1 })
  await keepGiven(store, follows.uuid, { source: 'web@stable', image: OLD, nowMs: 2 })
  await keepGiven(store, pinned.uuid, { source: 'web:1', image: OLD, nowMs: 1 })
  const status = async (more: object = {}) => (await ask('get', '/image-status', more)).nodes as unknown as object[]
  expect(await status()).toMatchObject([
    { name: 'follows', version: '1', channel: 'stable', wanted: '1', behind: false },
    { name: 'pinned', version: '1', channel: null, behind: null },
  ])
  await ask('put', '/:channel', { body: { version: '2' } })
  expect(await status({ q: { behind: 'true' } })).toMatchObject([
    { name: 'follows', version: '1', wanted: '2', behind: true },
  ])
  expect(await status({ actor: TENANT })).toMatchObject([{ name: 'pinned' }])
})

test('one node tells the same of itself, to those who see it', async () => {
  const { store, ask } = await world()
  const node = await addNode(store, 'one', { ...ACTIVE, instanceInfo: { image_source: 'web@stable' }, owner: 'blue' })
  const image = async (more: object = {}) =>
    (await ask('get', '/:ident/image', { params: { ident: node.uuid }, ...more })).image
  expect(await image()).toBeNull()
  await keepGiven(store, node.uuid, { source: 'web@stable', image: NEW, nowMs: 1 })
  const told = {
    source: 'web@stable',
    image: NEW,
    series: 'web',
    version: '2',
    channel: 'stable',
    wanted: '1',
    behind: true,
    deploy: 'done',
    on_disk: { source: 'web@stable', image: NEW },
  }
  expect(await image()).toEqual(told)
  expect(await image({ actor: TENANT })).toEqual(told)
  await expect(image({ actor: { ...TENANT, project: 'green' } })).rejects.toThrow('no node')
})

test('an image whose deploy is not done is told as that, and what was deployed before the node was freed is not', async () => {
  const { store, ask } = await world()
  const imageIn = async (provisionState: State) => {
    const node = await addNode(store, provisionState, { provisionState, instanceInfo: { image_source: 'web@stable' } })
    await keepGiven(store, node.uuid, { source: 'web@stable', image: NEW, nowMs: 1 })
    const { image } = await ask('get', '/:ident/image', { params: { ident: node.uuid } })
    return image ? [image['deploy'], image['behind']] : null
  }
  expect(await imageIn('wait call-back')).toEqual(['under way', null])
  expect(await imageIn('deploy failed')).toEqual(['failed', null])
  expect(await imageIn('servicing')).toEqual(['done', true])
  expect(await imageIn('available')).toBeNull()
})

test('a deploy that has chosen no image is told by what was asked for; the disk holds what was done before, if it was', async () => {
  const { store, ask } = await world()
  const told = async (imageId: string | null, isDone: boolean, steps = WRITES) => {
    const node = await addNode(store, `n-${String(imageId)}-${isDone}-${steps.length}`, {
      provisionState: 'deploy failed',
      instanceInfo: { image_source: 'web@none' },
    })
    await store.putNode({ ...node, workflow: { ...node.workflow, imageId, steps } })
    await keepGiven(store, node.uuid, { source: 'web:1', image: OLD, nowMs: 1 })
    if (isDone) await noteDone(store, node.uuid)
    return (await ask('get', '/:ident/image', { params: { ident: node.uuid } })).image
  }
  const asked = { source: 'web@none', image: null, version: null, deploy: 'failed', behind: null }
  expect(await told(null, true)).toMatchObject({ ...asked, on_disk: { source: 'web:1', image: OLD } })
  expect(await told(null, false)).toMatchObject({ ...asked, on_disk: null })
  expect(await told(OLD, true)).toMatchObject({ source: 'web:1', image: OLD, deploy: 'failed', on_disk: null })
  expect(await told(null, true, [])).toMatchObject({ source: 'web:1', image: OLD, on_disk: null })
})

test('the status comes in pages, and a page may have less nodes than were looked at', async () => {
  const { store, ask } = await world()
  const names = ['a', 'b', 'c', 'd', 'e']
  for (const name of names) {
    const { uuid } = await addNode(store, name, { ...ACTIVE, instanceInfo: { image_source: 'web@stable' } })
    if (name !== 'c') await keepGiven(store, uuid, { source: 'web@stable', image: name === 'a' ? NEW : OLD, nowMs: 1 })
  }
  const everyPage = async (q: object) => {
    const pages: string[][] = []
    for (let marker: string | null | undefined = undefined; marker !== null;) {
      const page = (await ask('get', '/image-status', { q: { ...q, ...(marker && { marker }) } })) as unknown as {
        nodes: { name: string }[]
        next: string | null
      }
      pages.push(page.nodes.map(({ name }) => name))
      marker = page.next
    }
    return pages
  }
  // Looked up one by one, and all at once.
  expect(await everyPage({ limit: 1_000 })).toEqual([(await everyPage({ limit: 2 })).flat()])
  const all = await everyPage({ limit: 2 })
  expect(all).toHaveLength(3)
  expect(all.flat().toSorted()).toEqual(['a', 'b', 'd', 'e'])
  expect((await everyPage({ limit: 2, behind: 'true' })).flat()).toEqual(['a'])
})

test('an event tells each change and who made it, and nothing where nothing changed', async () => {
  const { store, ask } = await world()
  await ask('put', '/:channel', { body: { version: '2' } })
  await ask('put', '/:channel', { body: { version: '2' } })
  await ask('post', '/rollback')
  await ask('post', '/versions', { body: { version: '1', image: 'old' } })
  await ask('delete', '/:version', { params: { name: 'web', version: '2' } })
  const events = await store.journal.after(0, { kinds: ['image-series'] }, 100)
  const by = { name: 'web', user: 'boss' }
  expect(events.map(({ detail }) => detail)).toEqual([
    { ...by, what: 'released', version: '1', image: OLD },
    { ...by, what: 'released', version: '2', image: NEW },
    { ...by, what: 'promoted', version: '1', image: OLD, channel: 'stable', from: null },
    { ...by, what: 'promoted', version: '2', image: NEW, channel: 'stable', from: '1' },
    { ...by, what: 'rolled back', version: '1', image: OLD, channel: 'stable', from: '2' },
    { ...by, what: 'withdrawn', version: '2', image: NEW },
  ])
})

test('a server stays a user of its image when its order is done, also of one that was fetched', async () => {
  const { store, ask } = await world()
  const node = await addNode(store, 'n', { instanceInfo: { image_source: 'https://images/web' } })
  await keepGiven(store, node.uuid, { source: 'https://images/web', image: OLD, nowMs: 1 })
  const users = async () => (await ask('get', '/v1/images')).images as unknown as { used_by: object[] }[]
  expect(await users()).toMatchObject([{ used_by: [{ name: 'n' }] }])
  // Another image was asked for since, and nothing is known of it yet.
  await store.putNode({ ...node, instanceInfo: { image_source: 'https://images/other' } })
  expect(await users()).toMatchObject([{ used_by: [] }])
})

test('a user of one project neither sees nor changes releases; wrong requests are refused', async () => {
  const { ask } = await world()
  const denied = { actor: TENANT, body: { version: '2' } }
  for (const [method, path] of [
    ['get', '/image-series'],
    ['get', '/:name'],
    ['post', '/versions'],
    ['put', '/:channel'],
    ['post', '/rollback'],
    ['delete', '/:version'],
  ] as const)
    await expect(ask(method, path, denied), path).rejects.toThrow('confined to project blue')
  await expect(ask('post', '/versions', { body: { version: '3', image: 'none' } })).rejects.toThrow('not there')
  await expect(ask('post', '/versions', { body: { version: '1', image: 'new' } })).rejects.toThrow('release another')
  await expect(
    ask('post', '/versions', { params: { name: 'http' }, body: { version: '1', image: 'new' } }),
  ).rejects.toThrow('scheme')
  await expect(
    ask('put', '/:channel', { params: { name: 'other', channel: 'stable' }, body: { version: '1' } }),
  ).rejects.toThrow('was released')
})

test('garbage collection keeps every version, and what a node was last given', async () => {
  const { store } = await world()
  const node = await addNode(store, 'n')
  await keepGiven(store, node.uuid, { source: 'web@stable', image: 'c'.repeat(64), nowMs: 1 })
  const { by } = await imageReferences(store)
  expect(by.get(OLD)).toBe('it is version 1 of web')
  expect(by.get('c'.repeat(64))).toBe('a node was deployed with it')
})

test('changes at the same time are all kept', async () => {
  const { store, ask } = await world()
  const channels = Array.from({ length: 10 }, (_, i) => `c${i}`)
  await Promise.all(
    channels.map((channel) => ask('put', '/:channel', { params: { name: 'web', channel }, body: { version: '1' } })),
  )
  for (const channel of channels) expect(await imageOfSeries(store, `web@${channel}`)).toBe(OLD)
})
