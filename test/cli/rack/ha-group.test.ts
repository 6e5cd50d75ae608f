/** The group of servers that stand in for each other: it stands beside the place, as the conductor's admission reads
 *  it. */
import { expect, test } from 'vitest'
import { readLocated } from '../../../cli/rack/located.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { fieldsOf } from '../../../cli/rack/wanted.ts'
import { standingOf } from '../../../conductor/admission/standing.ts'
import { ADMISSION } from '../../../conductor/node/policy/admission.ts'
import { newNode } from '../../../conductor/node/record.ts'

const file = (rack: string, unit: string) => `version: 1
site: lab
profiles: { db: { driver: fake-hardware, ha_group: 'db-{rack}' } }
racks: { ${rack}: { units: { u07: { use: [db], ${unit} } } } }
`
async function extraOf(rack: string, unit: string): Promise<unknown> {
  const { nodes } = resolve(await readLocated(file(rack, unit), 'rack.yaml'))
  return nodes[0] && fieldsOf(nodes[0])['extra/rackward']
}

test.each([
  ['r1', 'u: 7', { ha_group: 'db-r1', rack: 'r1', u: 7, height: 1 }],
  ['r1', 'extra: { rackward: { ha_group: web, note: x } }', { ha_group: 'db-r1', note: 'x', rack: 'r1' }],
  ['r1', 'extra: { rackward: { rack: other } }', { ha_group: 'db-r1', rack: 'r1' }],
  ['unplaced', 'u: 7', { ha_group: 'db-unplaced' }],
])('%s, %s', async (rack, unit, extra) => {
  expect(await extraOf(rack, unit)).toEqual(extra)
})

test('without a field of its own, what extra says of it stays beside the place', async () => {
  const text = file('r1', 'u: 7, extra: { rackward: { ha_group: web } }').replace("ha_group: 'db-{rack}'", '')
  const { nodes } = resolve(await readLocated(text, 'rack.yaml'))
  expect(nodes[0] && fieldsOf(nodes[0])['extra/rackward']).toEqual({ ha_group: 'web', rack: 'r1', u: 7, height: 1 })
})

test('the conductor counts it', async () => {
  const rackward = await extraOf('r1', 'u: 7')
  const node = newNode({ uuid: 'u', driver: 'fake-hardware', provisionState: 'cleaning', extra: { rackward } }, 0)
  const waiting = { ...node, workflow: { ...node.workflow, pendingEffects: [ADMISSION] } }
  const standing = standingOf(waiting)
  expect(standing.is === 'waiting' && [standing.waiting.group, standing.waiting.rack]).toEqual(['db-r1', 'r1'])
})
