/** Plans of rack files: nothing to do once applied, the same whatever the order of the file, and nothing ended because
 *  a line is missing. */
import fc from 'fast-check'
import { stringify as yamlOf } from 'yaml'
import { expect, test } from 'vitest'
import { endsOf, planHash, unagreed } from '../../../conductor/rollouts/plan.ts'
import { applied, planText } from './model.ts'

/** A rack file has no aliases. */
const stringify = (value: unknown) => yamlOf(value, { aliasDuplicateObjects: false })

const Word = fc.constantFrom('a', 'b', 'c')
const want = fc.constantFrom('enroll', 'manageable', 'available', 'active')
const spec = fc.record(
  {
    resource_class: Word,
    description: Word,
    properties: fc.dictionary(Word, fc.oneof(Word, fc.integer({ min: 0, max: 9 })), { maxKeys: 3 }),
    extra: fc.dictionary(Word, Word, { maxKeys: 2 }),
    traits: fc.uniqueArray(fc.constantFrom('CUSTOM_A', 'CUSTOM_B', 'CUSTOM_C'), { maxLength: 3 }),
    raid: fc.record({
      logical_disks: fc.constantFrom([{ size_gb: 1, raid_level: '1' }], [{ size_gb: 2, raid_level: '0' }]),
    }),
    configdrive: fc.record({ meta_data: fc.dictionary(Word, Word, { maxKeys: 2 }) }),
    driver_info: fc.record(
      { ipmi_password: fc.constant({ secret: 'bmc' }), ipmi_username: Word },
      { requiredKeys: [] },
    ),
    automated_clean: fc.boolean(),
    inspect: fc.boolean(),
    want,
  },
  { requiredKeys: [] },
)
const unit = fc.tuple(spec, fc.constantFrom([], ['base'], ['other'], ['base', 'other'])).map(([own, use]) => ({
  ...own,
  use,
}))
const rack = fc
  .record({
    base: spec,
    other: spec,
    units: fc.dictionary(fc.constantFrom('u01', 'u02', 'u[03-05]', 'x'), unit, { minKeys: 1 }),
  })
  .map(({ base, other, units }) => ({
    version: 1,
    site: 'lab',
    secrets: { bmc: { env: 'X' } },
    images: { one: { store: 'one' } },
    profiles: {
      base: { driver: 'ipmi', image: 'one', ...base },
      other: { ...other, use: ['base'] },
    },
    racks: {
      r1: {
        units: Object.fromEntries(
          Object.entries(units).map(([key, { use, ...own }], i) => [
            key,
            {
              driver: 'ipmi',
              image: 'one',
              ...own,
              use,
              ports: [key.startsWith('u') ? `52:54:00:00:0${i}:{n:02}` : `52:54:00:00:0${i}:00`],
            },
          ]),
        ),
      },
    },
  }))

/** What is the same when lines move. */
const withoutPlaces = (value: unknown) =>
  JSON.parse(JSON.stringify(value).replace(/ *(profile \w+, )?\(?rack\.yaml:\d+:\d+\)?/g, '')) as { hash?: string }

test('the plan of an applied file is empty', async () => {
  let acts = 0
  await fc.assert(
    fc.asyncProperty(rack, async (file) => {
      const text = stringify(file)
      const first = await planText(text)
      acts += first.items.flatMap(({ stages }) => stages).length
      const second = await planText(text, applied(first, []))
      expect({ items: second.items, refused: second.refused, left: second.left }).toEqual({
        items: [],
        refused: [],
        left: [],
      })
    }),
    { numRuns: 60 },
  )
  expect(acts).toBeGreaterThan(200)
})

test('from one applied file to another: the plan after it is empty', async () => {
  await fc.assert(
    fc.asyncProperty(rack, rack, async (one, other) => {
      const nodes = applied(await planText(stringify(one)), [])
      const to = stringify(other)
      const second = await planText(to, nodes)
      const third = await planText(to, applied(second, nodes))
      // What is refused stays refused, and what is left alone stays.
      const open = new Set(second.refused.map(({ node }) => node))
      expect(third.items.filter(({ node }) => !open.has(node))).toEqual([])
    }),
    { numRuns: 60 },
  )
})

test('the order of the keys of a file changes nothing of its plan', async () => {
  const shuffled = (value: unknown, seed: number): unknown => {
    if (Array.isArray(value)) return value
    if (value === null || typeof value !== 'object') return value
    const entries = Object.entries(value).map(([key, inner]) => [key, shuffled(inner, seed)] as const)
    return Object.fromEntries(
      seed % 2 === 0 ? entries.toReversed() : [...entries.slice(seed % 3), ...entries.slice(0, seed % 3)],
    )
  }
  await fc.assert(
    fc.asyncProperty(rack, fc.nat(9), async (file, seed) => {
      const { hash: _a, ...one } = withoutPlaces(await planText(stringify(file)))
      const { hash: _b, ...other } = withoutPlaces(await planText(stringify(shuffled(file, seed))))
      expect(other).toEqual(one)
    }),
    { numRuns: 40 },
  )
})

/** Every file with one key of any depth taken out. */
function* withoutOne(value: unknown): Generator<unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return
  for (const [key, inner] of Object.entries(value)) {
    const { [key]: _, ...rest } = value as Record<string, unknown>
    yield rest
    for (const less of withoutOne(inner)) yield { ...value, [key]: less }
  }
}

test('a missing line ends nothing: what it would end is not done without agreement, and a missing node or port is left alone', async () => {
  let cuts = 0
  await fc.assert(
    fc.asyncProperty(rack, async (file) => {
      const nodes = applied(await planText(stringify(file)), [])
      for (const less of withoutOne(file)) {
        const plan = await planText(stringify(less), nodes).catch(() => undefined)
        if (!plan) continue
        cuts += 1
        // Nothing is deleted, and no port goes, whatever is agreed to.
        expect(plan.items.flatMap(endsOf).filter((kind) => ['forget', 'unport'].includes(kind))).toEqual([])
        expect(Object.keys(unagreed(plan, {})).length > 0).toBe(plan.items.some((item) => endsOf(item).length > 0))
        const names = (all: typeof nodes) => all.map(({ name, ports }) => [name, ports])
        expect(names(applied(plan, nodes, false))).toEqual(names(nodes))
      }
    }),
    { numRuns: 5 },
  )
  expect(cuts).toBeGreaterThan(60)
})

const FILE = {
  version: 1,
  site: 'lab',
  images: { one: { store: 'one' }, two: { store: 'two' } },
  racks: {
    r1: { units: { u01: { driver: 'fake-hardware', image: 'one', want: 'active', ports: ['52:54:00:00:00:01'] } } },
  },
}
type Unit = Record<string, unknown>
const withUnit = (change: Unit) =>
  stringify({ ...FILE, racks: { r1: { units: { u01: { ...FILE.racks.r1.units.u01, ...change } } } } })

test('an edited plan has another hash', async () => {
  const plan = await planText(stringify(FILE))
  expect(planHash(plan)).toBe(plan.hash)
  expect(planHash({ ...plan, items: [] })).not.toBe(plan.hash)
})

test('another image is a rebuild that is listed, and protect refuses it', async () => {
  const nodes = applied(await planText(stringify(FILE)), [])
  const plan = await planText(withUnit({ image: 'two' }), nodes)
  expect(unagreed(plan, {})).toEqual({ rebuild: ['r1-u01'] })
  expect(plan.items[0]?.says).toContain('! image  runs one, wanted two')
  const kept = await planText(withUnit({ image: 'two', protect: true }), nodes)
  expect(kept.items).toEqual([])
  expect(kept.refused).toMatchObject([
    { node: 'r1-u01', why: expect.stringMatching(/^protect: true \(rack\.yaml:\d+:\d+\): it is rebuilt/) },
  ])
})

test('protect holds from the first deploy on, and the record is kept in any state', async () => {
  const first = await planText(withUnit({ protect: true }), [])
  expect(first.refused).toEqual([])
  expect(unagreed(first, {})).toHaveProperty('deploy', ['r1-u01'])
  const waiting = applied(await planText(withUnit({ want: 'available' })), [])
  expect((await planText(withUnit({ want: 'active', protect: true }), waiting)).refused).toEqual([])
  expect((await planText(withUnit({ want: 'absent', protect: true }), waiting)).refused).toMatchObject([
    { node: 'r1-u01', why: expect.stringMatching(/^protect: true/) },
  ])
  const running = applied(await planText(stringify(FILE)), [])
  expect((await planText(withUnit({ want: 'available', protect: true }), running)).refused).toHaveLength(1)
})

test('a node and a port go only when the file says so', async () => {
  const nodes = applied(await planText(withUnit({ want: 'available' })), [])
  expect(unagreed(await planText(withUnit({ want: 'absent' }), nodes), {})).toEqual({ forget: ['r1-u01'] })
  const port = await planText(withUnit({ want: 'available', ports: [], absent_ports: ['52:54:00:00:00:01'] }), nodes)
  expect(unagreed(port, {})).toEqual({ unport: ['r1-u01'] })
  const active = applied(await planText(stringify(FILE)), [])
  expect((await planText(withUnit({ want: 'absent' }), active)).refused).toMatchObject([{ node: 'r1-u01' }])
})

test('what another set is left alone, and a key that left the file goes', async () => {
  const nodes = applied(await planText(withUnit({ extra: { owner: 'me', rest: 'x' } })), [])
  const [node] = nodes
  if (!node) throw new Error('no node')
  const theirs = [{ ...node, fields: { ...node.fields, 'extra/owner': 'her', 'extra/more': 'y' } }]
  const plan = await planText(stringify(FILE), theirs)
  expect(plan.items[0]?.stages).toEqual([{ do: 'patch', patch: [{ op: 'remove', path: '/extra/rest' }] }])
  expect(plan.left).toEqual(['r1-u01: extra/owner is in the file no more, and somebody changed it since: left alone'])
})

test('a node of the file of another site is not touched', async () => {
  const nodes = applied(await planText(stringify(FILE)), [])
  const plan = await planText(stringify({ ...FILE, site: 'other' }), nodes)
  expect(plan).toMatchObject({ items: [], refused: [{ why: expect.stringContaining('the site lab') }] })
})

test('a reference for what is no secret is compared as well: a plan that was applied is empty', async () => {
  const text = `version: 1
site: lab
secrets: { name: { env: X } }
racks: { r1: { units: { u1: { driver: ipmi, driver_info: { ipmi_username: { secret: name } } } } } }`
  const nodes = applied(await planText(text), []).map((node) => ({
    ...node,
    fields: { ...node.fields, 'driver_info/ipmi_username': 'admin' },
  }))
  expect((await planText(text, nodes)).items).toEqual([])
})

test('with another driver, interfaces that the file names are named again', async () => {
  const text = (driver: string) =>
    `version: 1\nsite: lab\nracks: { r1: { units: { u1: { driver: ${driver}, rescue_interface: no-rescue } } } }\n`
  const nodes = applied(await planText(text('ipmi')), [])
  const [item] = (await planText(text('redfish'), nodes)).items
  expect(item?.stages).toContainEqual({
    do: 'patch',
    patch: expect.arrayContaining([
      { op: 'add', path: '/driver', value: 'redfish' },
      { op: 'add', path: '/rescue_interface', value: 'no-rescue' },
    ]) as unknown,
  })
})
