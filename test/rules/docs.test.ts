/** Generated parts of the documents equal the code. UPDATE=1 writes them anew, and fails that run. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { drawTable } from '../../kit/arrows.ts'
import { FAULTS } from '../../kit/fault.ts'
import { INTENT_TABLE } from '../../host-agent/evacuate/intents.ts'
import { INCIDENT_TABLE } from '../../host-agent/fence/states.ts'
import { NODE_ARROWS } from '../../conductor/node/workflow/arrows.ts'
import { STATES } from '../../conductor/node/workflow/states.ts'
import { Config } from '../../conductor/config.ts'
import { AgentConfig } from '../../host-agent/config.ts'
import { ROOT } from '../lab/root.ts'
import { configTable, limitsTable, planesTable } from './config-docs.ts'

const PAGE = join(ROOT, 'docs/architecture.md')

const PARTS: Readonly<Record<string, string>> = {
  states: [
    '| state | kind | description |',
    '| --- | --- | --- |',
    ...Object.entries(STATES).map(([name, { kind, description }]) => `| ${name} | ${kind} | ${description} |`),
  ].join('\n'),
  arrows: ['```mermaid', drawTable(NODE_ARROWS), '```'].join('\n'),
  incidents: ['```mermaid', drawTable(INCIDENT_TABLE.arrows, INCIDENT_TABLE), '```'].join('\n'),
  intents: ['```mermaid', drawTable(INTENT_TABLE.arrows, INTENT_TABLE), '```'].join('\n'),
  conductor: configTable(Config),
  agent: configTable(AgentConfig),
  limits: limitsTable(),
  planes: planesTable(),
  faults: [
    '| fault | description | remedy |',
    '| --- | --- | --- |',
    ...Object.entries(FAULTS).map(([code, { description, remedy }]) => `| ${code} | ${description} | ${remedy} |`),
  ].join('\n'),
}

const CONFIGURATION = join(ROOT, 'docs/configuration.md')
const MESH = join(ROOT, 'docs/mesh.md')

test.each([
  ['states', PAGE],
  ['arrows', PAGE],
  ['faults', PAGE],
  ['incidents', MESH],
  ['intents', MESH],
  ['limits', MESH],
  ['planes', MESH],
  ['conductor', CONFIGURATION],
  ['agent', CONFIGURATION],
])('the documents show the %s of the code', (name, page) => {
  const text = readFileSync(page, 'utf8')
  const pattern = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(\n<!-- /${name} -->)`)
  const wanted = text.replace(pattern, (_, open: string, close: string) => open + (PARTS[name] as string) + close)
  if (process.env.UPDATE === '1') writeFileSync(page, wanted)
  expect(text).toBe(wanted)
  expect(text).toContain(PARTS[name])
})

test('every test that a document names exists', () => {
  const pages = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter((name) =>
    name.endsWith('.md'),
  )
  const named = pages.flatMap((page) =>
    [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\btest\/[\w./-]+\.(?:ts|mjs|sh)\b/g)].map(([path]) => ({
      page,
      path,
    })),
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter(({ path }) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('a key without a description has no row: the table is refused', () => {
  const described = z.strictObject({ port: z.number().describe('Where it listens.') })
  expect(configTable(described)).toContain('| `port` | number | required | Where it listens. |')
  const nested = z.strictObject({ api: described.extend({ url: z.string().optional() }).describe('The API.') })
  expect(() => configTable(nested)).toThrow('api.url has no description')
})
