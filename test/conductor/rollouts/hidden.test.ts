/** A plan that says that nothing is erased, although it is: it is refused, whatever its later stages say. */
import { expect, test } from 'vitest'
import { rackNode } from '../../../conductor/api/rack.ts'
import type { NodeRecord } from '../../../conductor/node/record.ts'
import type { Stage } from '../../../conductor/rollouts/plan.ts'
import { addNode, apiOf, itemOf, openStore, planOf } from './world.ts'

const QUIET: Stage = { do: 'patch', patch: [{ op: 'add', path: '/automated_clean', value: false }] }
const PROVIDE: Stage = { do: 'verb', verb: 'provide', erases: false }
const nodes = {
  cleanSteps: (node: NodeRecord) => (node.automatedClean === false ? [] : [{ step: 'erase_devices' }]),
} as never

test('a cleaning that a plan hides is refused, also where it is switched off too late', async () => {
  const { store } = await openStore()
  const node = await addNode(store, 'u01', { provisionState: 'manageable' })
  const { fingerprint } = await rackNode({ store, nodes }, node)
  const begin = async (stages: Stage[]) =>
    apiOf(store, { nodes }).begin(planOf([{ ...(await itemOf(store, node, stages)), fingerprint }]))
  const refused = { code: 'input.invalid', detail: expect.stringContaining('is cleaned by itself') as string }
  await expect(begin([PROVIDE])).rejects.toMatchObject(refused)
  await expect(begin([PROVIDE, QUIET])).rejects.toMatchObject(refused)
  expect((await begin([QUIET, PROVIDE])).site).toBe('lab')
})
