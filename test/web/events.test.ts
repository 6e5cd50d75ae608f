/** The page of events: kind, severity, node and text combine, stand in the address, and are asked of the conductor
 *  where it knows them. */
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EVENT_KINDS } from '../../conductor/events/wire.ts'
import { systemClock } from '../../kit/clock.ts'
import { filterFrom, KINDS, kindsOf, searchOf, SEVERITIES } from '../../web/event-kinds.ts'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({}, SHARED)
  for (const name of ['one', 'two']) await bench.node(name)
  await bench.call('PUT', '/v1/nodes/one/maintenance', { reason: 'a fan' })
})
afterAll(() => bench?.stop())

const rows = (page: Page) => page.locator('.events li')
/** What each shown event is, and of which node. */
const shown = async (page: Page) =>
  new Set(
    await rows(page).evaluateAll((all) =>
      all.map((row) => `${row.querySelector('.kind')?.textContent} ${row.querySelector('.of')?.textContent}`),
    ),
  )

/** More than a page asks for when it opens, and more than it keeps of the stream. */
const MANY = 600
async function muchHappens(node: string): Promise<void> {
  const uuid = String((await bench.call('GET', `/v1/nodes/${node}`)).body.uuid)
  const events = Array.from({ length: MANY }, (_, i) => ({
    atMs: systemClock.now(),
    nodeUuid: uuid,
    kind: 'act' as const,
    detail: { user: 'anna', request: `request ${i}` },
  }))
  await bench.inside.store.journal.addAll(events)
}

test('kind, severity, node and text narrow together, by keyboard alone, and stand in the address', async () => {
  const { page, said } = await bench.page()
  const asked: URLSearchParams[] = []
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.pathname === '/rackward/v1/events' && url.searchParams.get('live') === null) asked.push(url.searchParams)
  })
  await bench.logIn(page, 'eye', '/ui/events')
  await rows(page).first().waitFor()
  expect(await shown(page)).toContain('maintenance one')
  expect(await shown(page)).toContain('node-added two')

  // From the first choice to the field of text by Tab.
  await page.getByLabel('Kind').focus()
  await page.keyboard.type('node-added')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.type('two')
  await expect.poll(() => shown(page)).toEqual(new Set(['node-added two']))
  expect(new URL(page.url()).search).toBe('?kind=node-added&node=two')
  // The conductor did it.
  const last = () => [asked.at(-1)?.get('kinds'), asked.at(-1)?.get('node')]
  await expect.poll(last).toEqual(['node-added', 'two'])
  await page.getByLabel('Severity').selectOption('fault')
  await page.getByText('Nothing matches.').waitFor()
  await page.getByLabel('Severity').selectOption('')
  await page.getByLabel('Filter').fill('name nobody')
  await page.getByText('Nothing matches.').waitFor()
  await page.getByLabel('Filter').fill('name two')
  await expect.poll(() => shown(page)).toEqual(new Set(['node-added two']))

  await page.reload()
  await expect.poll(() => shown(page)).toEqual(new Set(['node-added two']))
  expect(await page.getByLabel('Kind').inputValue()).toBe('node-added')
  expect(await page.getByLabel('Filter').inputValue()).toBe('name two')
  expect(await flaws(page)).toEqual([])
  await shoot(page, 'events-filtered')
  await page.getByRole('button', { name: 'Show all' }).click()
  await expect.poll(() => shown(page)).toContain('maintenance one')
  expect(new URL(page.url()).search).toBe('')
  // Another address of the same page is another filter, and the way back leads to the one before.
  await page.getByLabel('Kind').selectOption('maintenance')
  await expect.poll(() => shown(page)).toEqual(new Set(['maintenance one']))
  await page.getByRole('link', { name: 'Events', exact: true }).click()
  await expect.poll(() => shown(page)).toContain('node-added two')
  expect(await page.getByLabel('Kind').inputValue()).toBe('')
  await page.goBack()
  await expect.poll(() => shown(page)).toEqual(new Set(['maintenance one']))
  expect(await page.getByLabel('Kind').inputValue()).toBe('maintenance')
  expect(said).toEqual([])
  await page.context().close()
})

test('what happens while it is narrowed comes with the stream, and nothing else; a node that is not there is said', async () => {
  const { page } = await bench.page({ width: 390 })
  await bench.logIn(page, 'eye', '/ui/events?kind=maintenance&node=two')
  await page.getByText('Nothing matches.').waitFor()
  await bench.call('PUT', '/v1/nodes/one/maintenance', { reason: 'another fan' })
  await bench.call('PUT', '/v1/nodes/two/maintenance', { reason: 'a cable' })
  await expect.poll(() => shown(page)).toEqual(new Set(['maintenance two']))
  // While it is paused, nothing is added, and nothing is lost however much happens.
  await page.getByRole('button', { name: 'Pause' }).click()
  await bench.call('DELETE', '/v1/nodes/two/maintenance')
  await muchHappens('one')
  await page.getByRole('button', { name: /^Go on \([5-9]\d\d new\)$/ }).waitFor()
  expect(await rows(page).count()).toBe(1)
  await page.getByRole('button', { name: 'Go on' }).click()
  await expect.poll(() => rows(page).count()).toBe(2)
  await page.getByLabel('Node').fill('nobody')
  await page.getByRole('alert').waitFor()
  expect(await page.getByRole('alert').textContent()).toContain('nobody')
  expect(await page.getByLabel('Node').getAttribute('aria-invalid')).toBe('true')
  expect(await flaws(page)).toEqual([])
  await page.context().close()
})

test('what is rare is found by the address alone, however much happened since, and is not pushed out by what follows', async () => {
  await bench.node('rare')
  await muchHappens('one')
  const { page, said } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/events?kind=node-added')
  await expect.poll(() => shown(page)).toContain('node-added rare')
  // As a page is opened by who is logged in: it is there before the board.
  await page.reload()
  await expect.poll(() => shown(page)).toContain('node-added rare')

  await bench.node('comes-later')
  await expect.poll(() => shown(page)).toContain('node-added comes-later')
  await muchHappens('two')
  await bench.node('comes-last')
  await expect.poll(() => shown(page)).toContain('node-added comes-last')
  expect(await shown(page)).toContain('node-added comes-later')
  expect(await shown(page)).toContain('node-added rare')
  await page.getByLabel('Kind').selectOption('')
  await page.getByLabel('Filter').fill('rare')
  await page.getByText(/^Text was looked for in \d{3} events, the latest ones\.$/).waitFor()
  expect(said).toEqual([])
  await page.context().close()
})

test('every kind that the conductor tells of has its severity', () => {
  expect(Object.keys(KINDS).toSorted()).toEqual(Object.keys(EVENT_KINDS).toSorted())
  const all = SEVERITIES.flatMap((severity) => kindsOf({ ...filterFrom(''), severity }) ?? [])
  expect(all.toSorted()).toEqual(Object.keys(KINDS).toSorted())
})

test('an address that a person typed is read as far as it means something', () => {
  expect(filterFrom('?kind=constructor&severity=bad&node=%26&text=a+b')).toEqual({
    kind: '',
    severity: '',
    node: '&',
    text: 'a b',
  })
  for (const search of ['', '?kind=state&node=x', '?severity=fault&text=a+%26+b'])
    expect(searchOf(filterFrom(search))).toBe(search)
})
