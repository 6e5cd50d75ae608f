/** `rackward rack import`: files of Bifrost, Metal3, Tinkerbell and MAAS as rack files, with what was not carried; no
 *  password in any; and hostile files, each refused with its place. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { expect, onTestFinished, test } from 'vitest'
import { convert } from '../../../cli/rack/import/convert.ts'
import { importRack } from '../../../cli/rack/import-command.ts'
import { loadRack } from '../../../cli/rack/load.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { CliError } from '../../../cli/error.ts'
import { planText } from './model.ts'

const DIRECTORY = join(import.meta.dirname, 'imports')
const FIXTURES = [
  ['bifrost', 'bifrost.yml', 3],
  ['bifrost', 'bifrost.json', 1],
  ['bifrost', 'bifrost.csv', 2],
  ['metal3', 'metal3.yaml', 2],
  ['tinkerbell', 'tinkerbell.yaml', 2],
  ['maas', 'maas.json', 2],
] as const

test.each(FIXTURES)('%s: %s is a rack file, and what it does not carry is told', async (from, name, count) => {
  const { file, left } = await convert(await readFile(join(DIRECTORY, name), 'utf8'), name, { from, site: 'lab' })
  const text = stringify(file, { aliasDuplicateObjects: false, lineWidth: 0 })
  await expect(`${left.map((line) => `# not carried: ${line}\n`).join('')}${text}`).toMatchFileSnapshot(
    join(DIRECTORY, `${name}.rack.yaml`),
  )
  expect(`${text}${left.join()}`).not.toMatch(/never-to-be-seen|bmV2ZXItdG8/)
  const { items, refused } = await planText(text)
  expect([items.length, refused]).toEqual([count, []])
})

const from = (origin: string, text: string, path = 'file.yaml') => convert(text, path, { from: origin, site: 'lab' })
const HOST = 'kind: BareMetalHost\nmetadata: { name: a }\nspec:\n'
const WRONG: readonly [name: string, origin: string, text: string, says: RegExp][] = [
  ['an alias', 'bifrost', 'a: &x { driver: ipmi }\nb: *x\n', /^file\.yaml:2:4: aliases/],
  ['a tag', 'metal3', `${HOST}  bmc: !!js/function x\n`, /^file\.yaml:4:22: the tag/],
  [
    'a MAC',
    'bifrost',
    'a:\n  nics:\n    - mac: 52:54\n',
    /^file\.yaml:3:12: a\/nics\/0\/mac: "52:54" is not a MAC address/,
  ],
  [
    'a driver',
    'bifrost',
    'a: { driver: agent_ssh }\n',
    /^file\.yaml:1:14: a\/driver: there is no equal of agent_ssh; write ipmi/,
  ],
  ['a name', 'bifrost', '"a b": {}\n', /^file\.yaml:1:1: the name "a b" holds other characters/],
  [
    'a name with a path',
    'metal3',
    HOST.replace('name: a', 'name: ../a') + '  bmc: { address: 192.0.2.1 }\n',
    /the name "\.\.\/a" holds other/,
  ],
  [
    'a name twice',
    'metal3',
    `${HOST}  bmc: { address: 192.0.2.1 }\n---\n${HOST}  bmc: { address: 192.0.2.2 }\n`,
    /^file\.yaml:9:3: the name a is there twice/,
  ],
  [
    'a number',
    'maas',
    '[{ hostname: a, power_type: ipmi, cpu_count: many }]',
    /^file\.yaml:1:46: cpu_count: is no number/,
  ],
  [
    'a BMC of another kind',
    'metal3',
    `${HOST}  bmc: { address: 'irmc://192.0.2.1' }\n`,
    /^file\.yaml:4:19: a: spec\/bmc\/address: is neither/,
  ],
  ['a list', 'bifrost', '- 1\n', /^file\.yaml:1:1: an inventory of Bifrost is a map/],
  ['a map', 'maas', '{}\n', /^file\.yaml:1:1: machines of MAAS are a list/],
  ['no YAML', 'tinkerbell', 'a: [1', /^file\.yaml:1:\d+: .*correct the YAML/],
  ['depth', 'maas', `${'['.repeat(5_000)}`, /nested deeper/],
  ['a key of prototypes', 'bifrost', '__proto__: { driver: ipmi }\n', /^file\.yaml:1:1: the key __proto__ is refused/],
  ['nothing of its kind', 'metal3', 'kind: Pod\nmetadata: { name: p }\n', /it holds no node of metal3/],
  ['an unknown program', 'warewulf', 'a: 1', /^--from warewulf: there are bifrost, metal3, tinkerbell, maas/],
  [
    'a place in a later document',
    'metal3',
    `kind: Pod\nmetadata: { name: p }\n---\n${HOST}  bmc: 5\n`,
    /^file\.yaml:7:8: spec\/bmc: is no map/,
  ],
]

test.each(WRONG)('%s is refused with its place', async (_, origin, text, says) => {
  await expect(from(origin, text)).rejects.toThrow(says)
})

test('what holds a password is refused or left out, and each secret has a variable of its own', async () => {
  const inAddress = 'a: { driver: redfish, driver_info: { redfish_address: "https://u:hunter2@192.0.2.1" } }\n'
  await expect(from('bifrost', inAddress)).rejects.toThrow(/^file\.yaml:1:1: a: the address of the BMC holds a user/)
  const digest = 'a'.repeat(64)
  const image = `a: { instance_info: { image_source: "https://u:hunter2@h/x", image_checksum: ${digest} } }\n`
  expect(JSON.stringify(await from('bifrost', image))).not.toContain('hunter2')
  const password = '{ driver_info: { ipmi_password: x } }'
  const { file } = await from('bifrost', `a.b: ${password}\na-b: ${password}\n`)
  expect(Object.values(file.secrets).map(({ env }) => env)).toEqual(['RACKWARD_A_B_BMC', 'RACKWARD_A_B_BMC_2'])
})

test('the command writes the rack file, which validates; one that is too large is refused', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-import-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const out = join(dir, 'rack.yaml')
  await importRack(join(DIRECTORY, 'metal3.yaml'), { from: 'metal3', site: 'lab', out })
  expect(resolve((await loadRack(out)).root).nodes.map(({ name }) => name)).toEqual(['host-0', 'host-1'])
  const large = join(dir, 'large.yaml')
  await writeFile(large, 'x'.repeat(5 * 1024 * 1024))
  await expect(importRack(large, { from: 'metal3', site: 'lab' })).rejects.toThrow(
    /large\.yaml:1:1: the file is larger/,
  )
})

test('a rack or a machine may be named like what every object has', async () => {
  const machine = (hostname: string, zone: string) => ({ hostname, power_type: 'ipmi', zone: { name: zone } })
  const zones = [machine('constructor', 'toString'), machine('a', 'constructor'), machine('b', '__proto__')]
  const { file, left } = await from('maas', JSON.stringify(zones))
  expect(Object.entries(file.racks).map(([rack, { units }]) => [rack, Object.keys(units)])).toEqual([
    ['toString', ['constructor']],
    ['constructor', ['a']],
    ['unplaced', ['b']],
  ])
  expect(left).toContainEqual(expect.stringMatching(/: the rack has a name that a rack file cannot hold$/))
  await expect(from('maas', JSON.stringify([machine('__proto__', 'r1')]))).rejects.toThrow(
    /^file\.yaml:1:2: the name "__proto__" holds other/,
  )
})

test('a document that begins beside its mark is read', async () => {
  const { file } = await from('bifrost', '--- { a: { driver: ipmi } }\n--- # another\nb: { driver: ipmi }\n')
  expect(Object.keys(file.racks.unplaced?.units ?? {})).toEqual(['a', 'b'])
  await expect(from('bifrost', '---\n--- { a: 1 }\n')).rejects.toThrow(/^file\.yaml:2:10: a: is no map/)
})

test('thousands of nodes, each with a password and an image of its own, are checked in parts', async () => {
  const count = 2_500
  const path = 'x'.repeat(400)
  const nodes = Array.from({ length: count }, (_, i) => {
    const image = `instance_info: { image_source: "http://h/${path}/${i}", image_checksum: ${i.toString(16).padStart(64, 'a')} }`
    return `n${i}: { driver_info: { ipmi_password: x }, ${image} }\n`
  })
  const { file } = await from('bifrost', nodes.join(''))
  expect(Object.keys(file.secrets).length).toBe(count)
  expect(Object.keys(file.images).length).toBe(count)
}, 60_000)

test('a column that is wrong is refused with its line', async () => {
  await expect(from('bifrost', '52:54:00:00:00:01,u,p,h,many,1,1,,,,n\n', 'file.csv')).rejects.toThrow(
    /^file\.csv:1:1: cpus: is no number; correct column 5/,
  )
  await expect(from('bifrost', '\n52:54:00:00:00:01,u,p,h\n', 'file.csv')).rejects.toThrow(
    /^file\.csv:2:1: name: column 11 is empty/,
  )
})

test('whatever a file says, the answer is a rack file or a refusal with its place; no value of a password comes out', async () => {
  const word = fc.oneof(
    fc.constantFrom('{n}', '}', 'ipmi', '192.0.2.1', '52:54:00:00:00:01', '../x', '', '+a', '-a', 'a b', 'yes', '~'),
    fc.string({ maxLength: 8 }),
  )
  const name = fc.constantFrom(
    'driver',
    'driver_info',
    'nics',
    'mac',
    'properties',
    'ipmi_address',
    'ipmi_password',
    'cpus',
    'name',
    'instance_info',
    'image_source',
    'power',
    'x',
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      word,
      fc.integer(),
      fc.boolean(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(name, tie('value'), { maxKeys: 4 }),
    ),
  }))
  let good = 0
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.dictionary(name, value, { maxKeys: 5 }), { minKeys: 1 }),
      async (nodes) => {
        const text = stringify(
          JSON.parse(JSON.stringify({ ...nodes, z: { driver_info: { ipmi_password: 'hunter2' } } })),
          { aliasDuplicateObjects: false },
        )
        try {
          const made = await from('bifrost', text)
          expect(JSON.stringify(made)).not.toContain('hunter2')
          good += 1
        } catch (error) {
          expect(error).toBeInstanceOf(CliError)
          expect((error as Error).message).toMatch(/^(file\.yaml|the rack file that was made):\d+:\d+: /)
          expect((error as Error).message).not.toContain('hunter2')
        }
      },
    ),
    { numRuns: 200 },
  )
  expect(good).toBeGreaterThan(4)
})
