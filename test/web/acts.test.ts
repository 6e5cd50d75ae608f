/** Requests from the pages of a server and of an incident, in a real browser: what is offered, what is said before,
 *  names that must be typed, and answers that are late or refusals. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Locator, Page } from 'playwright-core'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { INCIDENT, startMeshBench, type MeshBench } from './mesh-bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'
let mesh: MeshBench
let bench: Bench
beforeAll(async () => {
  mesh = await startMeshBench()
  bench = await Bench.start({ mesh: { arbiters: [mesh.url] } }, SHARED)
})
afterAll(async () => {
  await bench?.stop()
  await mesh?.stop()
})

/** An answer is late after two seconds; they need not pass. */
const LATE_MS = 4_000

const ask = async (page: Page, name: string) => {
  await page.getByRole('region', { name: 'Requests' }).getByRole('button', { name, exact: true }).click()
  return page.getByRole('dialog', { name: new RegExp(`^${name} `) })
}

test('a server is brought from enroll to active, and nothing is erased before its name was typed', async () => {
  await bench.node('fresh')
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/fresh')
  await (await ask(page, 'Manage')).getByRole('button', { name: 'Manage' }).click()
  await page.getByText('Manage: accepted').waitFor()
  await page.locator('.state').getByText('manageable').waitFor()

  const provide = await ask(page, 'Provide')
  await provide.getByText('Erases what is on all its disks').waitFor()
  expect(await flaws(page)).toEqual([])
  await shoot(page, 'dialog')
  for (const typed of ['', 'fresher']) {
    await provide.getByLabel('Name', { exact: true }).fill(typed)
    await provide.getByRole('button', { name: 'Provide' }).click()
    await provide.getByRole('alert').getByText('type fresh to confirm').waitFor()
  }
  expect((await bench.call('GET', '/v1/nodes/fresh')).body.provision_state).toBe('manageable')
  await provide.getByLabel('Name', { exact: true }).fill('fresh')
  await page.keyboard.press('Enter')
  await page.locator('.state').getByText('available').waitFor()

  const deploy = await ask(page, 'Deploy')
  await deploy.getByLabel('Name', { exact: true }).fill('fresh')
  await deploy.getByRole('button', { name: 'Deploy' }).click()
  await deploy.getByRole('alert').getByText('Image: name an image').waitFor()
  await deploy.getByLabel('Image', { exact: true }).fill('debian-12')
  await page.keyboard.press('Enter')
  await page.locator('.state').getByText('active').waitFor()
  expect((await bench.call('GET', '/v1/nodes/fresh')).body.instance_info.image_source).toBe('debian-12')

  const off = await ask(page, 'Power off')
  await off.getByText('Ends whatever runs on the server').waitFor()
  await page.keyboard.press('Escape')
  await off.waitFor({ state: 'detached' })
  const keep = await ask(page, 'Maintenance on')
  await keep.getByLabel('Reason').fill(HOSTILE)
  await page.keyboard.press('Enter')
  await page.getByText(`Not Rebuild, Rescue, Service: node`).getByText(HOSTILE).waitFor()
  await shoot(page, 'node-acts')
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(said).toEqual([])
  await page.context().close()
})

test('a refusal stands where it was asked for, and so does an answer that is late', async () => {
  await bench.node('slow')
  const { page } = await bench.page()
  await page.clock.install()
  await bench.logIn(page, 'anna', '/ui/nodes/slow')
  const answers: (() => Promise<void>)[] = []
  await page.route('**/states/provision', (route) => void answers.push(() => route.continue()))
  const manage = await ask(page, 'Manage')
  // Meanwhile the server has become what no longer takes the verb.
  await bench.call('PUT', '/v1/nodes/slow/states/provision', { target: 'manage' })
  await page.locator('.state').getByText('manageable').waitFor()
  await bench.call('PUT', '/v1/nodes/slow/states/provision', { target: 'adopt' })
  await page.locator('.state').getByText('active').waitFor()
  await manage.getByRole('button', { name: 'Manage' }).click()
  await manage.getByRole('button', { name: 'Sending' }).waitFor()
  await page.clock.runFor(LATE_MS)
  await manage.getByText('Sent; no answer for').waitFor()
  expect(await manage.getByRole('button', { name: 'Sending' }).isDisabled()).toBe(true)
  expect(answers).toHaveLength(1)
  // What was sent cannot be taken back.
  expect(await manage.getByRole('button', { name: 'Cancel' }).isDisabled()).toBe(true)
  await page.keyboard.press('Escape')
  await manage.getByText('Sent; no answer for').waitFor()
  for (const answer of answers) await answer()
  await manage.getByRole('alert').getByText('the verb manage is not allowed').waitFor()
  await page.context().close()
})

test('an answer that comes after its dialog was left closes no other one', async () => {
  await bench.node('left')
  const { page, said } = await bench.page()
  await page.clock.install()
  await bench.logIn(page, 'anna', '/ui/nodes/left')
  const answers: (() => Promise<void>)[] = []
  await page.route('**/maintenance', (route) => void answers.push(() => route.continue()))
  const keep = await ask(page, 'Maintenance on')
  await keep.getByRole('button', { name: 'Maintenance on' }).click()
  await keep.getByRole('button', { name: 'Sending' }).waitFor()
  await page.clock.runFor(LATE_MS)
  await keep.getByText('Sent; no answer for').waitFor()
  // A browser closes it all the same for who insists.
  await page.evaluate('document.querySelector("dialog").close()')
  await keep.waitFor({ state: 'detached' })
  const manage = await ask(page, 'Manage')
  for (const answer of answers) await answer()
  await expect.poll(async () => (await bench.call('GET', '/v1/nodes/left')).body.maintenance).toBe(true)
  await page.getByRole('region', { name: 'Requests', includeHidden: true }).getByText('Maintenance off').waitFor()
  expect(await manage.isVisible()).toBe(true)
  expect(said).toEqual([])
  await page.context().close()
})

test('a host of the mesh is not switched off before its name was typed, and the field comes with the refusal', async () => {
  const uuid = await bench.node('h1')
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['adopt', 'active'],
  ]) {
    await bench.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
    await expect.poll(async () => (await bench.call('GET', `/v1/nodes/${uuid}`)).body.provision_state).toBe(state)
  }
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/h1')
  const off = await ask(page, 'Reboot')
  expect(await off.getByLabel('Host of the mesh').count()).toBe(0)
  await off.getByRole('button', { name: 'Reboot' }).click()
  await off.getByRole('alert').getByText('which is alive and runs 2 guests').waitFor()
  await off.getByLabel('Host of the mesh').fill('h1')
  const sent = page.waitForRequest('**/states/power')
  await page.keyboard.press('Enter')
  expect((await sent).headers()['x-rackward-confirm']).toBe('h1')
  expect((await sent).headers()['x-rackward-csrf']).toMatch(/./)
  await page.context().close()
})

test('on a narrow screen, what may be asked of a server stands above its events, and on a wide one beside them', async () => {
  await bench.node('narrow')
  const { page } = await bench.page({ width: 390 })
  await bench.logIn(page, 'anna', '/ui/nodes/narrow')
  const boxOf = async (one: Locator) => {
    await one.waitFor()
    return (await one.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 }
  }
  const requests = page.getByRole('region', { name: 'Requests' })
  const past = page.getByRole('heading', { name: /^Events/ })
  const above = await boxOf(requests)
  expect(above.height).toBeGreaterThan(0)
  expect((await boxOf(past)).y).toBeGreaterThanOrEqual(above.y + above.height)
  expect((await boxOf(page.getByRole('heading', { name: 'Phases' }))).y).toBeLessThan(above.y)
  await page.setViewportSize({ width: 1280, height: 800 })
  await expect.poll(async () => (await boxOf(requests)).x).toBeGreaterThan((await boxOf(past)).x)
  await page.context().close()
})

test('who reads is offered nothing', async () => {
  await bench.node('shown')
  const { page } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/nodes/shown')
  await page.getByText('node-added').waitFor()
  expect(await page.getByRole('region', { name: 'Requests' }).count()).toBe(0)
  await page.goto(`${bench.base}/ui/incidents/${INCIDENT}`)
  await page.getByText('Time line').waitFor()
  expect(await page.getByRole('button', { name: 'Close' }).count()).toBe(0)
  await page.context().close()
})

test('an incident is tried again, and its leader is left a request in the name of the user', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', `/ui/incidents/${INCIDENT}`)
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Try again' }).click()
  await page.getByText('Try again: accepted').waitFor()
  // The conductor sends it, by the word of its user.
  const by = expect.stringMatching(/^anna through /)
  expect([...mesh.written.values()].at(-1)).toEqual({ kind: 'retry', host: 'h6', by })
  // Its host was proven off: there is nothing to attest.
  expect(await page.getByRole('button', { name: 'Attest' }).count()).toBe(0)
  await page.route('**/rackward/v1/incidents/*', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...(await response.json()), proof: null } })
  })
  // The page asks again every 20 s.
  await page.reload()
  await page.getByRole('button', { name: 'Attest' }).click()
  const attest = page.getByRole('dialog')
  await attest.getByLabel('Name', { exact: true }).fill('h5')
  await attest.getByRole('button', { name: 'Attest' }).click()
  await attest.getByRole('alert').getByText('type h6 to confirm').waitFor()
  await attest.getByLabel('Name', { exact: true }).fill('h6')
  await page.keyboard.press('Enter')
  await page.getByText('Attest that it is off: accepted').waitFor()
  expect([...mesh.written.values()].at(-1)).toEqual({ kind: 'attest', host: 'h6', by })
  // The page may be reading the incident again.
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.context().close()
})
