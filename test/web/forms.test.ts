/** Forms of requests: what a deploy takes and what speaks against it, steps in order, and what the BMC does beside;
 *  what is wrong is said at its field, and sent is what the conductor takes. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Page } from 'playwright-core'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'
let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({}, SHARED)
})
afterAll(() => bench?.stop())

const ask = async (page: Page, name: string) => {
  await page.getByRole('region', { name: 'Requests' }).getByRole('button', { name, exact: true }).click()
  return page.getByRole('dialog', { name: new RegExp(`^${name} `) })
}

async function brought(name: string, verbs: readonly (readonly [verb: string, state: string])[]): Promise<void> {
  await bench.node(name)
  for (const [target, state] of verbs) {
    await bench.call('PUT', `/v1/nodes/${name}/states/provision`, { target })
    await expect
      .poll(async () => (await bench.call('GET', `/v1/nodes/${name}`)).body.provision_state, { timeout: 20_000 })
      .toBe(state)
  }
}
const MANAGEABLE = ['manage', 'manageable'] as const

test('a deploy takes a config drive, steps and the way to start, and what is wrong is said at its field', async () => {
  await brought('target', [MANAGEABLE, ['provide', 'available']])
  const { page, said } = await bench.page({ height: 1400 })
  const image = (name: string, signed: boolean | null) => ({
    id: name.padEnd(64, '0'),
    names: [name],
    size_bytes: 2 ** 30,
    stored_bytes: 2 ** 29,
    created_at: '2026-11-01T00:00:00+00:00',
    os_type: null,
    signed_loader: signed,
    used_by: [],
  })
  const images = [image('debian-12', true), image('debian-9', false), image(`evil ${HOSTILE}`, null)]
  await page.route('**/rackward/v1/images', (route) => route.fulfill({ json: { images, broken: [] } }))
  await bench.logIn(page, 'anna', '/ui/nodes/target')
  const deploy = await ask(page, 'Deploy')
  const field = (name: string) => deploy.getByLabel(name, { exact: true })
  await expect.poll(() => deploy.locator('datalist option').count()).toBe(3)
  // In the order of their numbers.
  const options = await deploy
    .locator('datalist option')
    .evaluateAll((all) => all.map((one) => one.getAttribute('value')))
  expect(options).toEqual(['debian-9', 'debian-12', `evil ${HOSTILE}`])
  const warns = (text: string) => deploy.getByRole('status').getByText(text).waitFor()
  await field('Image').fill('debian-9')
  await warns('carries no signature')
  await field('Image').fill(`evil ${HOSTILE}`)
  await warns('is not known')
  await field('Image').fill('nothing')
  await warns('no image of this name')
  await field('Image').fill('http://example.com/x.raw')
  await warns('Without a checksum, an image from a URL is refused')
  await field('Image').fill('debian-12')
  expect(await deploy.getByRole('status').textContent()).toBe('')

  await field('Name').fill('target')
  const press = () => deploy.getByRole('button', { name: 'Deploy', exact: true }).click()
  await deploy.getByText('Config drive').click()
  const refused = async (name: string, text: string) => {
    await press()
    await deploy.getByRole('alert').getByText(text).waitFor()
    expect([name, await field(name).getAttribute('aria-invalid')]).toEqual([name, 'true'])
    expect(await deploy.locator('[aria-invalid]').count()).toBe(1)
  }
  await field('Network data (JSON)').fill('{"links": [}')
  await refused('Network data (JSON)', 'Network data: give a JSON object')
  await field('Network data (JSON)').fill('{"links": [], "networks": [], "services": []}')
  await field('Meta data (JSON)').fill('["a"]')
  await refused('Meta data (JSON)', 'Meta data: give a JSON object')
  await field('Meta data (JSON)').fill(JSON.stringify({ hostname: HOSTILE }))
  await field('User data').fill('ä'.repeat(600_000))
  await refused('User data', 'User data: it has 1.1 MiB; at most 1.0 MiB')
  await field('User data').fill(`#!/bin/sh\necho '${HOSTILE}'`)
  await field('Start of the image').selectOption('cold')
  await deploy.getByText('Deploy steps').click()
  await deploy.getByRole('button', { name: 'Add a step' }).click()
  await refused('Step', 'Step: choose one')
  await deploy.getByRole('button', { name: 'Remove the last step' }).click()
  expect(await flaws(page)).toEqual([])
  await shoot(page, 'deploy')

  const sent = page.waitForRequest('**/states/provision')
  await press()
  expect((await sent).postDataJSON()).toEqual({
    target: 'active',
    configdrive: {
      user_data: `#!/bin/sh\necho '${HOSTILE}'`,
      network_data: { links: [], networks: [], services: [] },
      meta_data: { hostname: HOSTILE },
    },
  })
  await page.locator('.state').getByText('active').waitFor()
  const { instance_info: info } = (await bench.call('GET', '/v1/nodes/target')).body
  expect(info).toMatchObject({ image_source: 'debian-12', reboot: 'cold', configdrive: expect.any(String) })

  const rescue = await ask(page, 'Rescue')
  await rescue.getByLabel('Password of the rescue system').fill(' two words ')
  const asked = page.waitForRequest('**/states/provision')
  await rescue.getByRole('button', { name: 'Rescue', exact: true }).click()
  expect((await asked).postDataJSON()).toEqual({ target: 'rescue', rescue_password: ' two words ' })
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(said).toEqual([])
  await page.context().close()
})

test('a refusal of the conductor that names a field is shown at the field', async () => {
  await brought('named', [MANAGEABLE, ['provide', 'available']])
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/named')
  const deploy = await ask(page, 'Deploy')
  await deploy.getByLabel('Image', { exact: true }).fill('x')
  await deploy.getByLabel('Checksum', { exact: true }).fill('ab'.repeat(32))
  await deploy.getByLabel('Name', { exact: true }).fill('named')
  await deploy.getByText('Config drive').click()
  await deploy.getByLabel('User data', { exact: true }).fill('x')
  await page.route('**/states/provision', (route) =>
    route.fulfill({
      status: 400,
      json: { error_message: JSON.stringify({ faultstring: 'configdrive.user_data: is not text' }) },
    }),
  )
  const patched = page.waitForRequest((request) => request.method() === 'PATCH')
  await deploy.getByRole('button', { name: 'Deploy', exact: true }).click()
  // A checksum of the image before, in whichever of its two places, does not win over the one that is typed.
  expect((await patched).postDataJSON()).toContainEqual({
    op: 'add',
    path: '/instance_info/image_os_hash_value',
    value: `sha256:${'ab'.repeat(32)}`,
  })
  await deploy.getByRole('alert').getByText('configdrive.user_data: is not text').waitFor()
  expect(await deploy.locator('[aria-invalid]').getAttribute('name')).toBe('user_data')
  await page.context().close()
})

test('the checksum of another image goes with it; with the same image it stays', async () => {
  const url = 'http://192.0.2.1/a.qcow2'
  await brought('sums', [MANAGEABLE, ['provide', 'available']])
  const info = { image_source: url, image_os_hash_value: 'ab'.repeat(32), image_os_hash_algo: 'sha256' }
  const patch = Object.entries(info).map(([name, value]) => ({ op: 'add', path: `/instance_info/${name}`, value }))
  expect((await bench.call('PATCH', '/v1/nodes/sums', patch)).status).toBe(200)
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/sums')
  const deploy = await ask(page, 'Deploy')
  const refused = deploy.getByText('Without a checksum, an image from a URL is refused')
  await deploy.getByText('Empty: that of before stays').waitFor()
  expect(await refused.count()).toBe(0)
  await deploy.getByLabel('Image', { exact: true }).fill(`${url}.new`)
  await refused.waitFor()
  await deploy.getByLabel('Image', { exact: true }).fill('debian-12')
  await deploy.getByLabel('Name', { exact: true }).fill('sums')
  await deploy.getByRole('button', { name: 'Deploy', exact: true }).click()
  await page.locator('.state').getByText('active').waitFor()
  const { instance_info: after } = (await bench.call('GET', '/v1/nodes/sums')).body
  expect([after.image_source, after.image_os_hash_value, after.image_os_hash_algo]).toEqual([
    'debian-12',
    undefined,
    undefined,
  ])
  await page.context().close()
})

test('the image that the form shows is deployed, whatever was set meanwhile', async () => {
  await brought('raced', [MANAGEABLE, ['provide', 'available']])
  const set = (name: string, value: string) =>
    bench.call('PATCH', '/v1/nodes/raced', [{ op: 'add', path: `/instance_info/${name}`, value }])
  await set('image_source', 'debian-12')
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/raced')
  const deploy = await ask(page, 'Deploy')
  await deploy.getByLabel('Image', { exact: true }).fill('debian-12')
  await deploy.getByLabel('Name', { exact: true }).fill('raced')
  // The page does not hear of it in time.
  await page.route('**/acts', (route) => route.abort())
  await set('image_source', 'debian-9')
  await deploy.getByRole('button', { name: 'Deploy', exact: true }).click()
  await page.locator('.state').getByText('active').waitFor()
  expect((await bench.call('GET', '/v1/nodes/raced')).body.instance_info.image_source).toBe('debian-12')
  await page.context().close()
})

test('several steps are sent in their order', async () => {
  await brought('steps', [MANAGEABLE])
  const { page } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/steps')
  const clean = await ask(page, 'Clean')
  const options = await clean.getByLabel('Step', { exact: true }).locator('option').allTextContents()
  await clean.getByLabel('Step', { exact: true }).selectOption('deploy.erase_devices_metadata')
  await clean.getByRole('button', { name: 'Add a step' }).click()
  await clean.getByLabel('Step 2', { exact: true }).selectOption('deploy.erase_devices')
  expect(options.length).toBeGreaterThan(2)
  await clean.getByLabel('Name', { exact: true }).fill('steps')
  const sent = page.waitForRequest('**/states/provision')
  await clean.getByRole('button', { name: 'Clean', exact: true }).click()
  const { clean_steps: steps } = (await sent).postDataJSON()
  expect(steps.map((one: { step: string }) => one.step)).toEqual(['erase_devices_metadata', 'erase_devices'])
  await page.getByText('Clean: accepted').waitFor()
  await page.context().close()
})

test('boot device, diagnostic interrupt and retirement are asked for from the page, with what they end', async () => {
  await brought('kept', [MANAGEABLE])
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/kept')
  const device = await ask(page, 'Boot device')
  await device.getByLabel('Device', { exact: true }).selectOption('cdrom')
  await device.getByLabel('For', { exact: true }).selectOption('every start')
  await device.getByRole('button', { name: 'Boot device' }).click()
  await page.getByText('Boot device: accepted').waitFor()
  expect((await bench.call('GET', '/v1/nodes/kept/management/boot_device')).body).toEqual({
    boot_device: 'cdrom',
    persistent: true,
  })
  const nmi = await ask(page, 'Inject NMI')
  await nmi.getByText('the system that runs on the server').waitFor()
  await nmi.getByRole('button', { name: 'Inject NMI' }).click()
  await page.getByText('Inject NMI: accepted').waitFor()

  const retire = await ask(page, 'Retire')
  await retire.getByLabel('Reason').fill(`too old ${HOSTILE}`)
  await retire.getByRole('button', { name: 'Retire' }).click()
  await page.getByText('Retire: accepted').waitFor()
  const shown = (await bench.call('GET', '/v1/nodes/kept')).body
  expect([shown.retired, shown.retired_reason]).toEqual([true, `too old ${HOSTILE}`])
  await page.getByText(`is retired: too old ${HOSTILE}`).waitFor()
  const back = await ask(page, 'Unretire')
  await back.getByRole('button', { name: 'Unretire' }).click()
  await page.getByText('Unretire: accepted').waitFor()
  expect((await bench.call('GET', '/v1/nodes/kept')).body).toMatchObject({ retired: false, retired_reason: null })
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(said).toEqual([])
  await page.context().close()
})
