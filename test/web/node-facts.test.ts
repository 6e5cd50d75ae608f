/** What the page of a server shows beside its state: its TPM and its hardware; roll-outs with canaries; webhooks. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import type { TpmProof } from '../../conductor/node/tpm-record.ts'
import type { PlanItem } from '../../conductor/rollouts/plan.ts'
import { systemClock } from '../../kit/clock.ts'
import { planOf } from '../conductor/rollouts/world.ts'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

const HOSTILE = '<img src=x onerror="window.pwned=1">'
let bench: Bench
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-facts-'))
  const secretFile = join(dir, 'secret')
  await writeFile(secretFile, 'a-secret-of-some-length', { mode: 0o600 })
  bench = await Bench.start({ webhooks: [{ name: 'out', url: 'http://127.0.0.1:9/', secretFile }] }, SHARED)
})
afterAll(async () => {
  await bench?.stop()
  await rm(dir, { recursive: true })
})

const change = async (name: string, more: Partial<NodeRecord>) => {
  const node = (await bench.inside.store.nodeByName(name)) as NodeRecord
  await bench.inside.store.putNode({ ...node, ...more })
}

const FAILED: TpmProof = {
  atMs: systemClock.now(),
  generation: 1,
  tokenMs: 0,
  sessionHash: 'x',
  ek: 'ee'.repeat(32),
  verdict: 'failed',
  code: 'tpm.replaced',
  text: `another key ${HOSTILE}`,
  by: null,
  secureBoot: true,
  firmware: {},
  changed: ['7'],
  measured: { verdict: 'proved', text: null },
}

test('the TPM: what it is for, what it proved or why not, and another one is accepted by its name', async () => {
  await bench.node('safe', { driver_info: { tpm: 'require' } })
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/safe')
  const tpm = page.getByRole('region', { name: 'TPM' })
  await tpm.getByText('require: nothing is deployed before its boot is proven').waitFor()
  await tpm.getByText('Nothing is proved').waitFor()

  await change('safe', { tpm: { ek: 'aa'.repeat(32), sinceMs: 1_000, proof: FAILED } })
  await page.reload()
  await tpm.getByText('✖ not proved').waitFor()
  await tpm.getByText(`tpm.replaced: another key ${HOSTILE}`).waitFor()
  await tpm.getByText('Secure Boot on').waitFor()
  await tpm.getByText('PCR 7').waitFor()
  await shoot(page, 'tpm')
  expect(await flaws(page)).toEqual([])
  await tpm.getByRole('button', { name: 'Accept the other TPM' }).click()
  const ask = page.getByRole('dialog')
  await ask.getByText('ee'.repeat(32), { exact: true }).waitFor()
  await ask.getByRole('button', { name: 'Accept' }).click()
  await ask.getByRole('alert').waitFor()
  await ask.getByLabel('Name').fill('safe')
  // No other one is accepted than the one that the question shows.
  await change('safe', { tpm: { ek: 'aa'.repeat(32), sinceMs: 1_000, proof: { ...FAILED, ek: 'dd'.repeat(32) } } })
  await ask.getByRole('button', { name: 'Accept' }).click()
  await ask
    .getByRole('alert')
    .getByText(`booted with the TPM ${'dd'.repeat(32)} since`)
    .waitFor()
  expect(await ask.getByText('ee'.repeat(32), { exact: true }).count()).toBe(1)
  await change('safe', { tpm: { ek: 'aa'.repeat(32), sinceMs: 1_000, proof: FAILED } })
  await ask.getByRole('button', { name: 'Accept' }).click()
  await tpm.getByText('● proved').waitFor()
  expect((await bench.call('GET', '/rackward/v1/nodes/safe/tpm')).body.ek).toBe('ee'.repeat(32))
  expect(said).toEqual([])
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  await page.context().close()
})

test('a reader sees the TPM and is offered nothing', async () => {
  await bench.node('seen')
  await change('seen', { tpm: { ek: 'aa'.repeat(32), sinceMs: 1_000, proof: FAILED } })
  const { page } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/nodes/seen')
  const tpm = page.getByRole('region', { name: 'TPM' })
  await tpm.getByText('✖ not proved').waitFor()
  expect(await tpm.getByRole('button').count()).toBe(0)
  await page.context().close()
})

test('hardware is read when it is opened; without an inspection, the page says so', async () => {
  await bench.node('bare')
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/bare')
  const hardware = page.locator('.hardware')
  await hardware.getByText('Inventory', { exact: true }).click()
  await hardware.getByText('inspect it first').waitFor()
  for (const target of ['manage', 'inspect']) await bench.call('PUT', '/v1/nodes/bare/states/provision', { target })
  await page
    .getByText(/→ manageable/)
    .nth(1)
    .waitFor()
  await hardware.getByText('Inventory', { exact: true }).click()
  await hardware.getByText('Inventory', { exact: true }).click()
  await hardware.getByText('Memory').waitFor()
  await hardware.getByText('BIOS settings').click()
  await hardware.getByText('Firmware').click()
  await hardware.locator('details[open] dl').nth(1).waitFor()
  await shoot(page, 'hardware')
  expect(await flaws(page)).toEqual([])
  expect(said).toEqual([])
  await page.context().close()
})

test('a roll-out: canaries first, what each node does, and it is paused, resumed and cancelled', async () => {
  for (const name of ['c1', 'c2', 'c3']) await bench.node(name)
  const { nodes } = (await bench.call('GET', '/rackward/v1/rack?limit=100')).body as { nodes: readonly RackNode[] }
  const items = ['c1', 'c2', 'c3'].map((name): PlanItem => {
    const { uuid, fingerprint } = nodes.find((node) => node.name === name) as RackNode
    const stages: PlanItem['stages'] = [{ do: 'verb', verb: 'manage', erases: false }] as never
    return { node: name, rack: 'r1', uuid, fingerprint, says: [], stages, record: null }
  })
  const roll = { at_once: 1, at_once_per_rack: null, stop_after: 2, canaries: ['c1'], hold_seconds: 3_600 }
  const plan = planOf(items, { roll })
  const begun = await bench.call('POST', '/rackward/v1/rollouts', { plan, agreed: {}, secrets: {} })
  expect([begun.status, begun.body.canaries, begun.body.held_until]).toEqual([201, 1, null])
  // The page asks every 3 s: it is opened when the canary is done.
  const rollout = async () => (await bench.call('GET', `/rackward/v1/rollouts/${begun.body.id}`)).body
  await expect.poll(async () => (await rollout()).held_until).toEqual(expect.any(String))
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna')
  await page.getByRole('link', { name: 'Roll-outs' }).click()
  await page.getByRole('link', { name: 'lab', exact: true }).click()
  const row = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) })
  await row('c1').getByText('canary').waitFor()
  await row('c1').getByText('● done').waitFor()
  // The others wait behind the canary.
  await page.getByText('the others wait until').waitFor()
  expect(await page.getByText('○ waiting').count()).toBe(2)
  await shoot(page, 'rollout')
  expect(await flaws(page)).toEqual([])
  const act = async (name: string) => {
    await page.getByRole('button', { name, exact: true }).click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: `${name} the roll-out` })
      .click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  }
  await act('Pause')
  await page.getByText('paused by anna').waitFor()
  await act('Resume')
  await page.getByText('paused by anna').waitFor({ state: 'detached' })
  await act('Cancel')
  await page.getByText('cancelled by anna').waitFor()
  expect(await page.getByRole('button', { name: 'Resume' }).count()).toBe(0)
  expect(said).toEqual([])
  await page.context().close()

  const { page: reader } = await bench.page()
  await bench.logIn(reader, 'eye')
  expect(await reader.getByRole('link', { name: 'Roll-outs' }).count()).toBe(0)
  await reader.context().close()
})

test('webhooks and hooks: how far each is, and what it holds', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/events')
  await page.getByRole('link', { name: 'Webhooks and hooks' }).click()
  const table = page.getByRole('region', { name: 'Webhooks: where events go' })
  await table.getByText(/\d failures in a row, \d+ events wait/).waitFor()
  await table.getByText('all').waitFor()
  await page.getByText('No hook is configured').waitFor()
  expect(await flaws(page)).toEqual([])
  expect(said).toEqual([])
  await page.context().close()
})
