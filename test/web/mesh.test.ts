/** The pages of the mesh in a real browser, before the real API of an arbiter: the matrix, why and why not, an incident
 *  from the first silence to the last instance, and who may see them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holdKey, KEYS } from '../../host-agent/protocol/records.ts'
import { Bench, HASTY } from './bench.ts'
import { INCIDENT, startMeshBench, type MeshBench } from './mesh-bench.ts'
import { SHARED } from './shared.ts'
import { Wire } from './wire.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'

let mesh: MeshBench
let bench: Bench
let wire: Wire
beforeAll(async () => {
  mesh = await startMeshBench({ text: HOSTILE })
  wire = await Wire.to(mesh.url)
  bench = await Bench.start({ mesh: { arbiters: [wire.base] } }, { ...SHARED, monotonic: HASTY })
  await bench.node('h1')
})
afterAll(async () => {
  await bench?.stop()
  wire?.stop()
  await mesh?.stop()
})

/** What the live stream of a user says. */
async function liveOf(user: string): Promise<{ text: () => string; leave: () => void }> {
  const abort = new AbortController()
  const headers = {
    accept: 'text/event-stream',
    authorization: `Basic ${Buffer.from(`${user}:pw`).toString('base64')}`,
  }
  const response = await fetch(`${bench.base}/rackward/v1/events?live=true`, { headers, signal: abort.signal })
  let all = ''
  const read = async () => {
    for await (const piece of response.body ?? []) all += Buffer.from(piece).toString()
  }
  read().catch(() => undefined)
  return { text: () => all, leave: () => abort.abort() }
}

test('the mesh page shows who leads, who armed it and why, each host on each plane, and what is not protected', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'eye')
  await page.getByRole('link', { name: 'Mesh', exact: true }).click()
  await page.getByRole('heading', { name: 'Mesh', level: 1 }).waitFor()
  await page.getByText('● armed').waitFor()
  await page.getByText(`armed for the test ${HOSTILE}`).waitFor()
  await page.getByText('1 of 1 hosts fenced').waitFor()
  const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) })
  await row('h4').getByText('✖ down').first().waitFor()
  expect(await row('h1').getByText('● up').count()).toBe(3)
  // It has no tenant plane: that is neither up nor down.
  expect(await row('h2').getByText('● up').count()).toBe(2)
  expect(await row('h5').getByText('maintenance').count()).toBe(1)
  await page.getByText('would not be moved: a local disk').waitFor()
  await page.getByText('a new fan').waitFor()

  await page.getByRole('link', { name: 'h4', exact: true }).first().click()
  await page.getByRole('heading', { name: 'h4', level: 1 }).waitFor()
  await page.getByText('C1: its heartbeat is missed by a majority of the arbiters').waitFor()
  const heard = page.getByRole('region', { name: 'Observers and planes' })
  await heard.getByText(/management: heard by 0 of [1-9]/).waitFor()
  // Each host that should hear it, and what it says of each plane.
  const h1 = heard.getByRole('row').filter({ has: page.getByRole('link', { name: 'h1', exact: true }) })
  expect(await h1.getByText('✖ silent').count()).toBeGreaterThan(0)
  expect(await heard.getByText('● hears it').count()).toBe(0)
  expect(said).toEqual([])
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  await page.context().close()
})

test('an incident is shown from the first silence to the last instance, with what was not moved and why', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/incidents')
  await page.getByText('2 of 3 moved, 1 not').waitFor()
  await page.getByRole('link', { name: 'h6', exact: true }).click()
  await page.getByRole('heading', { name: 'Incident of h6' }).waitFor()
  const lanes = page.locator('.lanes li')
  await lanes.first().waitFor()
  expect(await lanes.locator('.name').allTextContents()).toEqual([
    'heard by a1',
    'heard by a2',
    'heard by a3',
    'BMC and power',
    'decision',
    'web-1',
    'web-2',
    'db-1',
  ])
  // The silence begins at the left, and the instances end on the right of the decision.
  const left = async (i: number) => (await lanes.nth(i).locator('.span').boundingBox())?.x ?? 0
  expect(await left(0)).toBeLessThan(await left(1))
  expect(await left(1)).toBeLessThan(await left(5))
  await page.getByText(`no host has 512 MB ${HOSTILE}`).first().waitFor()
  await page.getByText('L1, switched off by its BMC').waitFor()
  await page.getByText('+2.4 s').first().waitFor()
  // Who heard it on which plane stands in a table: a row for each observer, a column for each plane.
  const table = page.getByRole('region', { name: 'Observers and planes' })
  const cells = (of: string) => table.getByRole('row', { name: of }).getByRole('cell').allTextContents()
  expect(await table.getByRole('columnheader').allTextContents()).toEqual([
    'Observer',
    'management: heard by 0 of 6',
    'storage: heard by 0 of 6',
    'tenant: heard by 0 of 6',
  ])
  expect(await cells('h1')).toEqual(['✖ silent', '✖ silent', '✖ silent'])
  expect(await cells('h8')).toEqual(['✖ silent', '? no word that counts', '✖ silent'])
  await page.goto(`${bench.base}/ui/incidents/nothing.1.1`)
  await page.getByText('there is no incident').waitFor()
  expect(said).toEqual([])
  await page.context().close()
})

test('causes are shown while a failure lasts and afterwards: of the mesh, of a host and of an incident', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/mesh')
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'h4', exact: true }) })
  await row.getByText(`the switch of h4 is gone ${HOSTILE}`).waitFor()
  const before = page.locator('section').filter({ hasText: 'What was wrong with the mesh before' })
  await before.getByText(`Consul had no leader ${HOSTILE}`).first().waitFor()
  await before.locator('summary').click()
  await before.getByText('→ look at it: Consul had no leader').waitFor()

  await page.goto(`${bench.base}/ui/mesh/h2`)
  const past = page.locator('section').filter({ hasText: 'What was wrong with it before' })
  await past.getByText(`a cable of h2 was out ${HOSTILE}`).first().waitFor()
  await past.getByText('for 1:00').waitFor()
  await page.goto(`${bench.base}/ui/mesh/h4`)
  // What stands now comes from the arbiter's own judgement.
  const likely = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Likely causes' }) })
  await likely.getByText('→').first().waitFor()

  await page.goto(`${bench.base}/ui/incidents/${INCIDENT}`)
  await likely.getByText('its server lost its power').waitFor()
  await likely.getByText('its BMC says off').waitFor()
  await likely.getByText('→ find out why its power was cut').waitFor()
  expect(said).toEqual([])
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  await page.context().close()
})

test('a host is held and drained with a reason, fenced by its name; the mesh is disarmed; a reader is offered nothing', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/mesh/h3')
  const acts = page.getByRole('region', { name: 'Requests' })
  const dialog = page.getByRole('dialog')
  const send = (name: string) => dialog.getByRole('button', { name, exact: true }).click()
  await acts.getByRole('button', { name: 'Maintenance on' }).click()
  await send('Maintenance on')
  await dialog.getByRole('alert').getByText('Reason: give one').waitFor()
  await dialog.getByLabel('Reason').fill(`a fan ${HOSTILE}`)
  await dialog.getByLabel('For').selectOption('2 hours')
  await send('Maintenance on')
  await acts.getByText('Maintenance on: accepted').waitFor()
  const why = `a fan ${HOSTILE}`
  expect(mesh.written.get(holdKey('h3'))).toMatchObject({ kind: 'maintenance', why, seconds: 7_200 })

  await acts.getByRole('button', { name: 'Fence' }).click()
  await send('Fence')
  await dialog.getByRole('alert').getByText('type h3 to confirm').waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await page.goto(`${bench.base}/ui/mesh/h5`)
  await acts.getByRole('button', { name: 'End the hold' }).waitFor()
  expect(await acts.getByRole('button', { name: 'Drain' }).count()).toBe(0)
  // Which hold ends stands in the question, and no other one ends: it may be what keeps the host from being fenced.
  await acts.getByRole('button', { name: 'End the hold' }).click()
  await dialog.getByText(`It is held by anna (maintenance): a new fan ${HOSTILE}`).waitFor()
  const ended = page.waitForRequest((request) => request.method() === 'DELETE')
  await send('End the hold')
  expect((await ended).postDataJSON()).toEqual({ reason: `a new fan ${HOSTILE}` })
  await acts.getByText('End the hold: accepted').waitFor()

  const policies: unknown[] = []
  page.on('request', (request) => request.url().endsWith('/mesh/policy') && policies.push(request.postDataJSON()))
  await page.goto(`${bench.base}/ui/mesh`)
  await page.getByRole('button', { name: 'Disarm' }).click()
  await dialog.getByLabel('Reason').fill('work on the switches')
  await send('Disarm')
  await dialog.waitFor({ state: 'detached' })
  expect(mesh.written.get(KEYS.policy)).toMatchObject({ armed: false, why: 'work on the switches' })
  // Arbiters of version 0.2 refuse every other name of a reason.
  expect(policies).toEqual([{ armed: false, why: 'work on the switches' }])
  expect(said).toEqual([])
  await page.context().close()

  const { page: reader } = await bench.page()
  await bench.logIn(reader, 'eye', '/ui/mesh/h3')
  await reader.getByText('Why, and why not').waitFor()
  expect(await reader.getByRole('button', { name: 'Drain' }).count()).toBe(0)
  await reader.context().close()
})

test('who is confined to a project neither sees links to the mesh nor gets its pages', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'blue')
  expect(await page.getByRole('link', { name: 'Mesh', exact: true }).count()).toBe(0)
  for (const path of ['mesh', 'mesh/h4', 'incidents', `incidents/${INCIDENT}`]) {
    await page.goto(`${bench.base}/ui/${path}`)
    await page.getByRole('alert').getByText('confined to project blue').waitFor()
    expect(await page.getByText('h4').count()).toBe(path === 'mesh/h4' ? 1 : 0)
  }
  // The stream tells it nothing of the mesh, in the time in which it tells others.
  const told = await Promise.all(['blue', 'eye'].map((user) => liveOf(user)))
  await expect.poll(() => told[1]?.text(), { timeout: 20_000 }).toContain('"name":"h4"')
  expect(told[0]?.text()).toContain('retry')
  expect(told[0]?.text()).not.toContain('mesh')
  for (const { leave } of told) leave()
  await page.context().close()
})

test('arbiters that fall silent are seen: what is shown is old, and says how old', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/mesh')
  await page.getByText('● armed').waitFor()
  wire.set('is cut')
  await page.getByRole('alert').getByText('knows a leader of the mesh What is shown is').waitFor()
  await page.getByText('● armed').waitFor()
  wire.set('passes')
  await page.getByRole('alert').waitFor({ state: 'detached' })
  await page.context().close()
})

test('who leads and until when, what the policy is, and what people were told', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/mesh')
  const policy = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Policy' }) })
  await policy.getByText('L0, L1, L3, L5').waitFor()
  expect(await policy.getByText('a person is told').count()).toBe(3)
  await page.getByRole('link', { name: 'Leases and notices' }).click()
  const row = (name: string) =>
    page.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) })
  await row('a1').getByText('● leads').waitFor()
  await row('a2').getByText('stands by').waitFor()
  await page.getByText(/s left, epoch 7/).waitFor()
  await page.getByText(`armed for the test ${HOSTILE}`).waitFor()
  await page.getByText(`h4 fell silent ${HOSTILE}`).waitFor()
  expect(said).toEqual([])
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  await page.context().close()
})

test('what changes in the mesh comes with the stream, and an incident is asked for when it changed', async () => {
  const { page, said } = await bench.page()
  const asked: string[] = []
  page.on('request', (request) => asked.push(new URL(request.url()).pathname))
  await bench.logIn(page, 'eye', '/ui/mesh')
  const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) })
  await row('h1').getByText('● up').first().waitFor()
  mesh.hold('h1', { kind: 'maintenance', why: `new disks ${HOSTILE}`, by: 'anna', seconds: 600 })
  await row('h1').getByText('maintenance').waitFor()
  await page.getByText(`new disks ${HOSTILE}`).waitFor()
  mesh.hold('h1', undefined)
  await row('h1').getByText('maintenance').waitFor({ state: 'detached' })
  expect(asked).not.toContain('/rackward/v1/mesh')

  await page.goto(`${bench.base}/ui/incidents/${INCIDENT}`)
  await page.getByText('Time line').waitFor()
  const isRequest = (path: string) => path.endsWith(INCIDENT) && path.startsWith('/rackward')
  mesh.line('a line that came later')
  const before = Date.now()
  await page.getByText('a line that came later').first().waitFor()
  // Asked for because it was told: otherwise, it is asked for every 20 s.
  expect(Date.now() - before).toBeLessThan(15_000)
  expect(asked.filter(isRequest).length).toBeLessThan(8)
  expect(said).toEqual([])
  await page.context().close()
})
