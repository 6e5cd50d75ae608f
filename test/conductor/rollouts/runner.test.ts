/** Roll-outs in a store: a pause holds at once, two conductors send no verb twice, one that was never whole is given
 *  up, and nothing secret stands where it can be read. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { internalRequests } from '../../../conductor/api/internal.ts'
import { stateRoutes } from '../../../conductor/api/nodes/verbs.ts'
import { NodeService } from '../../../conductor/node/service.ts'
import { Turns } from '../../../kit/turns.ts'
import { addRollout, ROLLOUT, TURN } from '../../../conductor/rollouts/kept.ts'
import type { Stage } from '../../../conductor/rollouts/plan.ts'
import { requestOf, type StageRequest } from '../../../conductor/rollouts/requests.ts'
import type { Store } from '../../../conductor/store/port.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { addNode, apiOf, itemOf, openStore, planOf, runnerOf, take } from './world.ts'

const REBUILD = { do: 'verb', verb: 'rebuild' } as const

async function rebuilding(count: number) {
  const { store } = await openStore()
  const nodes = []
  for (let i = 1; i <= count; i += 1) nodes.push(await addNode(store, `r1-u${i}`, { provisionState: 'active' }))
  const items = []
  for (const node of nodes) items.push(await itemOf(store, node, [REBUILD]))
  const api = apiOf(store)
  return { store, nodes, api, id: (await api.begin(planOf(items))).id }
}

test('a roll-out that is paused in the middle of a round sends nothing more, and goes on when it is resumed', async () => {
  const { store, api, id } = await rebuilding(3)
  const sent: string[] = []
  const runner = runnerOf(store, {
    send: async (request, by) => {
      sent.push(request.path)
      await take(store, request, by)
      if (sent.length === 1) await api.change(id, 'pause')
    },
  })
  for (let round = 0; round < 4; round += 1) await runner.round()
  expect(sent.length).toBe(1)
  await api.change(id, 'resume')
  for (let round = 0; round < 6; round += 1) await runner.round()
  expect(new Set(sent).size).toBe(3)
  expect(sent.length).toBe(3)
  expect(await api.show(id)).toMatchObject({ state: 'done', counts: { done: 3 } })
})

test('a node that fails stops the others in the same round, and what sets something takes no round of its own', async () => {
  const { store } = await openStore()
  const traits: Stage = { do: 'traits', traits: ['CUSTOM_A'] }
  const items = []
  for (let i = 1; i <= 3; i += 1)
    items.push(await itemOf(store, await addNode(store, `r1-u${i}`, { provisionState: 'active' }), [traits, REBUILD]))
  const api = apiOf(store)
  const { id } = await api.begin(planOf(items))
  const sent: string[] = []
  const send = async ({ path }: StageRequest) => {
    sent.push(path.split('/').at(-1) ?? '')
    if (path.endsWith('provision')) throw new Fault('input.invalid', 'no such image')
  }
  const runner = runnerOf(store, { send })
  for (let round = 0; round < 3; round += 1) await runner.round()
  expect(sent).toEqual(['traits', 'provision'])
  expect(await api.show(id)).toMatchObject({ state: 'stopped', counts: { failed: 1, waiting: 2 } })
})

test('a conductor that stands still before a send, and one that goes on instead: the verb is taken once', async () => {
  const { store, api, id, nodes } = await rebuilding(1)
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  let isWaiting = false
  const slow = runnerOf(store, {
    send: async (request, by) => {
      isWaiting = true
      await gate
      await take(store, request, by)
    },
  })
  const next = runnerOf(store, { send: (request, by) => take(store, request, by) })
  const standing = slow.round()
  await until(() => isWaiting, { what: 'the first conductor to send', timeoutMs: 20_000, everyMs: 5 })
  await next.round()
  letGo()
  await standing
  await next.round()
  await next.round()
  await next.round()
  expect(await api.show(id)).toMatchObject({ state: 'done', counts: { done: 1 } })
  expect((await store.node(nodes[0]?.uuid ?? ''))?.workflow.generation).toBe(1)
})

test('a verb of a roll-out is refused by a node that has taken another one since its generation was recorded', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'r1-u1')
  const taken = { ...node, workflow: { ...node.workflow, generation: 1 } }
  const worker = { dispatch: async (_: string, make: (now: typeof node) => unknown) => make(taken) }
  const sightings = { look: () => ({ agentAtMs: 0 }) }
  const limits = { recordBytes: 1_000_000 }
  const nodes = new NodeService({ store, worker, sightings, limits, clock: systemClock } as never)
  const send = internalRequests(stateRoutes({ nodes, store, turns: new Turns(), interlock: undefined }), {
    conductor: 'a',
    holderOf: () => undefined,
    base: '',
  } as never)
  const request = {
    method: 'put',
    path: `/v1/nodes/${node.uuid}/states/provision`,
    body: { target: 'manage' },
  } as const
  const by = { actor: { user: 'boss', role: 'admin', project: null }, id: 'x', nowMs: 0 } as const
  await expect(send(request, { ...by, generation: 0 })).rejects.toThrow('was sent another verb meanwhile')
  await send(request, { ...by, generation: 1 })
  await send(request, { ...by, generation: null })
  await expect(send(request, { ...by, actor: { ...by.actor, role: 'reader' }, generation: 1 })).rejects.toThrow(
    'reader',
  )
  const confined = { ...by.actor, project: 'blue' }
  await expect(send(request, { ...by, actor: confined, generation: 1 })).rejects.toMatchObject({
    code: 'object.missing',
  })
})

test('nodes of a roll-out are read once, not in each round', async () => {
  const { store, api, id } = await rebuilding(5)
  let lists = 0
  const counted = new Proxy(store.objects, {
    get: (objects, name: 'list') => {
      if (name === 'list') lists += 1
      return objects[name].bind(objects)
    },
  })
  const whole = Object.create(store, { objects: { value: counted } }) as Store
  const runner = runnerOf(whole, { send: (request, by) => take(store, request, by) })
  for (let round = 0; round < 8; round += 1) await runner.round()
  expect(lists).toBe(1)
  expect(await api.show(id)).toMatchObject({ state: 'done', counts: { done: 5 } })
})

test('one whose conductor ended before all nodes were stored is given up, and leaves the site free', async () => {
  const { store, api, id } = await rebuilding(1)
  await api.change(id, 'cancel')
  const roll = planOf([]).roll
  const by = { user: 'boss', role: 'admin', project: null } as const
  const head = { roll, forgiven: 0, canariesDoneAtMs: null, why: null, site: 'lab', hash: '', by, secrets: {} }
  const uuid = '00000000-0000-4000-8000-000000000001'
  const nowMs = systemClock.now()
  await addRollout(store, { ...head, state: 'preparing', counts: null }, { uuid, nowMs })
  const at = (afterMs: number) => runnerOf(store, { clock: { ...systemClock, now: () => nowMs + afterMs } })
  await at(60_000).round()
  await expect(api.begin(planOf([]))).rejects.toThrow(`${uuid} of the site lab is preparing: wait, or cancel it`)
  await at(660_000).round()
  expect(await api.show(uuid)).toMatchObject({ state: 'cancelled' })
  expect(await api.begin(planOf([]))).toMatchObject({ state: 'running' })
})

test('config drives and secrets are sealed in the store, and no refusal quotes a secret', async () => {
  const { store, path } = await openStore()
  const node = await addNode(store, 'r1-u1', { provisionState: 'available' })
  const drive = { user_data: 'chpasswd root:hunter2', meta_data: { x: { $secret: 'meta' } } }
  const deploy = { do: 'verb', verb: 'active', arguments: { configdrive: drive } } as const
  const api = apiOf(store)
  const plan = planOf([await itemOf(store, node, [deploy])], { secrets: ['meta'] })
  const { id } = await api.begin(plan, { meta: 'hunter3' })
  const read = async () => {
    const files = [path, `${path}-wal`].map((name) => readFile(name, 'latin1').catch(() => ''))
    return (await Promise.all(files)).join('')
  }
  expect(await read()).toContain(id)
  expect(await read()).not.toContain('hunter')
  const runner = runnerOf(store, {
    send: async ({ body }) => Promise.reject(new Fault('input.invalid', `configdrive: ${JSON.stringify(body)}`)),
  })
  await runner.round()
  await runner.round()
  const { nodes } = await api.show(id)
  expect(nodes?.[0]?.why).toContain('active: configdrive: ')
  expect(nodes?.[0]?.why).toContain('"x":"******"')
  expect(nodes?.[0]?.why).not.toContain('hunter3')
})

test('a verb is the one that was agreed to, whatever its arguments say', () => {
  const at = { nodeUuid: 'n', portUuid: 'p', secrets: {} }
  const stage = { do: 'verb', verb: 'manage', arguments: { target: 'deleted' } } as const
  expect(requestOf(stage, at).body).toEqual({ target: 'manage' })
})

test('a new driver brings its own interfaces', () => {
  const at = { nodeUuid: 'n', portUuid: 'p', secrets: {} }
  const patch = (path: string): Stage => ({ do: 'patch', patch: [{ op: 'add', path, value: 'redfish' }] })
  expect(requestOf(patch('/driver'), at).query).toEqual({ reset_interfaces: 'true' })
  expect(requestOf(patch('/name'), at).query).toBeUndefined()
})

test('of two conductors that take a plan of one site at the same time, one refuses it and leaves nothing', async () => {
  const { store } = await openStore()
  const items = []
  for (let i = 1; i <= 3; i += 1)
    items.push(await itemOf(store, await addNode(store, `r1-u${i}`, { provisionState: 'active' }), [REBUILD]))
  const began = await Promise.allSettled([apiOf(store).begin(planOf(items)), apiOf(store).begin(planOf(items))])
  expect(began.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  const refused = began.find((one) => one.status === 'rejected')
  expect(String(refused?.reason)).toMatch(/the roll-out .* of the site lab is (preparing|running): wait, or cancel it/)
  expect((await store.objects.every(ROLLOUT)).length).toBe(1)
  expect((await store.objects.every(TURN)).length).toBe(3)
})

test('a plan that cannot be stored whole leaves nothing, and old ones go with all of their nodes', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'r1-u1', { provisionState: 'active' })
  const plan = planOf([await itemOf(store, node, [REBUILD])])
  const full = new Proxy(store.objects, {
    get: (objects, name: 'addAll') => {
      if (name !== 'addAll') return (objects[name] as () => unknown).bind(objects)
      return async (all: Parameters<Store['objects']['addAll']>[0]) => {
        if (all.some(({ kind }) => kind === TURN)) throw new Fault('store.broken', 'the disk is full')
        return objects.addAll(all)
      }
    },
  })
  const broken = Object.create(store, { objects: { value: full } }) as Store
  await expect(apiOf(broken).begin(plan)).rejects.toThrow('the disk is full')
  expect(await store.objects.every(ROLLOUT)).toEqual([])

  const api = apiOf(store)
  for (let i = 0; i < 5; i += 1) await api.change((await api.begin(plan)).id, 'cancel')
  expect((await store.objects.every(ROLLOUT)).length).toBe(2)
  expect((await store.objects.every(TURN)).length).toBe(2)
})

test('a plan of many nodes is stored in few transactions', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'r1-u1', { provisionState: 'active' })
  const item = await itemOf(store, node, [REBUILD])
  const items = Array.from({ length: 600 }, (_, i) => ({ ...item, node: `new-${i}`, uuid: null, fingerprint: null }))
  const calls: string[] = []
  const counted = new Proxy(store.objects, {
    get: (objects, name: 'add') => {
      if (['add', 'addAll', 'put'].includes(name)) calls.push(name)
      return (objects[name] as () => unknown).bind(objects)
    },
  })
  const whole = Object.create(store, { objects: { value: counted } }) as Store
  const { counts } = await apiOf(whole).begin(planOf(items))
  expect(counts).toEqual({ waiting: 600 })
  expect(calls).toEqual(['add', 'addAll', 'addAll', 'addAll', 'put'])
})

test('a plan names each node once, and by the name that it has', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'r1-u1', { provisionState: 'active' })
  const item = await itemOf(store, node, [REBUILD])
  const api = apiOf(store)
  await expect(api.begin(planOf([item, item]))).rejects.toThrow('a node stands there twice')
  await expect(api.begin(planOf([item, { ...item, node: 'other' }]))).rejects.toThrow('a node stands there twice')
  await expect(api.begin(planOf([{ ...item, node: 'r1-u2' }]))).rejects.toThrow(`the node ${node.uuid} is not r1-u2`)
})

test('no more roll-outs are under way than are kept', async () => {
  const api = apiOf((await openStore()).store)
  await api.begin(planOf([], { site: 'a' }))
  const { id } = await api.begin(planOf([], { site: 'b' }))
  await expect(api.begin(planOf([], { site: 'c' }))).rejects.toThrow('2 roll-outs have not ended')
  await api.change(id, 'cancel')
  await api.begin(planOf([], { site: 'c' }))
})
