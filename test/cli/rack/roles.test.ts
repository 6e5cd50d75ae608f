/** Roles of a rack file: the order of a roll-out, and how many of each role are worked on at once. */
import { expect, test } from 'vitest'
import { planText } from './model.ts'

const fileOf = (rollout: string) => `version: 1
site: lab
profiles: { host: { role: host } }
racks:
  r1:
    units:
      u[01-02]: { driver: fake-hardware, use: [host] }
      u03: { driver: fake-hardware, role: arbiter }
      u04: { driver: fake-hardware }
rollout: ${rollout}
`

test('roles stand in the plan, for the conductor that rolls it out, and give an order', async () => {
  const plan = await planText(fileOf('{ order: [arbiter, r1-u04, host], at_once_per_role: { host: 1 } }'))
  expect(plan.items.map(({ node, role }) => `${node} ${role}`)).toEqual([
    'r1-u03 arbiter',
    'r1-u04 undefined',
    'r1-u01 host',
    'r1-u02 host',
  ])
  expect(plan.roll).toMatchObject({ at_once_per_role: { host: 1 } })
})

test.each([
  ['{ order: [arbiters] }', /rack\.yaml:10:20: rollout\/order\/0: arbiters is neither a node, a rack nor a role/],
  [
    '{ at_once_per_role: { hosts: 1 } }',
    /rack\.yaml:10:\d+: rollout\/at_once_per_role\/hosts: no node of this file has that role; correct the name/,
  ],
  [
    '{ at_once_per_role: { arbiter: 2 } }',
    /at_once_per_role\/arbiter: arbiters are worked on one at a time; remove it/,
  ],
])('%s is refused with its place', async (rollout, says) => {
  await expect(planText(fileOf(rollout))).rejects.toThrow(says)
})
