/** The table of invariants in docs/mesh.md: every guard stands in it, every number that code cites is defined there,
 *  and every link of a document leads somewhere. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { INTENT_GUARDS } from '../../host-agent/evacuate/intents.ts'
import { FENCE_GUARDS } from '../../host-agent/fence/guards.ts'
import { ROOT } from '../lab/root.ts'

const mesh = readFileSync(join(ROOT, 'docs/mesh.md'), 'utf8')
const rows = mesh.split('\n').filter((line) => /^\| I\d+ \|/.test(line))
const column = (index: number) => rows.map((row) => row.split('|')[index]?.trim() ?? '')

const sources = ['host-agent', 'test/sim', 'test/mesh', 'test/arbiter', 'test/fence', 'test/verdict'].flatMap(
  (folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ path: join(folder, name), text: readFileSync(join(ROOT, folder, name), 'utf8') })),
)

test('the invariants are numbered without a gap, and no cell is empty', () => {
  expect(column(1)).toEqual(rows.map((_, index) => `I${index + 1}`))
  expect([2, 3, 4].flatMap(column).filter((cell) => cell === '')).toEqual([])
})

test('every guard of a fence and of a move holds a named invariant', () => {
  const named = column(3).join(' ')
  const guards = [...Object.keys(FENCE_GUARDS), ...Object.keys(INTENT_GUARDS)]
  expect(guards.filter((guard) => !named.includes(`\`${guard}\``))).toEqual([])
})

test('every invariant that code cites is in the table', () => {
  const cited = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/\bI(\d{1,2})\b(?!\])/g)].map(([, number]) => ({ path, number: Number(number) })),
  )
  expect(cited.length).toBeGreaterThan(20)
  expect(cited.filter(({ number }) => number > rows.length)).toEqual([])
})

const PAGES = ['README.md', 'CHANGELOG.md', 'vagrant/README.md', ...docs()]
function docs(): string[] {
  return readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
}

const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .trim()
    .replaceAll(/\s+/g, '-')

test.each(PAGES)('every link of %s leads to a file, and to a heading of it', (page) => {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const dead = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].filter(([, path, anchor]) => {
    const target = path === '' ? join(ROOT, page) : join(ROOT, dirname(page), path as string)
    if (!existsSync(target)) return true
    if (anchor === undefined) return false
    const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      anchorOf(title as string),
    )
    return !headings.includes(anchor)
  })
  expect(dead.map(([link]) => link)).toEqual([])
})

test.each(PAGES)('every decision that %s cites is one', (page) => {
  const known = new Set(
    [...readFileSync(join(ROOT, 'docs/decisions.md'), 'utf8').matchAll(/^\*\*(D\d+)\b/gm)].map(([, number]) => number),
  )
  const cited = [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\b(D[1-9]\d?\d?)\b/g)].map(([, number]) => number)
  expect(cited.filter((number) => !known.has(number))).toEqual([])
})
