/** BIOS settings and firmware of a rack file, as values: what a plan does about them, what it ends, and what has
 *  drifted. */
import { expect, test } from 'vitest'
import type { SeenBaseline } from '../../../cli/rack/baseline.ts'
import { driftOf } from '../../../cli/rack/drift.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { endsOf, endsOfStage, unagreed, type Stage } from '../../../conductor/rollouts/plan.ts'
import { applied, observing } from './model.ts'

const fileOf = (unit: string) => `version: 1
site: lab
images: { one: { store: one } }
profiles:
  tuned: { bios: { LogicalProc: Disabled, NumaNodesPerSocket: 2 } }
racks:
  r1:
    units:
      u01: { driver: redfish, bmc: 'https://192.0.2.1', use: [tuned], image: one, inspect: false, ${unit} }
`
const FIRMWARE = `firmware: { bmc: { version: 2.4.1, url: 'https://fw.example/bmc-2.4.1.bin', checksum: 'sha256:${'a'.repeat(64)}' } }`

const setting = (name: string, value: string, more: object = {}) => ({
  name,
  value,
  attribute_type: null,
  allowable_values: null,
  read_only: false,
  ...more,
})
const seen = (logical: string, numa: string, bmc = '2.4.1'): SeenBaseline => ({
  bios: [
    setting('LogicalProc', logical, { attribute_type: 'Enumeration', allowable_values: ['Enabled', 'Disabled'] }),
    setting('NumaNodesPerSocket', numa, { attribute_type: 'Integer' }),
    setting('Serial', 'S1', { read_only: true }),
    setting('PxeRetry', 'true', { attribute_type: 'Boolean' }),
  ],
  firmware: [{ component: 'bmc', current_version: bmc }],
})
const about = async (text: string, nodes: readonly RackNode[] = [], now?: SeenBaseline) => {
  const rack = resolve(await readLocated(text, 'rack.yaml'))
  const observed = { ...observing(nodes), baselines: new Map(now ? [['r1-u01', now]] : []) }
  return { plan: planOf(rack, observed), drift: driftOf(rack, observed) }
}
const verbs = (stages: readonly Stage[] = []) => stages.flatMap((stage) => (stage.do === 'verb' ? [stage.verb] : []))
const lines = ({ differences }: ReturnType<typeof driftOf>) =>
  differences.map(({ field, kind, wanted, recorded, observed }) => [field, kind, wanted, recorded, observed].join(' '))

const WANTED = `want: available, ${FIRMWARE}`
const FRESH = seen('Enabled', '1', '1.0.0')
const HELD = seen('Disabled', '2')
const inPlace = async (text: string) => {
  const { plan } = await about(text)
  return applied(plan, []).map((node) => ({ ...node, power_state: 'power on' }))
}

test('a new server gets firmware and BIOS settings in one cleaning, which is agreed to by kind', async () => {
  const { plan } = await about(fileOf(WANTED))
  const [item] = plan.items
  expect(verbs(item?.stages)).toEqual(['manage', 'clean', 'provide'])
  expect(item?.stages.find((stage) => stage.do === 'verb' && stage.verb === 'clean')).toEqual({
    do: 'verb',
    verb: 'clean',
    erases: false,
    arguments: {
      clean_steps: [
        {
          interface: 'firmware',
          step: 'update',
          args: {
            settings: [
              { component: 'bmc', url: 'https://fw.example/bmc-2.4.1.bin', checksum: `sha256:${'a'.repeat(64)}` },
            ],
          },
        },
        {
          interface: 'bios',
          step: 'apply_configuration',
          args: {
            settings: [
              { name: 'LogicalProc', value: 'Disabled' },
              { name: 'NumaNodesPerSocket', value: 2 },
            ],
          },
        },
      ],
    },
  })
  expect(item && endsOf(item)).toEqual(['firmware', 'bios', 'erase'])
  expect(unagreed(plan, { erase: ['r1-u01'], bios: ['r1-u01'] })).toEqual({ firmware: ['r1-u01'] })
})

test('the plan of an applied file is empty; what is otherwise is planned exactly, and alone', async () => {
  const nodes = await inPlace(fileOf(WANTED))
  const same = await about(fileOf(WANTED), nodes, HELD)
  expect({ items: same.plan.items, left: same.plan.left, drift: lines(same.drift) }).toEqual({
    items: [],
    left: [],
    drift: [],
  })
  const other = await about(fileOf(WANTED), nodes, seen('Enabled', '2'))
  expect(other.plan.items[0]?.says).toEqual([
    '! bios LogicalProc  Enabled -> Disabled  profile tuned, rack.yaml:5:33',
    '> available -> available  by manage, clean, provide',
  ])
  expect(JSON.stringify(other.plan.items[0]?.stages)).not.toContain('NumaNodesPerSocket')
  expect(lines(other.drift)).toEqual(['bios/LogicalProc changed Disabled Disabled Enabled'])
  const flashed = await about(fileOf(WANTED), nodes, seen('Disabled', '2', '2.5.0'))
  expect(flashed.plan.items[0]?.says[0]).toMatch(/^! firmware bmc {2}2\.5\.0 -> 2\.4\.1 {2}rack\.yaml:9:/)
  expect(lines(flashed.drift)).toEqual(['firmware/bmc changed 2.4.1 2.4.1 2.5.0'])
})

test('a setting that the file never named, and one that it names no more, stay as they are', async () => {
  const nodes = await inPlace(fileOf(WANTED))
  const without = fileOf(WANTED).replace(', NumaNodesPerSocket: 2', '')
  const { plan, drift } = await about(without, nodes, seen('Disabled', '4'))
  expect(plan.items.flatMap(({ stages }) => stages)).toEqual([])
  expect(lines(drift)).toEqual([])
  expect(plan.items[0]?.record).toMatchObject({ bios: { LogicalProc: 'Disabled' } })
})

test('an active server is never restarted for them, but by name: "service: true"', async () => {
  const nodes = (await inPlace(fileOf(`want: active`))).map((node) => ({ ...node, has_drive: false }))
  expect(nodes[0]?.provision_state).toBe('active')
  const { plan, drift } = await about(fileOf('want: active'), nodes, seen('Enabled', '2'))
  expect(plan.items).toEqual([])
  expect(plan.left).toEqual([
    'r1-u01: bios LogicalProc  Enabled -> Disabled  profile tuned, rack.yaml:5:33: left alone; applied when it is undeployed next, or now with "service: true" if it is active',
  ])
  expect(lines(drift)).toEqual(['bios/LogicalProc changed Disabled Disabled Enabled'])

  const serviced = await about(fileOf('want: active, service: true'), nodes, seen('Enabled', '2'))
  const [item] = serviced.plan.items
  expect(verbs(item?.stages)).toEqual(['service'])
  expect(item && endsOf(item)).toEqual(['service', 'bios'])
  expect(item?.stages[0]).toMatchObject({ arguments: { service_steps: [{ step: 'apply_configuration' }] } })

  const undeployed = await about(fileOf('want: available'), nodes, seen('Enabled', '2'))
  expect(verbs(undeployed.plan.items[0]?.stages)).toEqual(['deleted', 'manage', 'clean', 'provide'])
  const guarded = await about(fileOf('want: active, service: true, protect: true'), nodes, seen('Enabled', '2'))
  expect(guarded.plan).toMatchObject({ items: [], refused: [{ node: 'r1-u01' }] })
})

test('what was never brought about is not recorded as if it had been', async () => {
  const before = await inPlace(fileOf('want: active').replace('use: [tuned], ', ''))
  const { plan, drift } = await about(fileOf('want: active, resource_class: x'), before, seen('Enabled', '2'))
  expect(plan.items[0]?.record).not.toHaveProperty('bios')
  expect(lines(drift)).toContain('bios/LogicalProc unapplied Disabled  Enabled')
})

test('values are compared as the server has them', async () => {
  const text = (bios: string) => fileOf('want: available').replace('LogicalProc: Disabled, NumaNodesPerSocket: 2', bios)
  const acts = async (bios: string) => {
    const nodes = await inPlace(text(bios))
    return (await about(text(bios), nodes, HELD)).plan.items.length
  }
  expect(await acts('PxeRetry: true')).toBe(0)
  expect(await acts('PxeRetry: "True"')).toBe(0)
  expect(await acts('NumaNodesPerSocket: "02"')).toBe(0)
  expect(await acts('PxeRetry: false')).toBe(1)
})

test.each([
  [
    'LogicalProcs: Disabled',
    /bios\/LogicalProcs \(rack\.yaml:5:\d+\): the server has no such setting; did you mean LogicalProc\?/,
  ],
  ['LogicalProc: Off', /bios\/LogicalProc \(rack\.yaml:5:\d+\): it is one of Enabled, Disabled/],
  ['Serial: S2', /bios\/Serial \(rack\.yaml:5:\d+\): it can only be read; take it out/],
])('what the server cannot have is told before anything is begun: %s', async (bios, why) => {
  const text = fileOf('want: available').replace('LogicalProc: Disabled, NumaNodesPerSocket: 2', bios)
  const nodes = (await inPlace(fileOf('want: available'))).map((node) => ({ ...node, provision_state: 'manageable' }))
  const { plan } = await about(text, nodes, FRESH)
  expect(plan.items.flatMap(({ stages }) => stages)).toEqual([])
  expect(plan.refused[0]?.why).toMatch(why)
})

test.each([
  [
    "driver: redfish, bmc: 'https://192.0.2.1'",
    'driver: ipmi, bmc: 192.0.2.1',
    /rack\.yaml:5:18: r1-u01: bios: the driver ipmi changes no BIOS settings; use redfish or idrac, or remove bios/,
  ],
  [
    'image: one',
    'bios_interface: no-bios',
    /r1-u01: bios: bios_interface is no-bios, which changes no BIOS settings; remove bios_interface, or bios/,
  ],
  ['image: one', 'firmware: { bmc: { version: 1, url: "https://a/b" } }', /version/],
  [
    'image: one',
    'firmware: { cpld: { version: "1", url: "https://a.example/b" } }',
    /firmware\/cpld.*is not one of bios, bmc and nic:SERIAL/,
  ],
  ['image: one', 'firmware: { bmc: { version: "1", url: "https://me:pw@a.example/b" } }', /has a user or a password/],
])('a baseline that no driver holds is refused with its place: %s -> %s', async (from, to, says) => {
  await expect(about(fileOf('want: enroll').replace(from, to))).rejects.toThrow(says)
})

test('a plan cannot hide what its steps erase', () => {
  const clean = (given: Record<string, unknown>): Stage => ({ do: 'verb', verb: 'clean', arguments: given })
  const bios = { interface: 'bios', step: 'apply_configuration' }
  expect(endsOfStage(clean({ clean_steps: [bios] }))).toEqual(['bios'])
  expect(endsOfStage(clean({ clean_steps: [bios, { interface: 'deploy', step: 'erase_devices' }] }))).toEqual(['raid'])
  expect(endsOfStage(clean({ clean_steps: [bios], runbook: 'CUSTOM_ERASE' }))).toEqual(['raid'])
  expect(endsOfStage(clean({}))).toEqual(['raid'])
  expect(endsOfStage({ do: 'verb', verb: 'service' })).toEqual(['service', 'raid'])
})
