/** The plan of `rackward node deploy --all`: every node once, canaries of different racks, a share of failures. */
import { expect, test } from 'vitest'
import { planFor } from '../../cli/deploy-all.ts'
import { Plan, planHash, unagreed } from '../../conductor/rollouts/plan.ts'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'

const node = (n: number, more: Partial<RackNode> = {}) =>
  ({
    uuid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    name: `n${n}`,
    fingerprint: `f${n}`,
    fields: { 'extra/rackward': { rack: `r${Math.floor(n / 10)}` } },
    instance: {},
    ...more,
  }) as RackNode
const nodes = Array.from({ length: 40 }, (_, n) => node(n))

test('is a plan that the conductor takes, asks for agreement, and names each node once', () => {
  const plan = planFor(nodes, { class: 'compute', canary: '3', stopOn: '5%', image: 'debian-12' }, { configdrive: {} })
  expect(Plan.parse(plan)).toEqual(plan)
  expect(plan.hash).toBe(planHash(plan))
  expect(plan.site).toBe('deploy-compute')
  expect(plan.roll).toMatchObject({ stop_after: 2, canaries: ['n0', 'n10', 'n20'] })
  expect(new Set(plan.items.map(({ uuid }) => uuid)).size).toBe(40)
  expect(plan.items[7]).toMatchObject({
    rack: 'r0',
    fingerprint: 'f7',
    stages: [
      { do: 'patch', patch: [{ op: 'add', path: '/instance_info/image_source', value: 'debian-12' }] },
      { do: 'verb', verb: 'active', arguments: { configdrive: {} } },
    ],
  })
  expect(unagreed(plan, {}).deploy?.length).toBe(40)
})

test('without an image each node gets what its instance_info names; the checksum of another image goes', () => {
  const plan = (instance: object, image?: string) =>
    planFor([node(1, { instance: instance as never })], image === undefined ? {} : { image }, {}).items[0]?.stages
  expect(plan({ image_source: 'x' })).toEqual([{ do: 'verb', verb: 'active' }])
  expect(plan({ image_source: 'http://x', image_checksum: 'a' }, 'debian-12')?.[0]).toMatchObject({
    patch: [{ op: 'remove', path: '/instance_info/image_checksum' }, { op: 'add' }],
  })
})

test('nodes that are behind are rebuilt as they are asked for, which has to be agreed to as a rebuild', () => {
  const plan = planFor([node(1, { instance: { image_source: 'web@stable' } as never })], { behind: true }, {})
  expect(Plan.parse(plan)).toEqual(plan)
  expect(plan.items[0]?.stages).toEqual([{ do: 'verb', verb: 'rebuild' }])
  expect(unagreed(plan, { deploy: ['n1'] })).toEqual({ rebuild: ['n1'] })
})

test.each([
  ['--canary', { canary: '-1' }],
  ['--canary', { canary: '2.5' }],
  ['--stop-on', { stopOn: '101%' }],
  ['--stop-on', { stopOn: 'many' }],
])('%s: %j is refused', (option, options) => expect(() => planFor(nodes, options, {})).toThrow(option))
