/** `rackward rack export`, as values: an exported file plans to nothing, holds no secret, and says what it does not
 *  carry. */
import fc from 'fast-check'
import { stringify as yamlOf } from 'yaml'
import { expect, test } from 'vitest'
import { exportOf } from '../../../cli/rack/export.ts'
import { UNPLACED } from '../../../cli/rack/wanted.ts'
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { MASK } from '../../../conductor/api/views.ts'
import { LAB } from './lab.ts'
import { applied, planText } from './model.ts'

const textOf = (value: unknown) => yamlOf(value, { aliasDuplicateObjects: false, lineWidth: 0 })

/** Nodes as others made them: any names, values and keys. */
const key = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    'ipmi_password',
    'x/y',
    '+a',
    '-a',
    '<<',
    '__proto__',
    'use',
    'secret',
    'name',
    'api_token',
  ),
  fc.string({ minLength: 1, maxLength: 6 }),
)
const leaf = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.constantFrom(
    '{n}',
    '{{',
    '}',
    'yes',
    '0777',
    '~',
    'null',
    '*a',
    '&a b',
    '- x',
    '"',
    "'",
    '# x',
    '\t',
    '\n',
    MASK,
    '12:30:45',
    '1e3',
  ),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
  fc.constant(2 ** 60),
)
const { value: anything } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}))
const group = { ha_group: fc.constantFrom<unknown>('db', '', '{n}', 'x'.repeat(65), 7, null, 'ü ~') }
const place = fc.oneof(
  fc.record(
    {
      rack: fc.constantFrom('r1', 'r2', UNPLACED, 'a b'),
      u: fc.integer({ min: 0, max: 5 }),
      height: fc.constantFrom(1, 2),
      ...group,
    },
    { requiredKeys: ['rack', 'u', 'height'] },
  ),
  fc.record({ rack: fc.constantFrom('r1', 'r2'), ...group }, { requiredKeys: ['rack'] }),
  anything,
)
const STATES = ['enroll', 'manageable', 'available', 'active', 'deploy failed', 'cleaning', 'clean failed', 'rescue']
const foreign = fc.record({
  name: fc.oneof(
    fc.constant(null),
    fc.constantFrom('n1', 'a.b', 'r1-u01', 'n_2', 'n~3'),
    fc.string({ minLength: 1, maxLength: 8 }),
  ),
  state: fc.constantFrom(...STATES),
  driver: fc.constantFrom('ipmi', 'redfish', 'fake-hardware'),
  driver_info: fc.dictionary(fc.oneof(key, fc.constantFrom('ipmi_address', 'redfish_address')), anything, {
    maxKeys: 3,
  }),
  extra: fc.dictionary(key, anything, { maxKeys: 3 }),
  properties: fc.dictionary(key, anything, { maxKeys: 3 }),
  place: fc.option(place, { nil: undefined }),
  description: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
  traits: fc.uniqueArray(fc.constantFrom('CUSTOM_A', 'CUSTOM_B'), { maxLength: 2 }),
  image: fc.constantFrom('one', 'https://images.example/x.raw', 'https://images.example/{x}', 'file:///x', '', '../x'),
  maintenance: fc.boolean(),
  raid: fc.constantFrom({}, { logical_disks: [] }),
  drive: fc.boolean(),
})

type Foreign = typeof foreign extends fc.Arbitrary<infer T> ? T : never

function nodeOf(given: Foreign, i: number, like: RackNode): RackNode {
  const maps = { driver_info: given.driver_info, extra: given.extra, properties: given.properties }
  const inMaps = Object.entries(maps).flatMap(([map, values]) =>
    Object.entries(values).map(([name, value]) => [
      `${map}/${name}`,
      /password|token/.test(name) && map === 'driver_info' ? MASK : value,
    ]),
  )
  return {
    ...like,
    uuid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    name: given.name,
    provision_state: given.state,
    maintenance: given.maintenance,
    fields: {
      driver: given.driver,
      conductor_group: '',
      ...(given.description === undefined ? {} : { description: given.description }),
      ...Object.fromEntries(inMaps),
      ...(given.place === undefined ? {} : { 'extra/rackward': given.place }),
    } as RackNode['fields'],
    instance: given.state === 'active' ? { image_source: given.image } : {},
    has_drive: given.drive,
    traits: given.traits,
    target_raid: given.raid,
    ports: [
      {
        uuid: '0',
        address: `52:54:00:00:01:0${i}`,
        pxe_enabled: i % 2 === 0,
        physical_network: i > 2 ? 'x{y}' : null,
        local_link_connection: i > 1 ? { switch_info: '{' } : {},
      },
    ],
    recorded: null,
  }
}

test('the exported file of any nodes plans to no act, ends nothing, and holds no secret', async () => {
  const [like] = (await LAB()).filter(({ name }) => name === 'r1-u02')
  if (!like) throw new Error('no node')
  let carried = 0
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(foreign, { maxLength: 5, selector: ({ name }) => name ?? Symbol('none') }),
      async (list) => {
        // As they come from the API.
        const nodes = JSON.parse(JSON.stringify(list.map((given, i) => nodeOf(given, i, like)))) as RackNode[]
        const { file } = exportOf(nodes, 'lab')
        const text = textOf(file)
        const plan = await planText(text, nodes)
        expect(plan.items.flatMap(({ stages }) => stages)).toEqual([])
        expect(plan.refused).toEqual([])
        expect(text).not.toContain(MASK)
        carried += plan.items.length
        // What was carried is all there: recorded as applied, and the next plan is empty.
        const after = applied(plan, nodes)
        expect((await planText(text, after)).items).toEqual([])
      },
    ),
    { numRuns: 300 },
  )
  expect(carried).toBeGreaterThan(100)
})

test('a map whose only key is "secret" is told, and read as no reference', async () => {
  const [node] = await LAB()
  if (!node) throw new Error('no node')
  const fields = { driver: 'ipmi', conductor_group: '', 'driver_info/ipmi_address': '192.0.2.1' }
  const odd = { ...node, fields: { ...fields, 'driver_info/secret': '', 'extra/secret': '' }, recorded: null }
  const [port] = node.ports
  if (!port) throw new Error('no port')
  const nodes = [{ ...odd, ports: [{ ...port, local_link_connection: { secret: '' } }] }]
  const { file, left } = exportOf(nodes, 'lab')
  expect((await planText(textOf(file), nodes)).items.flatMap(({ stages }) => stages)).toEqual([])
  expect(left).toEqual(
    expect.arrayContaining([
      'r1-u01: driver_info/secret would be read as the reference of a secret',
      'r1-u01: extra/secret would be read as the reference of a secret',
      expect.stringContaining('local_link_connection is nothing that a rack file can say'),
    ]),
  )
})

test('a file that was applied comes back: places, secrets by their names, state, image, RAID', async () => {
  const nodes = await LAB()
  const { file, left } = exportOf(nodes, 'lab')
  expect(left).toEqual([])
  expect(file).toMatchObject({
    site: 'lab',
    secrets: { bmc: { env: 'RACKWARD_BMC' } },
    racks: {
      r1: {
        units: {
          'r1-u01': {
            name: 'r1-u01',
            bmc: '192.0.2.1',
            u: 1,
            height: 2,
            want: 'active',
            driver_info: { ipmi_password: { secret: 'bmc' } },
          },
          'r1-u02': { want: 'available', u: 3 },
        },
      },
    },
  })
  expect(file.racks.r1?.units['r1-u01']?.raid).toEqual({ logical_disks: [{ size_gb: 1, raid_level: '1' }] })
  expect((await planText(textOf(file), nodes)).items.flatMap(({ stages }) => stages)).toEqual([])
})

test('racks, nodes and secrets may be named like what every object has', async () => {
  const [node] = await LAB()
  if (!node) throw new Error('no node')
  const of = (name: string, rack: string): RackNode => ({
    ...node,
    name,
    fields: { driver: 'ipmi', conductor_group: '', 'driver_info/ipmi_password': MASK, 'extra/rackward': { rack } },
    ports: [],
    target_raid: {},
    recorded: {
      ...(node.recorded as NonNullable<RackNode['recorded']>),
      fields: { 'driver_info/ipmi_password': { $secret: 'constructor' } },
    },
  })
  const nodes = [of('toString', 'constructor'), of('a', '__proto__'), of('__proto__', 'r1')]
  const { file, left } = exportOf(nodes, 'lab')
  expect(Object.entries(file.racks).map(([rack, { units }]) => [rack, Object.keys(units)])).toEqual([
    ['unplaced', ['a']],
    ['constructor', ['toString']],
  ])
  expect({ ...file.secrets }).toEqual({ constructor: { env: 'RACKWARD_CONSTRUCTOR' } })
  expect(left).toContain('__proto__: a rack file cannot hold its name')
  expect((await planText(textOf(file), nodes.slice(0, 2))).items.flatMap(({ stages }) => stages)).toEqual([])
})

test('a password in a URL stands in no file', async () => {
  const [node] = await LAB()
  if (!node) throw new Error('no node')
  const url = 'https://operator:hunter2@192.0.2.1'
  const fields = { driver: 'redfish', conductor_group: '', 'driver_info/redfish_address': url, 'extra/at': [url] }
  const { file, left } = exportOf([{ ...node, fields, recorded: null }], 'lab')
  expect(textOf(file)).not.toContain('hunter2')
  expect(left.filter((line) => line.includes('is a URL with a user or a password'))).toEqual([
    expect.stringContaining('driver_info/redfish_address'),
    expect.stringContaining('extra/at'),
  ])
  expect(left.join()).not.toContain('hunter2')
})

test('what a rack file cannot say is told', async () => {
  const [node] = await LAB()
  if (!node) throw new Error('no node')
  const odd = {
    ...node,
    fields: { ...node.fields, 'extra/-x': 1, 'extra/big': 2 ** 60, 'driver_info/deep': { password: MASK } },
    has_drive: true,
    maintenance: true,
  }
  expect(exportOf([odd, { ...node, name: null }, { ...node, name: 'a b' }], 'lab').left).toEqual([
    expect.stringMatching(/-.*: it has no name/),
    'a b: a rack file cannot hold its name',
    'r1-u01: extra/-x has the key "-x", which a rack file understands otherwise',
    'r1-u01: extra/big is a number that YAML does not keep',
    'r1-u01: driver_info/deep holds a secret, which is not shown',
    'r1-u01: configdrive: its content is not shown; the instance keeps it',
    'r1-u01: want: it is active, in maintenance; the file leaves its state as it is',
  ])
})
