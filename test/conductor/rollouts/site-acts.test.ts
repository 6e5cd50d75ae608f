/** What a plan does to no node: before its first node, once, and not where it has changed meanwhile. */
import { expect, test } from 'vitest'
import { internalRequests } from '../../../conductor/api/internal.ts'
import { digestOf } from '../../../conductor/rollouts/plan.ts'
import type { StageRequest } from '../../../conductor/rollouts/requests.ts'
import { decidedBody, type SiteAct } from '../../../conductor/rollouts/site-acts.ts'
import { siteRecords } from '../../../conductor/rollouts/site-records.ts'
import { Fault } from '../../../kit/fault.ts'
import { addNode, apiOf, itemOf, openStore, planOf, runnerOf, take } from './world.ts'

const REBUILD = { do: 'verb', verb: 'rebuild' } as const
const STEPS = [{ interface: 'bios', step: 'factory_reset', args: {}, order: 0 }]
const RUNBOOK = {
  do: 'runbook',
  name: 'CUSTOM_RESET',
  before: null,
  says: [],
  body: { steps: STEPS, disable_ramdisk: false, public: false },
} satisfies SiteAct
const POLICY: SiteAct = { do: 'mesh policy', before: '', change: { isolated: 'fence' }, says: [] }

test('what belongs to no node comes first; one that is refused keeps every node from being begun', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'r1-u1', { provisionState: 'active' })
  const items = [await itemOf(store, node, [REBUILD])]
  const api = apiOf(store)
  const { id } = await api.begin(planOf(items, { acts: [RUNBOOK, POLICY] }))
  const sent: string[] = []
  let isRefused = true
  const runner = runnerOf(store, {
    send: async (request, by) => {
      sent.push(`${request.method} ${request.path}`)
      if (request.method === 'post') return
      if (!request.path.includes('/mesh/')) return take(store, request, by)
      if (isRefused) throw new Fault('object.conflict', 'no such limit')
      expect(request.body).toEqual({ isolated: 'fence', reason: 'the rack file of the site lab' })
    },
  })
  for (let round = 0; round < 4; round += 1) await runner.round()
  expect(sent).toEqual(['post /v1/runbooks', 'put /rackward/v1/mesh/policy'])
  expect(await api.show(id)).toMatchObject({
    state: 'stopped',
    why: expect.stringMatching(/^mesh policy: no such limit/) as unknown,
    nodes: [{ state: 'waiting' }],
  })
  isRefused = false
  await api.change(id, 'resume')
  for (let round = 0; round < 6; round += 1) await runner.round()
  expect(sent.slice(2)).toEqual(['put /rackward/v1/mesh/policy', `put /v1/nodes/${node.uuid}/states/provision`])
  expect(await api.show(id)).toMatchObject({ state: 'done', counts: { done: 1 } })
})

test('a runbook that is there is changed and not made twice, and one that changed since the plan is refused', async () => {
  const { store } = await openStore()
  const api = apiOf(store)
  const uuid = '00000000-0000-4000-8000-00000000000a'
  const found = { ...RUNBOOK.body, steps: [], extra: {} }
  await store.objects.add({
    kind: 'runbook',
    uuid,
    version: 0,
    name: 'CUSTOM_RESET',
    nodeUuid: null,
    uniqueKey: null,
    createdAtMs: 0,
    updatedAtMs: null,
    body: found,
  })
  await expect(api.begin(planOf([], { acts: [RUNBOOK] }))).rejects.toThrow(
    'runbook CUSTOM_RESET: it has changed since the plan was made',
  )
  const before = digestOf(decidedBody('runbook', found))
  const { id } = await api.begin(planOf([], { acts: [{ ...RUNBOOK, before }] }))
  const sent: StageRequest[] = []
  const runner = runnerOf(store, {
    send: (request) => {
      sent.push(request)
      return Promise.resolve()
    },
  })
  for (let round = 0; round < 3; round += 1) await runner.round()
  expect(sent).toMatchObject([{ method: 'patch', path: `/v1/runbooks/${uuid}` }])
  expect(await api.show(id)).toMatchObject({ state: 'done' })
})

test('an answer of the mesh that is a refusal fails the request', async () => {
  const route = { method: 'put', path: '/x', role: 'admin', handle: () => Promise.resolve({ status: 400, body: 'no' }) }
  const send = internalRequests([route as never], {} as never)
  const by = { actor: { user: 'boss', role: 'admin', project: null } as const, id: 'x', nowMs: 0, generation: null }
  await expect(send({ method: 'put', path: '/x' }, by)).rejects.toThrow('/x: 400: "no"')
})

test('what was done is recorded for its site, once however often it is done; a record is made without a request where all holds', async () => {
  const { store } = await openStore()
  const api = apiOf(store)
  const sent: string[] = []
  const runner = runnerOf(store, {
    send: async (request) => {
      sent.push(`${request.method} ${request.path}`)
      if (request.method === 'post')
        await store.objects.add({
          kind: 'runbook',
          uuid: '00000000-0000-4000-8000-00000000000b',
          version: 0,
          name: 'CUSTOM_RESET',
          nodeUuid: null,
          uniqueKey: null,
          createdAtMs: 0,
          updatedAtMs: null,
          body: { ...RUNBOOK.body, extra: {} },
        })
    },
  })
  const wanted = { isolated: 'fence', agent_lost: 'page' } as const
  const through = async (acts: SiteAct[], site: string) => {
    const { id } = await api.begin(planOf([], { acts, site }))
    for (let round = 0; round < 4; round += 1) await runner.round()
    expect(await api.show(id)).toMatchObject({ state: 'done' })
  }
  await through([RUNBOOK, { ...POLICY, wanted }], 'lab')
  expect(sent).toEqual(['post /v1/runbooks', 'put /rackward/v1/mesh/policy'])
  const before = digestOf(decidedBody('runbook', RUNBOOK.body))
  const held: SiteAct[] = [
    { ...RUNBOOK, before },
    { ...POLICY, change: {}, wanted },
  ]
  await through(held, 'lab')
  await through(held, 'east')
  expect(sent).toHaveLength(2)
  const records = (await siteRecords(store)).map(({ atMs: _atMs, ...record }) => record)
  const by = records[0]?.by
  expect(records.toSorted((a, b) => (`${a.site} ${a.what}` < `${b.site} ${b.what}` ? -1 : 1))).toEqual(
    ['east', 'lab'].flatMap((site) => [
      { site, what: 'mesh policy', name: 'policy', body: wanted, by },
      { site, what: 'runbook', name: 'CUSTOM_RESET', body: RUNBOOK.body, by },
    ]),
  )
})
