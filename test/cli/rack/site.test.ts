/** What a rack file says that belongs to no node, as values: deploy templates, runbooks, the policy of the mesh. */
import { expect, test } from 'vitest'
import { driftOf } from '../../../cli/rack/drift.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { mustHoldPolicy } from '../../../cli/rack/observe.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { policyDigest, type SeenSite } from '../../../cli/rack/site.ts'
import type { Api } from '../../../cli/server.ts'
import { observing } from './model.ts'

const fileOf = (more: string) => `version: 1
site: lab
${more}
`
const TEMPLATES = `templates:
  CUSTOM_NO_SMT:
    steps: [{ interface: bios, step: apply_configuration, priority: 150, args: { settings: [{ name: LogicalProc, value: Disabled }] } }]
runbooks:
  CUSTOM_RESET: { steps: [{ interface: bios, step: factory_reset, order: 0 }] }`
const POLICY = `mesh: { policy: { levels: [L1, L0], isolated: fence, limits: { silentMs: 5000, misses: 4 } } }`
const NOW = {
  armed: true,
  levels: ['L0', 'L1', 'L3', 'L5'],
  agent_lost: 'page',
  isolated: 'page',
  tenant_lost: 'page',
  limits: { silentMs: 3800, misses: 4, probeMs: 200 },
  changed_limits: { probeMs: 200 },
}
const about = async (more: string, site: SeenSite) => {
  const rack = resolve(await readLocated(fileOf(more), 'rack.yaml'))
  const observed = { ...observing([]), site }
  return { plan: planOf(rack, observed), drift: driftOf(rack, observed) }
}
const lines = ({ differences }: ReturnType<typeof driftOf>) =>
  differences.map(({ node, field, kind }) => `${node} ${field} ${kind}`)

test('templates and runbooks that are not there, or differ, are acts; those that hold are none', async () => {
  const none = { templates: new Map(), runbooks: new Map() }
  const { plan, drift } = await about(TEMPLATES, none)
  expect(plan.acts?.map(({ says }) => says[0])).toEqual([
    '+ deploy template CUSTOM_NO_SMT  steps: 1  rack.yaml:5:5',
    '+ runbook CUSTOM_RESET  steps: 1  rack.yaml:7:17',
  ])
  expect(drift.drifted).toBe(true)
  expect(lines(drift)).toEqual([
    'deploy template CUSTOM_NO_SMT steps unapplied',
    'runbook CUSTOM_RESET steps unapplied',
  ])
  const made = (plan.acts ?? []).map(
    (act) => [act.do === 'mesh policy' ? '' : act.name, 'body' in act ? act.body : {}] as const,
  )
  const there = { templates: new Map(made.slice(0, 1)), runbooks: new Map([...made.slice(1), ['CUSTOM_OTHER', {}]]) }
  const again = await about(TEMPLATES, there)
  expect([again.plan.acts, lines(again.drift)]).toEqual([undefined, []])
  const edited = await about(TEMPLATES.replace('Disabled', 'Enabled'), there)
  expect(edited.plan.acts).toMatchObject([
    { name: 'CUSTOM_NO_SMT', before: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown },
  ])
})

test('the policy of the mesh: what the file names is changed, everything else stays, and nothing arms it', async () => {
  const { plan, drift } = await about(POLICY, { policy: NOW })
  expect(plan.acts).toEqual([
    {
      do: 'mesh policy',
      before: policyDigest(NOW),
      change: { levels: ['L1', 'L0'], isolated: 'fence', limits: { probeMs: 200, silentMs: 5000, misses: 4 } },
      says: [
        '~ mesh policy  isolated: page -> fence  rack.yaml:3:47',
        '~ mesh policy  levels: L0,L1,L3,L5 -> L0,L1  rack.yaml:3:27',
        '~ mesh policy  limits/silentMs: 3800 -> 5000  rack.yaml:3:74',
      ],
    },
  ])
  expect(lines(drift)).toEqual([
    'mesh policy/isolated unapplied',
    'mesh policy/levels unapplied',
    'mesh policy/limits/silentMs unapplied',
  ])
  const held = { ...NOW, levels: ['L0', 'L1'], isolated: 'fence', limits: { ...NOW.limits, silentMs: 5000 } }
  const again = await about(POLICY, { policy: held })
  expect([again.plan.acts, lines(again.drift)]).toEqual([undefined, []])
  await expect(about('mesh: { policy: { armed: true } }', {})).rejects.toThrow(
    /mesh\/policy\/armed is not a known field/,
  )
})

test('a policy that somebody changed since the plan was made is not overwritten', async () => {
  const { plan } = await about(POLICY, { policy: NOW })
  const api = (policy: object) => ({ ask: () => Promise.resolve(policy) }) as unknown as Api
  await expect(mustHoldPolicy(api(NOW), plan)).resolves.toBeUndefined()
  await expect(mustHoldPolicy(api({ ...NOW, tenant_lost: 'drain' }), plan)).rejects.toThrow('plan again')
})

test.each([
  ['templates: { ht off: { steps: [{ interface: bios, step: a, priority: 1 }] } }', /templates\/ht off: .*CUSTOM_/],
  [
    'runbooks: { CUSTOM_A: { steps: [{ interface: bios, step: a, order: 0, args: { password: hunter2 } }] } }',
    /rack\.yaml:3:\d+: .*secrets are not written here/,
  ],
  [
    'secrets: { a: { env: A } }\nrunbooks: { CUSTOM_A: { steps: [{ interface: bios, step: a, order: 0, args: { password: { secret: a } } }] } }',
    /would be shown to all readers/,
  ],
])('%s is refused', async (text, says) => {
  await expect(about(text, {})).rejects.toThrow(says)
})
