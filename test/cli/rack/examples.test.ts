/** Every rack file of docs/examples is acceptable, plans without a refusal, and fits the schema for editors. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadRack } from '../../../cli/rack/load.ts'
import { plain } from '../../../cli/rack/located.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { ROOT } from '../../lab/root.ts'
import { applied, observing } from './model.ts'

const DIR = join(ROOT, 'docs/examples')
const names = await readdir(DIR)
const texts = await Promise.all(names.map(async (name) => [name, await readFile(join(DIR, name), 'utf8')] as const))
const racks = texts.flatMap(([name, text]) => (/^site: /m.test(text) ? [name] : []))
const schema = z.fromJSONSchema(JSON.parse(await readFile(join(DIR, 'rack.schema.json'), 'utf8')) as never)

test('they are found', () => {
  expect(racks.length).toBeGreaterThanOrEqual(3)
})

describe.each(racks)('%s', (name) => {
  test('is acceptable, fits the schema, and once applied there is nothing left to do', async () => {
    const { root } = await loadRack(join(DIR, name))
    expect(schema.safeParse(plain(root)).error?.issues).toBeUndefined()
    const rack = resolve(root)
    const first = planOf(rack, observing([]))
    expect(first.refused).toEqual([])
    expect(first.items.map(({ node }) => node).toSorted()).toEqual(rack.nodes.map((node) => node.name).toSorted())
    const seen = rack.nodes.map(({ name: node, spec }) => {
      const bios = Object.entries(spec.bios ?? {}).map(([setting, value]) => ({
        name: setting,
        value: String(value),
        attribute_type: null,
        allowable_values: null,
        read_only: false,
      }))
      const firmware = Object.entries(spec.firmware ?? {}).map(([component, { version }]) => ({
        component,
        current_version: version,
      }))
      return [node, { bios, firmware }] as const
    })
    const again = planOf(rack, { ...observing(applied(first, [])), baselines: new Map(seen) })
    expect({ items: again.items, refused: again.refused, left: again.left }).toEqual({
      items: [],
      refused: [],
      left: [],
    })
  })
})
