/** Drift, as values: what is not as the file says is found with its cause. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { driftOf, type RackDifference } from '../../../cli/rack/drift.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { FILE, LAB } from './lab.ts'
import { observing, planText } from './model.ts'

const drifts = async (text: string, nodes: readonly RackNode[], secrets: string[] = []) => {
  const observed = { ...observing(nodes), secretsDiffer: new Set(secrets) }
  const { differences, drifted } = driftOf(resolve(await readLocated(text, 'rack.yaml')), observed)
  const line = ({ node, field, kind, wanted, recorded, observed: now }: RackDifference) =>
    [node, field, kind, JSON.stringify(wanted), JSON.stringify(recorded), JSON.stringify(now)].join(' ')
  return { drifted, lines: differences.map(line) }
}

test('no drift after an apply; each later change is found, with its cause', async () => {
  const clean = (await LAB()).map((node) => ({ ...node, power_state: 'power on' }))
  expect(await drifts(FILE, clean)).toEqual({ drifted: false, lines: [] })
  const change = (more: Partial<RackNode>) =>
    clean.map((node) => (node.name === 'r1-u01' ? { ...node, ...more } : node))
  const { fields = {} } = clean[0] ?? {}
  const one = async (more: Partial<RackNode>, text = FILE, secrets: string[] = []) =>
    drifts(text, change(more), secrets)

  expect(await one({ fields: { ...fields, resource_class: 'gpu', 'extra/owner': 'her' } })).toEqual({
    drifted: true,
    lines: ['r1-u01 resource_class changed "compute" "compute" "gpu"', 'r1-u01 extra/owner foreign null null "her"'],
  })
  expect(await one({ fields: { ...fields, 'extra/owner': 'her' } })).toMatchObject({ drifted: false })
  expect(await one({}, FILE.replace('resource_class: compute', 'resource_class: db'))).toEqual({
    drifted: true,
    lines: ['r1-u01 resource_class unapplied "db" "compute" "compute"'],
  })
  expect(await one({}, FILE.replace('resource_class: compute,', ''))).toEqual({
    drifted: true,
    lines: ['r1-u01 resource_class unapplied null "compute" "compute"'],
  })
  expect((await one({}, FILE, ['r1-u01 driver_info/ipmi_password'])).lines).toEqual([
    'r1-u01 driver_info/ipmi_password changed "secret bmc" "secret bmc" "another one"',
  ])
  expect((await one({ power_state: 'power off' })).lines).toEqual(['r1-u01 power changed "power on" null "power off"'])
  expect(await one({ power_state: null })).toEqual({
    drifted: false,
    lines: ['r1-u01 power unknown "power on" null "not read yet"'],
  })
  expect((await one({ provision_state: 'error' })).lines).toEqual(['r1-u01 state changed "active" null "error"'])
  expect((await one({ ports: [] })).lines).toEqual(['r1-u01 port 52:54:00:00:00:01 changed "there" "there" "absent"'])
  const hardware = {
    inspected_macs: ['52:54:00:00:00:99'],
    changed: [{ what: 'bios', name: 'LogicalProc', applied: 'Disabled', now: 'Enabled' } as const],
  }
  expect((await one({ hardware })).lines).toEqual([
    'r1-u01 bios/LogicalProc changed "Disabled" "Disabled" "Enabled"',
    'r1-u01 card 52:54:00:00:00:01 changed "there" null "not found by the last inspection"',
  ])
  expect((await one({ instance: { image_source: 'two' } })).lines).toEqual([
    'r1-u01 instance_info/image_source unapplied "one" null "two"',
  ])
  expect((await drifts(FILE, clean.slice(1))).lines).toEqual(['r1-u01 node unapplied "enrolled" null "absent"'])
  expect((await drifts(FILE.replace(/ {6}u02.*\n/, ''), clean)).lines).toEqual([
    'r1-u02 node unapplied "absent" "enrolled" "enrolled"',
  ])
})

test('every difference that a plan would act on is drift, and no drift is a plan without acts', async () => {
  const clean = (await LAB()).map((node) => ({ ...node, power_state: 'power on' }))
  const edit = fc.constantFrom(
    ['resource_class: compute', 'resource_class: gpu'],
    ['traits: [CUSTOM_A]', 'traits: [CUSTOM_B]'],
    ['memory_mb: 1024', 'memory_mb: 2048'],
    ['u: 3', 'u: 4'],
    ["raid_level: '1'", "raid_level: '0'"],
    ['want: available', 'want: manageable'],
    ['bmc: 192.0.2.1', 'bmc: 192.0.2.9'],
    ['ipmi_username: admin', 'ipmi_username: root'],
    ['store: one', 'store: two'],
    ['52:54:00:00:00:01', '52:54:00:00:00:02'],
  )
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { maxLength: 3 }), async (edits) => {
      const text = edits.reduce((all, [from, to]) => all.replace(from as string, to as string), FILE)
      const { items } = await planText(text, clean)
      const { drifted } = await drifts(text, clean)
      // A RAID of an active node is not built by a plan; it is drift all the same.
      if (items.some(({ stages }) => stages.length > 0)) expect(drifted).toBe(true)
      if (!drifted) expect(items).toEqual([])
    }),
    { numRuns: 60 },
  )
})
