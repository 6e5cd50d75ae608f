/** What a user may ask of a node now, over a live conductor with fake hardware: it is offered what is accepted, told
 *  what is erased, and told why not. */
import { expect, test } from 'vitest'
import { Acts } from '../../conductor/api/board-schemas.ts'
import { actsOf } from '../../conductor/node/query/acts.ts'
import { newNode } from '../../conductor/node/record.ts'
import { STATES, type State } from '../../conductor/node/workflow/states.ts'
import { call, create, drive } from './api-bench.ts'

const of = async (node: string) => Acts.parse((await call('GET', `/rackward/v1/nodes/${node}/acts`)).body)
const named = (list: Acts, name: string) => list.acts.find((act) => act.name === name)

test('what is offered is accepted as it stands, what it erases is said, and what is not offered is refused', async () => {
  const { uuid } = await create({ name: 'acts-1' })
  const first = await of('acts-1')
  expect(first.acts.filter(({ kind }) => kind === 'provision').map(({ name }) => name)).toEqual(['manage'])
  await drive(uuid, ['manage', 'manageable'])
  const manageable = await of(uuid)
  expect(named(manageable, 'provide')).toMatchObject({
    erases: expect.stringContaining('deploy.erase_devices'),
    refused: null,
    cli: 'baremetal node provide acts-1',
  })
  expect(named(manageable, 'adopt')).toMatchObject({ erases: null, ends: null })
  expect(named(manageable, 'deploy')).toBeUndefined()
  expect((await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })).status).toBe(400)
  const { method, path, body } = named(manageable, 'maintenance on')?.request ?? { method: '', path: '', body: {} }
  expect((await call(method, path, { ...body, reason: 'a fan' })).status).toBe(202)

  // What the guards refuse is offered with the reason.
  const kept = await of(uuid)
  expect(named(kept, 'clean')?.refused).toContain('in maintenance: a fan')
  expect(named(kept, 'maintenance on')).toBeUndefined()
  const back = named(kept, 'maintenance off')?.request
  expect((await call(String(back?.method), String(back?.path))).status).toBe(202)
  await drive(uuid, ['provide', 'available'])
  expect(named(await of(uuid), 'deploy')).toMatchObject({ erases: 'the disk that the image is written to' })
  await drive(uuid, ['active', 'active'])
  const active = await of(uuid)
  expect(named(active, 'delete')).toMatchObject({ ends: expect.any(String), erases: expect.any(String) })
  expect(named(active, 'power off')).toMatchObject({ ends: expect.any(String), refused: null })
  expect(named(active, 'power on')).toBeUndefined()
})

test('a locked node is offered nothing that would be refused for its lock, in any state', () => {
  const free = newNode({ uuid: '00000000-0000-4000-8000-000000000001', driver: 'fake-hardware' }, 0)
  const about = { cleanSteps: ['deploy.erase_devices'], may: () => true, mayMaintain: true }
  for (const provisionState of Object.keys(STATES) as State[]) {
    const node = { ...free, provisionState }
    const pendingEffects = [{ do: 'power', to: 'power on' }] as const
    const locked = { ...node, workflow: { ...node.workflow, pendingEffects, lockedAtMs: 0 } }
    const acts = actsOf(locked, about).filter(({ kind }) => kind !== 'maintenance')
    expect([provisionState, acts.filter(({ refused }) => refused === null)]).toEqual([provisionState, []])
    // Whatever leads to a cleaning of its own says that the disks are erased; without one, nothing is.
    for (const act of actsOf(node, { ...about, cleanSteps: [] }).filter(({ name }) => name === 'provide'))
      expect([act.name, act.erases]).toEqual([act.name, null])
  }
})
