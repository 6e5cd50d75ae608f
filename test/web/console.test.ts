/** The web console in a real browser: flows, what a broken connection looks like, hostile texts, and many servers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({}, SHARED)
  for (let u = 1; u <= 8; u += 1)
    await bench.node(`r1-u0${u}`, { extra: { rackward: { rack: 'r1', u, height: 1 } }, owner: u === 1 ? 'blue' : null })
  await bench.node('loose')
  await bench.node('claims-u08', { extra: { rackward: { rack: 'r1', u: 7, height: 2 } } })
  await bench.call('PUT', '/v1/nodes/r1-u02/maintenance', { reason: HOSTILE })
})
afterAll(() => bench?.stop())

describe('a person', () => {
  test('logs in, goes from the racks to a server by keyboard alone, and logs out', async () => {
    const { page, said } = await bench.page()
    await page.goto(`${bench.base}/`)
    expect(page.url()).toBe(`${bench.base}/ui/`)
    await page.getByLabel('User').fill('anna')
    await page.getByLabel('Password').fill('guess')
    await page.getByLabel('Password').press('Enter')
    await page.getByRole('alert').getByText('wrong').waitFor()
    await page.getByLabel('Password').fill('pw')
    await page.getByLabel('Password').press('Enter')
    await page.getByText('live', { exact: true }).waitFor()
    expect(await page.getByRole('region', { name: 'Rack r1' }).getByRole('link').count()).toBe(9)
    // Two servers that claim one unit are both there to see.
    const box = async (name: string) => (await page.getByRole('link', { name }).boundingBox())?.y ?? 0
    expect(await box('claims-u08')).toBeGreaterThan(await box('r1-u01'))
    await page.getByRole('link', { name: /r1-u03/ }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'r1-u03', level: 1 }).waitFor()
    await page.getByText('Waits for a request').waitFor()
    await page.getByText('node-added').waitFor()
    await page.reload()
    await page.getByRole('heading', { name: 'r1-u03', level: 1 }).waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Password').waitFor()
    expect(said).toEqual([])
    await page.context().close()
  })

  test('of a project sees its own servers, and no images', async () => {
    const { page } = await bench.page()
    await bench.logIn(page, 'blue', '/ui/nodes')
    await page.getByText('1 nodes').waitFor()
    expect(await page.getByRole('link', { name: 'Images' }).count()).toBe(0)
    await page.context().close()
  })
})

test('what happens is shown at once, and what happened while there was no connection afterwards', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'eye')
  await bench.node('fresh')
  await page.getByRole('link', { name: /^\W*fresh/ }).waitFor()
  await bench.conductor.stop()
  await page.getByText('no connection since').waitFor()
  await bench.again()
  await bench.node('meanwhile')
  await page.getByText('live', { exact: true }).waitFor()
  await page.getByRole('link', { name: /^\W*meanwhile/ }).waitFor()
  await page.getByRole('link', { name: 'Events' }).click()
  expect(await page.getByText('name meanwhile').count()).toBe(1)
  await page.context().close()
})

// From here on, each has a profile of its own, and they run side by side.
test.concurrent('hostile texts of servers, users and requests are shown as they are, and run nothing', async () => {
  await bench.node('victim', { description: HOSTILE, extra: { rackward: { rack: HOSTILE, u: 1 } } })
  await bench.call('PUT', '/v1/nodes/victim/maintenance', { reason: HOSTILE })
  await bench.call('POST', `/v1/nodes/${encodeURIComponent(HOSTILE)}/vifs`, {})
  const { page, said } = await bench.page()
  await bench.logIn(page)
  await page.getByRole('heading', { name: HOSTILE }).waitFor()
  const { uuid } = (await bench.call('GET', '/v1/nodes/victim')).body
  for (const path of ['nodes', `nodes/${uuid}`, 'events', `nodes/${encodeURIComponent(HOSTILE)}`, 'nodes/%25']) {
    await page.goto(`${bench.base}/ui/${path}`)
    await page.getByText('live', { exact: true }).waitFor()
  }
  await page.goto(`${bench.base}/ui/nodes/nobody`)
  await page.getByText('There is no server nobody').waitFor()
  // By its name as well.
  await page.goto(`${bench.base}/ui/nodes/victim`)
  await page.getByText(uuid, { exact: true }).waitFor()
  await page.goto(`${bench.base}/ui/nodes/${uuid}`)
  await page.getByText(`reason ${HOSTILE}`).waitFor()
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(await page.evaluate('document.querySelectorAll("img").length')).toBe(0)
  // The policy had nothing to refuse either.
  expect(said).toEqual([])
  expect(
    await page.evaluate('try { document.body.innerHTML = "<b>x</b>"; "taken" } catch (e) { e.name }').catch(String),
  ).toBe('TypeError')
  await page.context().close()
})

test.concurrent('of 10,000 servers those alone are drawn that can be seen, and the filter finds one', async () => {
  const { page } = await bench.page()
  const { board } = { board: (await bench.call('GET', '/rackward/v1/board')).body }
  const nodes = Array.from({ length: 10_000 }, (_, i) => ({ ...board.nodes[0], uuid: `u${i}`, name: `many-${i}` }))
  await page.route('**/rackward/v1/board', (route) => route.fulfill({ json: { ...board, nodes } }))
  await bench.logIn(page, 'anna', '/ui/nodes')
  await page.getByText('10000 nodes').waitFor()
  expect(await page.locator('tbody tr').count()).toBeLessThan(100)
  await page.evaluate('document.querySelector(".table").scrollTop = 200000')
  await page.getByRole('link', { name: 'many-5005', exact: true }).waitFor()
  // Fewer rows than it was scrolled by, and still too many to draw all of them.
  await page.evaluate('document.querySelector(".table").scrollTop = 399000')
  await page.getByRole('link', { name: 'many-9990', exact: true }).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('many-1')
  await page.getByText('1111 of 10000 nodes').waitFor()
  expect(await page.locator('tbody th').count()).toBeGreaterThan(20)
  await page.getByRole('link', { name: 'many-1999', exact: true }).waitFor()
  await page.getByLabel('Filter').fill('many-9999')
  await page.getByText('1 of 10000 nodes').waitFor()
  await page.context().close()
})
