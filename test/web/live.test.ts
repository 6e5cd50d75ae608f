/** What a page shows stays true: connections that are cut or stand still, clocks that disagree; and the way through the
 *  console without a mouse. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'
import { Wire } from './wire.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({}, SHARED)
  for (const name of ['one', 'two', 'three']) await bench.node(name)
})
afterAll(() => bench?.stop())

/** So long a page waits before it connects again. */
const RETRY_MS = 2_000

async function logInAt(page: Page, base: string, path: string): Promise<void> {
  await page.goto(`${base}${path}`)
  await page.getByLabel('User').fill('eye')
  await page.getByLabel('Password').fill('pw')
  await page.getByLabel('Password').press('Enter')
  await page.getByText('live', { exact: true }).waitFor()
}
const slots = async (page: Page) => (await page.locator('.slot a').allTextContents()).sort()

test.each([
  ['is cut', 5],
  ['stands still', 60],
] as const)('a connection that %s for %i s is said to be lost, and then the page is as a fresh one', async (how, s) => {
  const wire = await Wire.to(bench.base)
  const { page } = await bench.page()
  await page.clock.install()
  await logInAt(page, wire.base, '/ui/')
  wire.set(how)
  await bench.node(`during-${s}`)
  await bench.call('PUT', '/v1/nodes/two/maintenance', { reason: how })
  await page.clock.runFor(s * 1000)
  await page.getByText('no connection since').waitFor()
  expect(await page.getByRole('link', { name: `during-${s}` }).count()).toBe(0)
  wire.set('passes')
  await page.clock.runFor(RETRY_MS)
  await page.getByText('live', { exact: true }).waitFor()
  await page.getByRole('link', { name: `during-${s}` }).waitFor()
  const fresh = await page.context().newPage()
  await fresh.goto(`${bench.base}/ui/`)
  await fresh.getByRole('link', { name: `during-${s}` }).waitFor()
  await expect.poll(() => slots(page), { timeout: 20_000 }).toEqual(await slots(fresh))
  await page.getByRole('link', { name: 'Events' }).click()
  expect(await page.getByText(`name during-${s}`).count()).toBe(1)
  wire.stop()
  await page.context().close()
})

/** As if a deploy agent had reported. */
async function deploys(name: string): Promise<(doneBytes: number) => void> {
  const uuid = await bench.node(name)
  const { store, sightings } = bench.inside
  const node = await store.node(uuid)
  const agent = { sessionHash: 'x', generation: 1, tokenMs: 0, helloAtMs: 0 }
  await store.putNode({ ...(node as NodeRecord), provisionState: 'deploying', agent })
  return (doneBytes) => void (sightings.of(uuid).progress = { phase: 'write', doneBytes, totalBytes: 1000 })
}

test('how far a deploy is comes with the stream, without another board, and again after the stream was lost', async () => {
  const report = await deploys('written')
  report(100)
  const wire = await Wire.to(bench.base)
  const { page, said } = await bench.page()
  await page.clock.install()
  await logInAt(page, wire.base, '/ui/nodes')
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'written', exact: true }) })
  await row.getByText('10 %').waitFor()
  // From here on, the stream alone can tell.
  await page.route('**/rackward/v1/board', (route) => route.fulfill({ status: 304 }))
  report(420)
  await row.getByText('42 %').waitFor()
  wire.set('is cut')
  await page.getByText('no connection since').waitFor()
  report(870)
  expect(await row.getByText('42 %').count()).toBe(1)
  wire.set('passes')
  await page.clock.runFor(RETRY_MS)
  await row.getByText('87 %').waitFor()
  expect(said).toEqual([])
  wire.stop()
  await page.context().close()
})

test.each([10, -10])('a browser whose clock is %i minutes off shows the times of the conductor', async (minutes) => {
  const name = `skew-${minutes > 0 ? 'ahead' : 'behind'}`
  await bench.node(name)
  const { page } = await bench.page()
  await page.clock.install({ time: Date.now() + minutes * 60_000 })
  await bench.logIn(page, 'eye', '/ui/nodes')
  await page.clock.runFor(2_000)
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) })
  // Seconds, and not ten minutes or nothing for ever.
  await expect.poll(() => row.locator('td.num').textContent(), { timeout: 15_000 }).toMatch(/^[1-9]\d? s$/)
  await page.context().close()
})

test('without a mouse: to a server and a request about it, to its console, and back', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page)
  const to = async (text: string) => {
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').waitFor()
    await page.keyboard.type(text)
  }
  await to('three')
  await page.getByRole('option', { name: 'server three' }).waitFor()
  expect(await flaws(page)).toEqual([])
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'three', level: 1 }).waitFor()
  await to('manage')
  await page.getByRole('option', { name: 'request manage three' }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'Manage three' }).waitFor()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await to('serial')
  await page.keyboard.press('Enter')
  await page.getByText('You have it.').waitFor()
  await page.keyboard.press('Control+Alt+.')
  await page.getByRole('status').getByText('You left it.').waitFor()
  await page.getByRole('link', { name: 'three' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'three', level: 1 }).waitFor()
  await to('page')
  // The second of the pages.
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Nodes', level: 1 }).waitFor()
  await to('nothing like this')
  await page.getByText('Nothing has all of these words.').waitFor()
  expect(said).toEqual([])
  await page.context().close()
})

/** In the page: until a stream of events has told of the node. */
const untilTold = `async (uuid) => {
  const answer = await fetch('/rackward/v1/events?after=0', { headers: { accept: 'text/event-stream' } })
  const reader = answer.body.getReader()
  const decoder = new TextDecoder()
  for (let text = ''; !text.includes(uuid);) {
    const { value, done } = await reader.read()
    if (done) throw new Error('the stream of events ended')
    text += decoder.decode(value, { stream: true })
  }
  await reader.cancel()
}`

test('what happens while a board is on its way is shown at once, and not with the next board that is due', async () => {
  const { page } = await bench.page()
  let held: (() => Promise<void>) | undefined
  let isHeld = false
  await bench.logIn(page, 'eye', '/ui/nodes')
  await page.getByRole('link', { name: 'one', exact: true }).waitFor()
  await page.route('**/rackward/v1/board', async (route) => {
    if (isHeld) return route.continue()
    isHeld = true
    const response = await route.fetch()
    held = () => route.fulfill({ response })
  })
  await bench.node('asks-for-a-board')
  await expect.poll(() => held !== undefined, { timeout: 30_000 }).toBe(true)
  // After the board was made, and before it comes.
  const tookBeforeMs = Date.now()
  const later = await bench.node('later')
  await page.evaluate(`(${untilTold})(${JSON.stringify(later)})`)
  await held?.()
  await page.getByRole('link', { name: 'later', exact: true }).waitFor()
  // At rest, the next board is due after 20 s.
  expect(Date.now() - tookBeforeMs).toBeLessThan(15_000)
  await page.context().close()
})

test('a board that never comes is asked for again', async () => {
  const { page } = await bench.page()
  await page.clock.install()
  let asked = 0
  await page.route('**/rackward/v1/board', (route) => void ((asked += 1) > 1 && route.continue()))
  await page.goto(`${bench.base}/ui/nodes`)
  await page.getByLabel('User').fill('eye')
  await page.getByLabel('Password').fill('pw')
  await page.getByLabel('Password').press('Enter')
  await expect.poll(() => asked, { timeout: 30_000 }).toBe(1)
  await page.clock.runFor(65_000)
  await page.getByText('live', { exact: true }).waitFor()
  await page.getByRole('link', { name: 'one', exact: true }).waitFor()
  await page.context().close()
})

test('of many racks those alone are drawn that can be seen', async () => {
  const { page } = await bench.page()
  const { body: board } = await bench.call('GET', '/rackward/v1/board')
  const racks = Array.from({ length: 50 }, (_, i) => ({ name: `many-${i}`, height: 42 }))
  const nodes = Array.from({ length: 2_000 }, (_, i) => ({
    ...board.nodes[0],
    uuid: `u${i}`,
    name: `n${i}`,
    rack: `many-${i % 50}`,
    u: 1 + Math.floor(i / 50),
  }))
  await page.route('**/rackward/v1/board', (route) => route.fulfill({ json: { ...board, nodes, racks } }))
  await bench.logIn(page, 'eye')
  await page.getByRole('region', { name: 'Rack many-0' }).waitFor()
  expect(await page.locator('.slot').count()).toBeLessThan(1_000)
  await page.evaluate('scrollTo(0, document.body.scrollHeight)')
  await page.getByRole('region', { name: 'Rack many-49' }).waitFor()
  await page.context().close()
})

test('a server whose hardware is critical is shown as one that failed, and why', async () => {
  const uuid = await bench.node('critical')
  const { store } = bench.inside
  await store.putNode({ ...((await store.node(uuid)) as NodeRecord), health: 'Critical' })
  const { page } = await bench.page()
  await bench.logIn(page, 'eye')
  const needs = page.getByRole('complementary', { name: 'Needs attention' })
  await needs.getByText('reports the health of its hardware as Critical').waitFor()
  expect(await page.locator('.slot.tone-bad').getByText('critical').count()).toBe(1)
  await page.context().close()
})

test('a rack shows how long each order still takes, whose turn it is not yet, and when all of them are done', async () => {
  const { page } = await bench.page()
  const board = (await bench.call('GET', '/rackward/v1/board')).body
  const at = (name: string, u: number, more: object) => ({
    ...board.nodes[0],
    uuid: `id-${name}`,
    name,
    rack: 'soon',
    u,
    state: 'wait call-back',
    kind: 'waiting',
    fault: null,
    maintenance: false,
    unusual: false,
    health: null,
    queue: null,
    left: null,
    ...more,
  })
  const nodes = [
    at('writes', 1, { left: 130, progress: { phase: 'write', part: 0.62 } }),
    at('nearly', 2, { left: 20, progress: { phase: 'write', part: 0.9 } }),
    at('queued', 3, { kind: 'working', state: 'deploying', queue: { place: 3, of: 12, left: 90 } }),
  ]
  let shown = nodes
  await page.route('**/rackward/v1/board', (route) =>
    route.fulfill({ json: { ...board, nodes: shown, racks: [{ name: 'soon', height: 42 }] } }),
  )
  await bench.logIn(page)
  const rack = page.getByRole('region', { name: 'Rack soon' })
  await rack.getByText('62 %, 2:10 left').waitFor()
  await rack.getByText('place 3 of 12, turn in 1:30').waitFor()
  // Of one that waits nobody knows when it is done.
  await page.getByText('◐ 3 at work', { exact: true }).waitFor()
  await page.getByRole('link', { name: '1 of them waits for its turn' }).click()
  await page.getByText('Nobody waits').waitFor()
  shown = nodes.slice(0, 2)
  await page.goto(`${bench.base}/ui/`)
  await page.getByText('◐ 2 at work, 2:10 left', { exact: true }).waitFor()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.context().close()
})
