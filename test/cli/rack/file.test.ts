/** Rack files that are wrong: each error names file, line, column, field and remedy. Bounded, whatever is sent. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { loadRack } from '../../../cli/rack/load.ts'
import { readLocated } from '../../../cli/rack/located.ts'
import { expandRange, fill, foldNames } from '../../../cli/rack/ranges.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { readSecrets } from '../../../cli/rack/secrets.ts'

const HEAD = 'version: 1\nsite: lab\n'
const read = async (text: string) => resolve(await readLocated(text, 'rack.yaml'))
const unit = (body: string) => `${HEAD}racks:\n  r1:\n    units:\n      u01:\n${body.replace(/^/gm, '        ')}\n`

const WRONG: readonly [name: string, text: string, says: RegExp][] = [
  ['no YAML', `${HEAD}a: [1`, /^rack\.yaml:3:\d+: .*correct the YAML/],
  ['a tab', `${HEAD}a:\n\t- 1`, /^rack\.yaml:4:1: /],
  ['a list', '- 1', /^rack\.yaml:1:1: a rack file is a map/],
  ['nothing', '', /^rack\.yaml:1:1: a rack file is a map/],
  ['two documents', `${HEAD}---\n${HEAD}`, /several documents/],
  ['a key twice', `${HEAD}site: x\n`, /^rack\.yaml:3:1: .*unique/],
  [
    'an alias',
    `${HEAD}secrets: { a: &a { env: X }, b: *a }`,
    /^rack\.yaml:3:33: aliases .* are refused; write a profile/,
  ],
  ['a merge key', unit('<<: { driver: ipmi }'), /^rack\.yaml:7:9: the merge key << is refused/],
  ['a tag', `${HEAD}secrets: !!js/function x`, /^rack\.yaml:3:24: the tag .*remove it/],
  ['an unknown key', `${HEAD}profile: {}`, /^rack\.yaml:3:1: profile is not a known field; did you mean profiles\?/],
  [
    'an unknown field',
    unit('drivr: ipmi'),
    /^rack\.yaml:7:9: racks\/r1\/units\/u01\/drivr is not a known field; did you mean driver\?/,
  ],
  ['a version', 'version: 2\nsite: x', /^rack\.yaml:1:10: version: /],
  ['no driver', unit('u: 1'), /^rack\.yaml:6:7: r1-u01: driver: is missing/],
  [
    'a MAC',
    unit('driver: ipmi\nports: [52:54:00:00:00:1]'),
    /^rack\.yaml:8:17: racks\/r1\/units\/u01\/ports\/0: .*MAC address/,
  ],
  [
    'a password',
    unit('driver: ipmi\ndriver_info: { ipmi_password: hunter2 }'),
    /^rack\.yaml:8:39: driver_info\/ipmi_password: secrets are not written here/,
  ],
  [
    'a secret without a source',
    unit('driver: ipmi\ndriver_info: { ipmi_password: { secret: x } }'),
    /^rack\.yaml:8:39: driver_info\/ipmi_password: there is no secret x/,
  ],
  [
    'a password in a list',
    unit('driver: ipmi\ndriver_info: { ipmi_password: [hunter2] }'),
    /^rack\.yaml:8:40: driver_info\/ipmi_password\/0: secrets are not written here/,
  ],
  [
    'a password in a map',
    unit('driver: ipmi\ndriver_info: { ipmi_password: { x: hunter2 } }'),
    /^rack\.yaml:8:44: driver_info\/ipmi_password\/x: secrets are not written here/,
  ],
  [
    'a secret that readers of the node would see',
    `${HEAD}secrets: { s: { env: S } }\nracks: { r1: { units: { u1: { driver: ipmi, extra: { a: { secret: s } } } } } }`,
    /^rack\.yaml:4:\d+: extra\/a: it would be shown to all readers/,
  ],
  [
    'a key of prototypes',
    `${HEAD}racks: { __proto__: { units: { u1: 5 } } }`,
    /^rack\.yaml:3:10: the key __proto__ is/,
  ],
  ['an integer that cannot be kept', unit('driver: ipmi\nextra: { a: 12345678901234567890 }'), /8:21: .*too large/],
  ['YAML 1.1', `%YAML 1.1\n---\n${HEAD}`, /^rack\.yaml:1:1: YAML 1\.1 reads 0777/],
  ['lines of Windows', unit('drivr: ipmi').replaceAll('\n', '\r\n'), /^rack\.yaml:7:9: racks.*did you mean driver/],
  ['a byte order mark', `\ufeff${unit('drivr: ipmi')}`, /^rack\.yaml:7:9: racks.*did you mean driver/],
  ['active without image', unit('driver: ipmi\nwant: active'), /^rack\.yaml:8:15: r1-u01: want: active needs an image/],
  ['an unknown image', unit('driver: ipmi\nimage: x'), /^rack\.yaml:8:16: r1-u01: image: there is no image x/],
  ['an unknown profile', unit('use: [x]'), /^rack\.yaml:7:15: use: there is no profile x/],
  [
    'a circle',
    `${HEAD}profiles: { a: { use: [b] }, b: { use: [a] } }\nracks: { r1: { units: { u01: { use: [a] } } } }`,
    /use: the profile a uses itself \(a -> b -> a\)/,
  ],
  ['an unknown name', unit('driver: ipmi\nbmc: 10.0.0.{m}'), /^rack\.yaml:8:14: \{m\} is not known: use \{n\}/],
  ['a bad range', `${HEAD}racks: { r1: { units: { 'u[9-1]': { driver: ipmi } } } }`, /u\[9-1\] is no range/],
  [
    'too many nodes',
    `${HEAD}racks: { r1: { units: { 'u[00001-10000]': { driver: ipmi, name: 'n{n}' }, 'v[00001-10000]': { driver: ipmi, name: 'm{n}' } } } }`,
    /more than 10000 nodes/,
  ],
  [
    'a name twice',
    `${HEAD}racks: { r1: { units: { 'u[1-2]': { driver: ipmi, name: x } } } }`,
    /name: x has x, as x at rack\.yaml/,
  ],
  [
    'a MAC twice',
    `${HEAD}racks: { r1: { units: { 'u[1-2]': { driver: ipmi, ports: ['52:54:00:00:00:01'] } } } }`,
    /ports: r1-u2 has 52:54:00:00:00:01, as r1-u1 at/,
  ],
  [
    'a place twice',
    `${HEAD}racks: { r1: { units: { u1: { driver: ipmi, u: 1, height: 2 }, u2: { driver: ipmi, u: 2 } } } }`,
    /has r1, unit 2/,
  ],
  ['too deep', `${HEAD}a: ${'['.repeat(40)}${']'.repeat(40)}`, /nested deeper than 25 levels/],
  ['far too deep', `${HEAD}a: ${'['.repeat(200_000)}`, /nested deeper than|correct the YAML/],
  ['too large', `${HEAD}a: ${'x'.repeat(5 * 1024 * 1024)}`, /larger than/],
  ['many values', `${HEAD}a: [${'1,'.repeat(300_000)}1]`, /more than 100000 values/],
]

test.each(WRONG)('%s is refused with its place', { timeout: 60_000 }, async (_, text, says) => {
  await expect(read(text)).rejects.toThrow(says)
  await read(text).catch((error: { kind?: string; message: string }) => {
    expect(error.kind).toBe('usage')
    expect(error.message).not.toContain('hunter2')
  })
})

test('a bomb of aliases costs nothing: aliases are refused before they are expanded', async () => {
  const bomb = Array.from(
    { length: 30 },
    (_, i) => `b${i}: &b${i} [${i === 0 ? 'x' : `*b${i - 1},*b${i - 1},*b${i - 1}`}]`,
  ).join('\n')
  await expect(read(`${HEAD}${bomb}`)).rejects.toThrow(/aliases/)
})

test('profiles: the right-most wins, maps are merged, lists replaced, + appends, - takes away', async () => {
  const { nodes } = await read(`${HEAD}
profiles:
  a: { driver: ipmi, properties: { x: 1, y: 1 }, traits: [CUSTOM_A, CUSTOM_B], description: a }
  b: { properties: { y: 2 }, +traits: [CUSTOM_C], description: b }
racks: { r1: { units: { 'u[08-10]': { use: [a, b], -traits: [CUSTOM_A], -properties: [x], bmc: '10.0.0.{10 + n}', u: '{n}', -description: } } } }`)
  expect(nodes.map(({ name }) => name)).toEqual(['r1-u08', 'r1-u09', 'r1-u10'])
  expect(nodes[1]?.spec).toMatchObject({
    driver: 'ipmi',
    properties: { y: 2 },
    traits: ['CUSTOM_B', 'CUSTOM_C'],
    bmc: '10.0.0.19',
    u: 9,
  })
  expect(nodes[1]?.spec.description).toBeUndefined()
})

test('a directory: files are one, and a key that two define is an error with both places', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-rack-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  await mkdir(join(dir, 'd'))
  const put = (name: string, text: string) => writeFile(join(dir, name), text)
  await put(
    'a.yaml',
    `${HEAD}profiles: { base: { driver: ipmi } }\nracks: { r1: { units: { u01: { use: [base] } } } }\n`,
  )
  await put(
    'b.yaml',
    `${HEAD}racks: { r1: { units: { u02: { use: [base] } } }, r2: { units: { u01: { use: [base] } } } }\n`,
  )
  expect(resolve((await loadRack(dir)).root).nodes.map(({ name }) => name)).toEqual(['r1-u01', 'r1-u02', 'r2-u01'])
  await put('c.yaml', `profiles: { base: { driver: redfish } }\n`)
  await expect(loadRack(dir)).rejects.toThrow(/c\.yaml:1:13: profiles\/base stands in .*a\.yaml:3:13 too; remove one/)
})

test('ranges and names', () => {
  expect(expandRange('u[08-10]')?.map(({ unit: name }) => name)).toEqual(['u08', 'u09', 'u10'])
  const names = { n: 10, unit: 'u10', rack: 'r', site: 's', name: 'x' }
  expect(fill('{n:03} {n:02x} {n:x} {5 + n} {n - 1} {{n}} {rack}', names)).toBe('010 0a a 15 9 {n} r')
  expect(foldNames(['u10', 'u09', 'u08', 'x', 'u12'])).toEqual(['u[08-10]', 'u12', 'x'])
})

test('a program that prints a secret gets its words as they are, in the directory of the file', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-rack-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  await writeFile(join(dir, 'print'), '#!/bin/sh\nprintf "%s\\r\\nmore" "$1"\n', { mode: 0o700 })
  const root = await readLocated(
    `${HEAD}secrets: { a: { exec: [./print, "x; echo $HOME 'y'"] }, b: { exec: ['false'] } }\n`,
    'f',
  )
  const rack = resolve(root)
  const at = { directory: dir, env: {} }
  expect(await readSecrets(rack, ['a'], at)).toEqual({ a: "x; echo $HOME 'y'" })
  await expect(readSecrets(rack, ['b'], at)).rejects.toThrow(/^f:3:\d+: secrets\/b: false ended with 1; run it by hand/)
})
