/** Every page of the console in both themes, on a wide and on a narrow window: accessible, and never wider than the
 *  window; and with hostile texts in every field of every answer. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../kit/clock.ts'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { fillRacks, LIFE_MS } from './full-racks.ts'
import { INCIDENT, startMeshBench, type MeshBench } from './mesh-bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'
const ROLLOUT = '0123456789abcdef'

let mesh: MeshBench
let bench: Bench
let dir = ''
let aheadMs = -1.2 * LIFE_MS
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-pages-'))
  const secretFile = join(dir, 'secret')
  await writeFile(secretFile, 'a-secret-of-some-length', { mode: 0o600 })
  mesh = await startMeshBench()
  const more = {
    mesh: { arbiters: [mesh.url] },
    webhooks: [{ name: 'alerts', url: 'http://127.0.0.1:9/', secretFile, format: 'alertmanager' }],
    hooks: [{ name: 'look', act: 'hint', auth: 'token', secretFile }],
  }
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
  bench = await Bench.start(more, { ...SHARED, clock })
  await fillRacks(bench)
  aheadMs = 0
})
afterAll(async () => {
  await bench?.stop()
  await mesh?.stop()
  await rm(dir, { recursive: true })
})

const HOUR_MS = 3_600_000
const ago = (ms: number): string => new Date(systemClock.now() - ms).toISOString()
const image = (name: string, used: readonly string[]) => ({
  id: name.padEnd(64, '0'),
  names: [name],
  size_bytes: 2 ** 31,
  stored_bytes: 2 ** 29,
  created_at: ago(900 * HOUR_MS),
  os_type: 'linux',
  signed_loader: true,
  used_by: used.map((one) => ({ uuid: one, name: one })),
})
const turn = (node: string, state: string, more: object = {}) => ({
  node,
  uuid: node,
  canary: false,
  state,
  stage: 1,
  stages: 3,
  doing: state === 'running' ? 'deploys debian-12' : null,
  why: null,
  ...more,
})
const rollout = {
  id: ROLLOUT,
  site: 'berlin',
  state: 'running',
  why: null,
  by: 'anna',
  plan: 'x',
  created_at: ago(HOUR_MS),
  updated_at: ago(60_000),
  counts: { done: 2, running: 2, failed: 1, waiting: 2 },
  at_once: 10,
  at_once_per_rack: 2,
  stop_after: 3,
  canaries: 1,
  canaries_done_at: ago(1_800_000),
  held_until: null,
}
const nodes = [
  turn('r1-u01', 'done', { canary: true, stage: 3 }),
  turn('r1-u02', 'done', { stage: 3 }),
  turn('r1-u03', 'failed', { why: 'deploy failed: the image could not be fetched: no answer from 192.0.2.9 for 60 s' }),
  turn('r1-u04', 'running'),
  turn('r1-u05', 'running', { doing: 'waits for its turn: place 3 of 12' }),
  turn('r1-u06', 'waiting', { stage: 0 }),
  turn('r1-u07', 'waiting', { stage: 0 }),
]
const queued = (place: number) => ({
  node: `r2-u${place}`,
  name: `r2-u${String(place).padStart(2, '0')}`,
  place,
  priority: place === 1 ? 10 : 0,
  since: ago(60_000 * place),
  left_seconds: place === 3 ? null : 90 * place,
  why: place === 1 ? '32 servers boot at once already' : 'rack r2 has 8 servers at work, as many as it bears',
})
/** What no fake server can bring about in a moment. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  '/rackward/v1/images': {
    images: [image('debian-12', ['r1-u01', 'r1-u02', 'r2-u01']), image('flatcar', [])],
    broken: [{ id: 'f'.repeat(64), why: 'piece 17 is not there' }],
  },
  '/rackward/v1/rollouts': { rollouts: [{ ...rollout, state: 'done', site: 'before', why: null }, rollout] },
  [`/rackward/v1/rollouts/${ROLLOUT}`]: { ...rollout, nodes },
  '/rackward/v1/admission': {
    enabled: true,
    boots: { used: 32, limit: 32 },
    writes: { used: 9, limit: 16 },
    per_rack: 8,
    per_group: null,
    waiting: [1, 2, 3].map(queued),
  },
}

const PAGES = [
  ['', 'Needs attention'],
  ['nodes', 'Waits for'],
  ['nodes/r2-u11', 'Phases'],
  ['mesh', 'Not protected'],
  ['mesh/h4', 'Why, and why not'],
  ['arbiters', 'Told to people'],
  ['incidents', 'moved'],
  [`incidents/${INCIDENT}`, 'Time line'],
  ['events', 'Pause'],
  ['hooks', 'look'],
  ['images', 'debian-12'],
  ['rollouts', 'berlin'],
  [`rollouts/${ROLLOUT}`, 'canary'],
  ['queue', 'as many as it bears'],
  ['links', 'Valid links'],
  ['nothing', 'There is no such page'],
] as const

/** Goes to a page without loading the console again. */
async function visit(page: Page, path: string, shown: string): Promise<void> {
  await page.evaluate(`history.pushState(null, '', '/ui/${path}'); dispatchEvent(new PopStateEvent('popstate'))`)
  await page.locator('main').getByText(shown).first().waitFor()
}

const isTooWide = (page: Page) => page.evaluate('document.documentElement.scrollWidth > innerWidth')

/** For pictures, each theme in each width. */
const VIEWS = [
  { dark: true, width: 1280 },
  { dark: false, width: 390 },
  ...(process.env.RACKWARD_SHOTS === undefined
    ? []
    : [
        { dark: false, width: 1280 },
        { dark: true, width: 390 },
      ]),
]
/** Each finds out what is wrong with twenty pages, on a machine that may do other things, too. */
const LONG_MS = 600_000

test.concurrent.for(VIEWS)(
  'every page is accessible, and none is wider than the window: %j',
  { timeout: LONG_MS },
  async (options, { expect }) => {
    const { page, said } = await bench.page(options)
    for (const [path, json] of Object.entries(ANSWERS))
      await page.route(`**${path}`, (route) => route.fulfill({ json }))
    const view = `${options.width}-${options.dark ? 'dark' : 'light'}`
    const look = async (name: string) => {
      expect.soft([name, await flaws(page)]).toEqual([name, []])
      expect.soft([name, await isTooWide(page)]).toEqual([name, false])
      await shoot(page, `every/${name}-${view}`)
    }
    await page.goto(`${bench.base}/ui/`)
    await page.getByLabel('Password').waitFor()
    await look('login')
    await page.evaluate("document.documentElement.removeAttribute('lang')")
    expect(await flaws(page)).toEqual([expect.stringMatching(/^html-has-lang/)])
    await bench.logIn(page)
    for (const [path, shown] of PAGES) {
      await visit(page, path, shown)
      await look(path.replaceAll('/', '-') || 'racks')
    }
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('r2')
    await look('palette')
    await page.keyboard.press('Escape')
    // A console is open once: each view has a server of its own.
    await page.goto(`${bench.base}/ui/console/r${options.dark ? 1 : 2}-u0${options.width === 390 ? 1 : 2}`)
    await page.getByText('You have it.').waitFor()
    await page.keyboard.type('uname -a')
    await page.locator('.xterm-rows').getByText('uname -a').waitFor()
    await look('console')
    expect(said).toEqual([])
    await page.context().close()
  },
)

/** Every text that is no time, number or word of the API's own has HOSTILE at its end. */
function poisoned(value: unknown): unknown {
  if (typeof value === 'string') return /^\d{4}-\d\d-\d\dT|^$/.test(value) ? value : `${value}${HOSTILE}`
  if (Array.isArray(value)) return value.map(poisoned)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, KEPT.has(key) ? one : poisoned(one)]))
}
/** What pages ask further questions by, and who asks. */
const KEPT: ReadonlySet<string> = new Set(['uuid', 'role', 'csrf', 'id'])

test('whatever stands in the answers of the conductor, no page runs it or breaks', { timeout: LONG_MS }, async () => {
  const { page, said } = await bench.page()
  let poisonedAnswers = 0
  await page.route(/\/(rackward\/)?v1\//, async (route) => {
    const path = new URL(route.request().url()).pathname
    const own = ANSWERS[path]
    if (own === undefined && (route.request().method() !== 'GET' || path.endsWith('/events'))) return route.fallback()
    const response = own === undefined ? await route.fetch() : undefined
    if (response && !response.ok()) return route.fulfill({ response })
    poisonedAnswers += 1
    return route.fulfill({ json: poisoned(own ?? (await response?.json())) })
  })
  await bench.logIn(page)
  const seen: string[] = []
  for (const [path, shown] of PAGES) {
    await visit(page, path.startsWith('nodes/') ? path + encodeURIComponent(HOSTILE) : path, shown)
    if (await page.locator('main').getByText(HOSTILE).first().isVisible()) seen.push(path)
    expect([path, await page.evaluate('document.querySelectorAll("main img, main script").length')]).toEqual([path, 0])
  }
  for (const summary of await page.locator('details summary').all()) await summary.click()
  await page.keyboard.press('Control+k')
  await page.getByRole('combobox').fill('r2')
  await page.getByRole('option').first().waitFor()
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(said).toEqual([])
  // The texts were there to see, and not left out.
  expect(seen.length).toBeGreaterThan(10)
  expect(poisonedAnswers).toBeGreaterThan(15)
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.context().close()
})
