/** Hooks of several conductors with one store: no more is held than may be, and nothing stays held; a fault that came
 *  meanwhile is not ended with the alert; what failed is sent again. */
import { expect, test } from 'vitest'
import { hookRoutes } from '../../conductor/api/hooks.ts'
import { problemOf } from '../../conductor/api/problems.ts'
import { alertsOf } from '../../conductor/hooks/alerts.ts'
import type { HookConfig } from '../../conductor/hooks/config.ts'
import { addHeld, everyHeld } from '../../conductor/hooks/records.ts'
import { HookService, type HookServiceParts } from '../../conductor/hooks/service.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import type { Store } from '../../conductor/store/port.ts'
import { systemClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { systemRandom } from '../../kit/random.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { addNode, openStore } from './rollouts/world.ts'

const HOOK: HookConfig = {
  name: 'hot',
  from: 'alertmanager',
  act: 'maintenance',
  label: 'host',
  atOnce: 1,
  auth: 'token',
  secret: 'a-secret-of-some-length',
}
const alert = (target: string, fingerprint: string, firing = true) => ({ fingerprint, name: 'Hot', firing, target })

/** Its first `count` calls go on together. */
function meeting(count: number): () => Promise<void> {
  let left = count
  let open: () => void = () => undefined
  const all = new Promise<void>((resolve) => (open = resolve))
  return async () => {
    if (left <= 0) return
    left -= 1
    if (left === 0) open()
    await all
  }
}

/** As NodeService changes a record, without what else it checks. */
function nodesOf(store: Store): HookServiceParts['nodes'] {
  const find = async (ident: string): Promise<NodeRecord> => {
    const node = (await store.nodeByName(ident)) ?? (await store.node(ident))
    if (!node) throw new Fault('object.missing', 'no node')
    return node
  }
  return {
    find,
    async update(ident, change) {
      const next = change(await find(ident))
      return store.putNode(next.maintenance ? next : { ...next, maintenanceReason: null, fault: null })
    },
  }
}

interface ConductorMade {
  readonly atFind?: () => Promise<void>
  readonly atEvery?: () => Promise<void>
  readonly nodes?: HookServiceParts['nodes']
  readonly clock?: HookServiceParts['clock']
  readonly link?: HookServiceParts['link']
}

function conductorOf(store: Store, made: ConductorMade = {}): HookService {
  const { atFind, atEvery, nodes = nodesOf(store), clock = systemClock, link } = made
  const objects = new Proxy(store.objects, {
    get: (given, name: 'every') =>
      name !== 'every'
        ? (given[name] as () => unknown).bind(given)
        : async (kind: string) => {
            const found = await given.every(kind)
            await atEvery?.()
            return found
          },
  })
  const find = async (ident: string) => {
    const node = await nodes.find(ident)
    await atFind?.()
    return node
  }
  return new HookService({
    store: { objects, journal: store.journal },
    nodes: { find, update: nodes.update.bind(nodes) },
    link,
    clock,
    random: systemRandom,
    kept: 100,
    onLimit: () => undefined,
  })
}

const inMaintenance = async (store: Store, names: readonly string[]) => {
  const nodes = await Promise.all(names.map((name) => store.nodeByName(name)))
  return nodes.flatMap((node) => (node?.maintenance ? [node.name] : []))
}

test('two conductors that find the last place free at the same time hold no more than atOnce', async () => {
  const { store } = await openStore()
  for (const name of ['n1', 'n2']) await addNode(store, name, {})
  const atFind = meeting(2)
  const [one, two] = [conductorOf(store, { atFind }), conductorOf(store, { atFind })]
  await Promise.all([one.take(HOOK, [alert('n1', 'a')]), two.take(HOOK, [alert('n2', 'b')])])
  expect((await inMaintenance(store, ['n1', 'n2'])).length).toBeLessThanOrEqual(1)
  // What was refused left nothing that would take a place.
  const held = await inMaintenance(store, ['n1', 'n2'])
  expect((await everyHeld(store)).length).toBe(held.length)
  if (held.length === 0) expect(await one.take(HOOK, [alert('n1', 'a')])).toMatchObject([{ did: 'held' }])
})

test('the same alert at two conductors is held once, and both say so', async () => {
  const { store } = await openStore()
  await addNode(store, 'n1', {})
  const atFind = meeting(2)
  const [one, two] = [conductorOf(store, { atFind }), conductorOf(store, { atFind })]
  const answers = await Promise.all([one.take(HOOK, [alert('n1', 'a')]), two.take(HOOK, [alert('n1', 'a')])])
  for (const [answer] of answers) expect(['held', 'known']).toContain(answer?.did)
  expect((await everyHeld(store)).map(({ body }) => body.state)).toEqual(['held'])
})

test('two alerts about a node that are resolved at two conductors at once do not leave it held', async () => {
  const { store } = await openStore()
  await addNode(store, 'n1', {})
  await conductorOf(store).take(HOOK, [alert('n1', 'a'), alert('n1', 'b')])
  expect(await inMaintenance(store, ['n1'])).toEqual(['n1'])
  const atEvery = meeting(2)
  const [one, two] = [conductorOf(store, { atEvery }), conductorOf(store, { atEvery })]
  await Promise.all([one.take(HOOK, [alert('n1', 'a', false)]), two.take(HOOK, [alert('n1', 'b', false)])])
  expect(await inMaintenance(store, ['n1'])).toEqual([])
  expect(await everyHeld(store)).toEqual([])
})

test('a fault that came while a hook held the node outlives the alert', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'n1', {})
  const hooks = conductorOf(store)
  await hooks.take(HOOK, [alert('n1', 'a')])
  const held = (await store.node(node.uuid)) as NodeRecord
  await store.putNode({ ...held, fault: 'boot claimed twice' })
  expect(await hooks.take(HOOK, [alert('n1', 'a', false)])).toMatchObject([{ did: 'left' }])
  expect(await store.node(node.uuid)).toMatchObject({ maintenance: true, fault: 'boot claimed twice' })
})

test('what failed is answered with 503, and done when it is sent again', async () => {
  const { store } = await openStore()
  await addNode(store, 'n1', {})
  const { find } = nodesOf(store)
  const update = () => Promise.reject(new Fault('node.locked', 'its lock is held'))
  const error: unknown = await conductorOf(store, { nodes: { find, update } })
    .take(HOOK, [alert('n1', 'a')])
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'hook.unfinished', detail: expect.stringContaining('its lock is held') })
  // Alertmanager sends again after a status of 5xx alone.
  expect(problemOf(error).status).toBe(503)
  expect(problemOf(new Fault('access.often', 'x')).status).toBe(503)
  expect(await conductorOf(store).take(HOOK, [alert('n1', 'a')])).toMatchObject([{ did: 'held' }])
})

test('a mesh that does not answer is asked a few times for many alerts, and not for each', async () => {
  const { store } = await openStore()
  const clock = new HandClock(1_000_000)
  let asked = 0
  const registry = () => {
    asked += 1
    clock.pass(10_000)
    return Promise.reject(new Fault('mesh.leaderless', 'no leader'))
  }
  const link = { registry, request: registry }
  const hooks = conductorOf(store, { clock, link })
  const post = () =>
    hooks.take(
      { ...HOOK, act: 'drain' },
      Array.from({ length: 100 }, (_, i) => alert(`h${i}`, `f${i}`)),
    )
  const posts = await Promise.allSettled([post(), post(), post()])
  expect(posts.map((one) => (one.status === 'rejected' ? (one.reason as Fault).code : 'done'))).toEqual([
    'mesh.leaderless',
    'mesh.leaderless',
    'mesh.leaderless',
  ])
  expect(asked).toBeLessThanOrEqual(5)
})

test('an act that a restart interrupted takes no place of a node that others hold now', async () => {
  const { store } = await openStore()
  const [one] = [await addNode(store, 'n1', { maintenance: true, maintenanceReason: 'a fan' })]
  await addNode(store, 'n2', {})
  const body = { hook: 'hot', act: 'maintenance', fingerprint: 'a', alert: 'Hot', target: one.uuid } as const
  await addHeld(store, { ...body, state: 'begun' }, { uuid: systemRandom.uuid(), nowMs: 1 })
  const hooks = conductorOf(store)
  // It may have been done: until it is known, it counts.
  expect(await hooks.take(HOOK, [alert('n2', 'b')])).toMatchObject([{ did: 'refused' }])
  expect(await hooks.take(HOOK, [alert('n1', 'a')])).toMatchObject([{ did: 'refused' }])
  expect(await hooks.take(HOOK, [alert('n2', 'b')])).toMatchObject([{ did: 'held' }])
})

test('what a hook holds that the configuration has no more is shown', async () => {
  const { store } = await openStore()
  await addNode(store, 'n1', {})
  const service = conductorOf(store)
  await service.take(HOOK, [alert('n1', 'a')])
  const parts = { hooks: { list: [], door: undefined, service }, hookLimits: undefined } as unknown
  const [list] = hookRoutes(parts as Parameters<typeof hookRoutes>[0])
  const request = { actor: { user: 'x', role: 'admin', project: null } } as unknown
  expect(await list?.handle(request as Parameters<typeof list.handle>[0], {})).toMatchObject({
    body: { hooks: [{ name: 'hot', from: null, act: 'maintenance', holds: [{ fingerprint: 'a' }] }] },
  })
})

test('text of an alert that would move a terminal stands in no event', () => {
  const body = { alerts: [{ status: 'firing', labels: { alertname: 'a\u001b[2Jb', host: 'n1\u001b[2J' } }] }
  expect(alertsOf(body, { hook: HOOK, host: undefined, maxAlerts: 1 })).toMatchObject([
    { name: 'a?[2Jb', target: undefined },
  ])
})
