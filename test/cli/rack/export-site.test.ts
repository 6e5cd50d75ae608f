/** Deploy templates and runbooks in an exported rack file: their plan is empty, and what a file cannot hold is told. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stringify as yamlOf } from 'yaml'
import { CliError } from '../../../cli/error.ts'
import { exportedPolicy, exportedSite, ownOf } from '../../../cli/rack/export-site.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { everyNamed } from '../../../cli/rack/observe.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { siteActs, type SeenSite } from '../../../cli/rack/site.ts'
import type { Api } from '../../../cli/server.ts'
import { MASK } from '../../../conductor/api/views.ts'
import { digestOf } from '../../../conductor/rollouts/plan.ts'

const step = { interface: 'bios', step: 'factory_reset' }

async function actsOfExport(seen: SeenSite) {
  const { left, templates, runbooks } = await exportedSite(seen)
  const text = yamlOf({ version: 1, site: 'lab', templates, runbooks }, { aliasDuplicateObjects: false, lineWidth: 0 })
  const acts = siteActs(resolve(await readLocated(text, 'rack.yaml')), seen)
  // Recorded, and not sent.
  const sent = acts.filter((act) => act.do === 'mesh policy' || act.before !== digestOf(act.body))
  return { left, templates, runbooks, acts: sent }
}

test('templates and runbooks are written with what the file decides, and nothing else', async () => {
  const own = { uuid: '1', created_at: 'x', extra: { a: 1 }, owner: null }
  const exported = await actsOfExport({
    templates: new Map([['CUSTOM_T', { ...own, name: 'CUSTOM_T', steps: [{ ...step, args: {}, priority: 10 }] }]]),
    runbooks: new Map([
      ['CUSTOM_R', { ...own, steps: [{ ...step, args: {}, order: 0 }], disable_ramdisk: true, public: false }],
    ]),
  })
  expect(exported).toEqual({
    left: [],
    templates: { CUSTOM_T: { steps: [{ ...step, args: {}, priority: 10 }] } },
    runbooks: { CUSTOM_R: { steps: [{ ...step, args: {}, order: 0 }], disable_ramdisk: true } },
    acts: [],
  })
})

test('a template with a secret, or with what would be read as the reference of one, is told and left out', async () => {
  const withArgs = (args: object) => ({ steps: [{ ...step, priority: 10, args }] })
  const { left, templates } = await exportedSite({
    templates: new Map([
      ['CUSTOM_A', withArgs({ password: MASK })],
      ['CUSTOM_B', withArgs({ value: { secret: 'bmc' } })],
      ['CUSTOM_C', withArgs({ value: '{n}' })],
    ]),
    runbooks: new Map(),
  })
  expect(left.map((line) => line.split(':', 2).join(':'))).toEqual([
    'deploy template CUSTOM_A: a rack file cannot hold it',
    'deploy template CUSTOM_B: a rack file cannot hold it',
  ])
  expect(templates).toEqual({ CUSTOM_C: { steps: [{ ...step, priority: 10, args: { value: '{n}' } }] } })
})

test('every page is read; what a user may not see is told, and the rest is written', async () => {
  const asked: string[] = []
  const api = {
    ask: async (_: string, path: string) => {
      asked.push(path)
      if (path.startsWith('/v1/runbooks')) throw new CliError('denied', 'for operators')
      const n = path.includes('marker') ? 2 : 1
      const next = n === 1 ? { next: 'http://c.example:6385/v1/deploy_templates?marker=1' } : {}
      return { deploy_templates: [{ name: `CUSTOM_${n}`, steps: [{ ...step, args: {}, priority: 10 }] }], ...next }
    },
  }
  const { left, templates, runbooks } = await exportedSite(await everyNamed(api as unknown as Api))
  expect([Object.keys(templates), runbooks]).toEqual([['CUSTOM_1', 'CUSTOM_2'], {}])
  expect(left).toEqual(['runbooks: this user may not see them'])
  expect(asked).toHaveLength(3)

  const broken = { ask: async () => Promise.reject(new CliError('failed', 'it broke')) }
  await expect(everyNamed(broken as unknown as Api)).rejects.toThrow('it broke')
})

test('whatever the arguments are, the plan of what was exported is empty', async () => {
  const leaf = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom('{n}', '{{', 'yes', '0777', '~', '*a', '&a b', '- x', '# x', '\t', '\n', '1e3', MASK),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.constant(2 ** 60),
  )
  const key = fc.oneof(
    fc.constantFrom('a', '+a', '-a', '<<', '__proto__', 'use', 'secret', 'password'),
    fc.string({ maxLength: 6 }),
  )
  const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.dictionary(key, leaf, { maxKeys: 3 }))
  const args = fc.dictionary(key, value, { maxKeys: 4 })
  await fc.assert(
    fc.asyncProperty(args, async (given) => {
      const templates = new Map([['CUSTOM_T', { steps: [{ ...step, priority: 10, args: given }] }]])
      const { left, acts, ...site } = await actsOfExport({ templates, runbooks: new Map() })
      expect([acts, left.length + Object.keys(site.templates).length]).toEqual([[], 1])
    }),
  )
})

test('what was applied from the files of other sites alone stays out of this one', () => {
  const seen = { templates: new Map(['CUSTOM_A', 'CUSTOM_B', 'CUSTOM_C'].map((name) => [name, {}])) }
  const applied = [
    { site: 'lab', what: 'deploy template', name: 'CUSTOM_A' },
    { site: 'east', what: 'deploy template', name: 'CUSTOM_A' },
    { site: 'east', what: 'deploy template', name: 'CUSTOM_B' },
    // Another kind of the same name.
    { site: 'east', what: 'runbook', name: 'CUSTOM_C' },
  ] as const
  const { templates, runbooks } = ownOf(seen, { site: 'lab', applied })
  expect([...(templates?.keys() ?? [])]).toEqual(['CUSTOM_A', 'CUSTOM_C'])
  expect(runbooks).toBeUndefined()
})

test('of the policy, the file has what it had, as it is now', () => {
  const now = { levels: ['L0'], isolated: 'page', tenant_lost: 'drain', limits: { silentMs: 5_000, misses: 4 } }
  expect(exportedPolicy({ isolated: 'fence', limits: { silentMs: 3_800 } }, now)).toEqual({
    isolated: 'page',
    limits: { silentMs: 5_000 },
  })
  expect(exportedPolicy({ levels: ['L1'], limits: { gone: 1 } }, now)).toEqual({ levels: ['L0'] })
})
