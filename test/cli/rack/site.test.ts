/** What a rack file says that belongs to no node, as values: deploy templates, runbooks, the policy of the mesh. */
import { expect, test } from 'vitest'
import { driftOf } from '../../../cli/rack/drift.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { mustHoldPolicy } from '../../../cli/rack/observe.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { policyDigest, type SeenSite } from '../../../cli/rack/site.ts'
import type { Plan } from '../../../conductor/rollouts/plan.ts'
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
const POLICY_FILE = { levels: ['L1', 'L0'], isolated: 'fence', limits: { silentMs: 5000, misses: 4 } }
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
/** As the conductor records them. */
const appliedBy = ({ acts = [] }: Pick<Plan, 'acts'>) =>
  acts.flatMap((act) => (act.do === 'mesh policy' ? [] : [{ what: act.do, name: act.name, body: { ...act.body } }]))
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
  expect([again.plan.acts?.map(({ says }) => says[0]), lines(again.drift)]).toEqual([
    [
      '= deploy template CUSTOM_NO_SMT  is as wanted; recorded as applied from this file',
      '= runbook CUSTOM_RESET  is as wanted; recorded as applied from this file',
    ],
    [],
  ])
  const recorded = { ...there, applied: appliedBy(plan) }
  const last = await about(TEMPLATES, recorded)
  expect([last.plan.acts, last.plan.left, lines(last.drift)]).toEqual([undefined, [], []])
  const edited = await about(TEMPLATES.replace('Disabled', 'Enabled'), recorded)
  expect(edited.plan.acts).toMatchObject([
    { name: 'CUSTOM_NO_SMT', before: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown },
  ])
  expect(edited.plan.acts?.[0]?.says[0]).toContain('differs')
  expect(lines(edited.drift)).toEqual(['deploy template CUSTOM_NO_SMT steps unapplied'])
})

test('what somebody changed or deleted since it was applied is told so, and the next plan brings it back', async () => {
  const none = { templates: new Map(), runbooks: new Map() }
  const applied = appliedBy((await about(TEMPLATES, none)).plan)
  const other = { steps: [{ interface: 'bios', step: 'factory_reset', args: {}, priority: 10 }] }
  const { plan, drift } = await about(TEMPLATES, { ...none, templates: new Map([['CUSTOM_NO_SMT', other]]), applied })
  expect(plan.acts?.map(({ says }) => says[0])).toEqual([
    '~ deploy template CUSTOM_NO_SMT  was changed since it was applied  rack.yaml:5:5',
    '+ runbook CUSTOM_RESET  steps: 1  rack.yaml:7:17',
  ])
  expect(lines(drift)).toEqual(['deploy template CUSTOM_NO_SMT steps changed', 'runbook CUSTOM_RESET steps changed'])
  expect(drift.differences[0]).toMatchObject({ recorded: drift.differences[0]?.wanted, observed: other })
})

test('what the file does not have any more is left alone and told, until somebody deletes it', async () => {
  const { plan: first } = await about(TEMPLATES, { templates: new Map(), runbooks: new Map() })
  const applied = appliedBy(first)
  const there = { runbooks: new Map(applied.slice(1).map(({ name, body }) => [name, body])) }
  const { plan, drift } = await about('', { ...there, applied })
  expect(plan.acts).toBeUndefined()
  expect(plan.left).toEqual(['runbook CUSTOM_RESET was applied from this file, and is in it no more: left alone'])
  expect([drift.drifted, lines(drift)]).toEqual([true, ['runbook CUSTOM_RESET steps unapplied']])
  const gone = await about('', { applied })
  expect([gone.plan.left, gone.drift.drifted]).toEqual([[], false])
})

test('the policy of the mesh: what the file names is changed, everything else stays, and nothing arms it', async () => {
  const { plan, drift } = await about(POLICY, { policy: NOW })
  expect(plan.acts).toEqual([
    {
      do: 'mesh policy',
      before: policyDigest(NOW),
      wanted: POLICY_FILE,
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
  expect(again.plan.acts).toMatchObject([
    { change: {}, wanted: POLICY_FILE, says: ['= mesh policy  is as wanted; recorded as applied from this file'] },
  ])
  const applied = [{ what: 'mesh policy', name: 'policy', body: POLICY_FILE }] as const
  const last = await about(POLICY, { policy: held, applied })
  expect([last.plan.acts, lines(last.drift)]).toEqual([undefined, []])
  const changed = await about(POLICY, { policy: { ...held, levels: ['L0'], limits: NOW.limits }, applied })
  expect(lines(changed.drift)).toEqual(['mesh policy/levels changed', 'mesh policy/limits/silentMs changed'])
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
