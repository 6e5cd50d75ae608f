/** The console while the database is older than what boot rooms know: it says so above every page, to those who may
 *  end it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { STANDING, STANDING_NAME } from '../../conductor/doubt/standing.ts'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({}, SHARED)
})
afterAll(() => bench?.stop())

const UUID = '00000000-0000-4000-8000-0000000000d1'
const claim = (room: string) => ({
  room,
  epoch: 1,
  seq: 900,
  lastSeq: 3,
  atMs: 1_000,
  by: 'c1',
  count: 1,
  nodes: [{ uuid: UUID, mac: '52:54:00:00:00:01', held: 9, recorded: null }],
})

test('what boot rooms know better stands above every page, for operators of all projects, until it is accepted', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page)
  expect(await page.getByRole('alert').count()).toBe(0)

  await bench.inside.store.objects.add({
    kind: STANDING,
    uuid: '00000000-0000-4000-8000-0000000000d0',
    version: 0,
    name: STANDING_NAME,
    nodeUuid: null,
    uniqueKey: null,
    createdAtMs: 1,
    updatedAtMs: null,
    body: { epoch: 1, claims: [claim('r1'), claim('<b>r2')], accepted: null },
  })
  await bench.conductor.stop()
  await bench.again()
  await page.goto(`${bench.base}/ui/events`)
  const alert = page.getByRole('alert')
  await alert.waitFor()
  expect(await alert.textContent()).toMatch(
    /older than what the boot room r1 and the boot room <b>r2 know, and wrong about 1 server\./,
  )
  expect(await flaws(page)).toEqual([])

  const { page: other } = await bench.page()
  await bench.logIn(other, 'blue')
  await other.getByText('No servers').or(other.getByRole('heading')).first().waitFor()
  expect(await other.getByRole('alert').count()).toBe(0)

  const { body } = await bench.call('GET', '/rackward/v1/store/doubt')
  expect((await bench.call('POST', '/rackward/v1/store/doubt/accept', { revision: body.revision })).status).toBe(200)
  await alert.waitFor({ state: 'detached' })
  expect(said).toEqual([])
})
