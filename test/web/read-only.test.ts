/** A console that changes nothing: by configuration, and by a read-only link; what pages do not offer, the API refuses
 *  to them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({ limits: { api: { linksPerUser: 2 } } }, SHARED)
  await bench.node('one')
})
afterAll(() => bench?.stop())

/** A change that a script of the page sends, with the proof of its session. */
const change = (page: Page, path = '/v1/nodes/one/maintenance', method = 'PUT'): Promise<[number, string]> =>
  page.evaluate(
    `(async () => {
      const me = await (await fetch('/rackward/v1/me')).json()
      const headers = { 'content-type': 'application/json', 'X-Rackward-CSRF': me.csrf }
      const answer = await fetch(${JSON.stringify(path)}, { method: ${JSON.stringify(method)}, headers, body: '{}' })
      return [answer.status, await answer.text()]
    })()`,
  ) as Promise<[number, string]>
const consoleOf = (page: Page): Promise<string> =>
  page.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/rackward/v1/nodes/one/console')
    socket.onmessage = () => resolve('opened')
    socket.onerror = () => resolve('refused')
    socket.onclose = ({ reason }) => resolve('refused ' + reason)
  })`) as Promise<string>

/** The refusal of the console is an answer, too. */
const isWrong = (text: string) => !text.startsWith('WebSocket connection')

async function offersNothing(page: Page, why: string): Promise<void> {
  await page.goto(`${bench.base}/ui/nodes/one`)
  await page.getByText('node-added').waitFor()
  await page.getByText('read only').waitFor()
  expect(await page.getByRole('region', { name: 'Requests' }).count()).toBe(0)
  expect(await page.getByRole('link', { name: 'Serial console' }).count()).toBe(0)
  expect(await page.getByRole('link', { name: 'Links' }).count()).toBe(0)
  const [status, text] = await change(page)
  expect([status, text]).toEqual([403, expect.stringContaining(why)])
  expect((await change(page, '/rackward/v1/links', 'POST'))[0]).toBe(403)
  expect(await consoleOf(page)).toMatch('refused')
  expect((await bench.call('GET', '/v1/nodes/one')).body.maintenance).toBe(false)
}

async function makeLink(page: Page): Promise<string> {
  await page.getByRole('button', { name: 'Make a link' }).click()
  const field = page.getByLabel('The link, which is shown this once')
  await field.waitFor()
  return field.inputValue()
}

test('a read-only link shows what its maker sees, changes nothing, and ends when it is removed', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/links')
  const link = await makeLink(page)
  await page.getByText('anna, until').waitFor()
  expect(await flaws(page)).toEqual([])

  const { page: guest, said: saidToGuest } = await bench.page()
  await guest.goto(link)
  await guest.getByText('live', { exact: true }).waitFor()
  await guest.getByRole('link', { name: 'one' }).waitFor()
  // The secret stays in no address that is copied, and in no history.
  expect(guest.url()).toBe(`${bench.base}/ui/`)
  await offersNothing(guest, 'a read-only link changes nothing')
  // Another browser looks through the same link, and leaves without ending it for the first.
  const { page: other } = await bench.page()
  await other.goto(link)
  await other.getByRole('button', { name: 'Log out' }).click()
  await other.getByLabel('Password').waitFor()
  await guest.reload()
  await guest.getByText('live', { exact: true }).waitFor()

  // Whoever is logged in stays so: other pages of the browser share the login.
  await page.goto(link)
  await page.getByText('live', { exact: true }).waitFor()
  expect(page.url()).toBe(`${bench.base}/ui/`)
  await page.getByRole('link', { name: 'Links' }).click()

  await page.getByRole('button', { name: 'End the link of anna' }).click()
  await page.getByText('None.').waitFor()
  await guest.getByLabel('Password').waitFor()
  await other.goto('about:blank')
  await other.goto(link)
  await other.getByRole('alert').getByText('the link is not valid any more').waitFor()
  expect([...said, ...saidToGuest].filter(isWrong)).toEqual([])
  for (const one of [page, guest, other]) await one.context().close()
})

test('a user has a bounded number of links, sees its own, and those of its project are confined as it is', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'blue', '/ui/links')
  const link = await makeLink(page)
  await makeLink(page)
  await page.getByText('Valid links 2').waitFor()
  await page.getByRole('button', { name: 'Make a link' }).click()
  await page.getByRole('alert').getByText('limits.api.linksPerUser').waitFor()
  const made = await bench.call('POST', '/rackward/v1/links', { hours: 1 })
  expect(made.status).toBe(201)
  expect((await change(page, `/rackward/v1/links/${made.body.id}`, 'DELETE'))[0]).toBe(404)
  for (const hours of [0, 721, 1.5, '1'])
    expect([hours, (await bench.call('POST', '/rackward/v1/links', { hours })).status]).toEqual([hours, 400])
  expect((await bench.call('GET', '/rackward/v1/links')).body.links).toHaveLength(3)
  const { page: guest } = await bench.page()
  await guest.goto(link)
  await guest.getByText('No servers yet').waitFor()
  expect((await guest.request.get(`${bench.base}/v1/nodes/one`)).status()).toBe(404)
  for (const one of [page, guest]) await one.context().close()
})

test('with ui.readOnly, nobody is offered anything, and no session changes anything', async () => {
  const own = await Bench.start({ ui: { readOnly: true } }, SHARED)
  const was = bench
  bench = own
  try {
    await own.node('one')
    const { page, said } = await own.page()
    await own.logIn(page, 'anna')
    await offersNothing(page, 'ui.readOnly')
    // A program with the same user may.
    expect((await own.call('PUT', '/v1/nodes/one/maintenance', {})).status).toBe(202)
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password').waitFor()
    expect(said.filter(isWrong)).toEqual([])
  } finally {
    bench = was
    await own.stop()
  }
})
