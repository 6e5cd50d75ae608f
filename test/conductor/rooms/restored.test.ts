/** A conductor whose database was restored from a backup, and a boot room that was told more than the backup has, as
 *  real processes: nothing is acted on until an operator says so. */
import { copyFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DoubtView } from '../../../conductor/api/store-schemas.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import type { Victim } from '../../security/victim.ts'
import { cli, endOf, Site, WAIT } from './site.ts'

const POLL_SECONDS = 1
/** Several polls of every BMC, and tries of what is owed. */
const QUIET_MS = 5_000

let site: Site
let victim: Victim
let bmcs: RmcpBmc[] = []

beforeEach(async () => {
  site = await Site.open()
  bmcs = [await RmcpBmc.start(), await RmcpBmc.start()]
})
afterEach(async () => {
  await site.close()
  for (const bmc of bmcs) await bmc.stop()
}, 60_000)

async function enroll(name: string, n: number, more: Record<string, unknown>): Promise<string> {
  const { body } = await victim.call('POST', '/v1/nodes', { name, ...more })
  const { uuid } = body as { uuid: string }
  const port = { node_uuid: uuid, address: `52:54:00:aa:cc:0${n}`, physical_network: 'rack1' }
  expect((await victim.call('POST', '/v1/ports', port)).status).toBe(201)
  return uuid
}

const ask = (uuid: string, target: string) => victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })

const state = async (uuid: string): Promise<string> =>
  ((await victim.call('GET', `/v1/nodes/${uuid}`)).body as { provision_state: string }).provision_state

const becomes = (uuid: string, wanted: string) =>
  until(async () => (await state(uuid)) === wanted, { ...WAIT, what: `the node to be ${wanted}` })

const tagged = async (uuid: string, value: string) =>
  expect((await victim.call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/extra/tag', value }])).status).toBe(200)

const ready = async () => (await victim.call('GET', '/readyz')).body as { status: string; troubles: string[] }
const doubt = async () => (await victim.call('GET', '/rackward/v1/store/doubt')).body as DoubtView
const datagrams = () => bmcs.map((bmc) => bmc.datagrams)

/** As docs/upgrade.md says. */
async function restore(backup: string): Promise<void> {
  const data = join(victim.dir, 'data')
  for (const name of await readdir(data))
    if (name.startsWith('rackward.db')) await rm(join(data, name), { recursive: true })
  for (const name of await readdir(backup))
    if (name !== 'conductor.yaml') await copyFile(join(backup, name), join(data, name))
}

test('nothing is acted on after a restore until an operator accepts it; then work and boot room go on from there', async () => {
  const [first, second] = bmcs as [RmcpBmc, RmcpBmc]
  victim = await site.conductor({ powerSync: { everySeconds: POLL_SECONDS } })
  expect((await site.addRoom(victim, 'r1')).code).toBe(0)
  const room = await site.startRoom()
  await site.roomIs(room, 'fresh')

  // One is known; one still owes a command to its BMC, which does not answer; one rests.
  const known = await enroll('known', 1, { driver: 'ipmi', driver_info: first.driverInfo() })
  await ask(known, 'manage')
  await becomes(known, 'manageable')
  second.takes = () => false
  const owing = await enroll('owing', 2, { driver: 'ipmi', driver_info: second.driverInfo() })
  await ask(owing, 'manage')
  await becomes(owing, 'verifying')
  const rests = await enroll('rests', 3, { driver: 'fake-hardware' })
  await site.roomIs(room, 'fresh', ({ clients }) => clients === 3)

  const backup = join(site.dir, 'backup')
  const saved = await cli('backup', '--config', join(victim.dir, 'conductor.yaml'), '--out', backup)
  expect([saved.code, saved.stderr]).toEqual([0, ''])

  // What the backup does not have.
  second.takes = () => true
  await becomes(owing, 'manageable')
  await tagged(known, 'later')
  const later = await enroll('later', 4, { driver: 'fake-hardware' })
  await site.roomIs(room, 'fresh', ({ clients }) => clients === 4)
  await victim.end('SIGKILL')
  await restore(backup)
  const before = datagrams()
  await victim.restart()

  const seen = await until(async () => ((await doubt()).in_doubt ? doubt() : undefined), {
    ...WAIT,
    what: 'the doubt',
  })
  expect(seen.rooms.map(({ room: name, nodes, heard_by }) => [name, nodes, heard_by !== ''])).toEqual([['r1', 3, true]])
  const listed = new Map(seen.nodes.map((one) => [one.uuid, one]))
  expect([...listed.keys()].sort()).toEqual([known, owing, later].sort())
  expect(listed.get(later)).toMatchObject({ name: null, recorded: null, mac: '52:54:00:aa:cc:04', rooms: ['r1'] })
  expect(listed.get(known)?.held).toBeGreaterThan(listed.get(known)?.recorded ?? Number.POSITIVE_INFINITY)
  expect(await ready()).toMatchObject({ status: 'not ready', troubles: [expect.stringContaining('boot room r1')] })

  // Several times what it takes to poll, and to try what is owed.
  await systemClock.sleep(QUIET_MS)
  expect(datagrams()).toEqual(before)
  expect(await state(owing)).toBe('verifying')
  const refused = await victim.call('PUT', `/v1/nodes/${known}/states/power`, { target: 'power on' })
  expect([refused.status, refused.headers['x-rackward-fault']]).toEqual([503, 'store.doubt'])
  expect((await ask(rests, 'manage')).status).toBe(503)
  expect(await state(rests)).toBe('enroll')
  const asked = await victim.call('GET', `/rackward/v1/nodes/${known}/health`)
  expect([asked.status, asked.headers['x-rackward-fault']]).toEqual([503, 'store.doubt'])
  expect((await victim.call('POST', '/v1/allocations', { resource_class: 'any' })).status).toBe(503)
  expect(await site.askAsAgent()).toEqual({ status: 503, code: 'store.doubt' })
  const explained = async (uuid: string) =>
    JSON.stringify((await victim.call('GET', `/rackward/v1/nodes/${uuid}/explain`)).body)
  expect(await explained(known)).toContain('this record is older than what a boot room was told')
  expect(await explained(rests)).toContain('of this one no boot room knows more')
  // Records can be put right meanwhile, and the room is told nothing of it.
  await tagged(known, 'restored')
  await tagged(known, 'restored again')
  await tagged(known, 'and again')
  expect((await victim.call('PUT', `/v1/nodes/${rests}/maintenance`, { reason: 'restored' })).status).toBe(202)
  expect((await site.roomIs(room, 'fresh')).clients).toBe(4)
  expect(await (await fetch(`${victim.base}/metrics`)).text()).toMatch(/^rackward_store_trusted 0$/m)

  // It outlives both, and needs no room to be there.
  await endOf(room.child, 'SIGKILL')
  await victim.end('SIGKILL')
  await victim.restart()
  expect(await ready()).toMatchObject({ status: 'not ready', troubles: [expect.stringContaining('boot room r1')] })
  expect(datagrams()).toEqual(before)
  const at = ['--server', victim.base]
  const shown = await cli('store', 'doubt', ...at)
  expect([shown.code, shown.stderr]).toEqual([0, ''])
  for (const uuid of [known, owing, later]) expect(shown.stdout).toContain(uuid)
  expect(shown.stdout).not.toContain(rests)

  const stale = await victim.call('POST', '/rackward/v1/store/doubt/accept', { revision: seen.revision + 7 })
  expect([stale.status, (await doubt()).in_doubt]).toEqual([409, true])
  const accepted = await cli('store', 'accept', ...at)
  expect([accepted.code, accepted.stderr]).toEqual([0, ''])
  expect(await doubt()).toMatchObject({ in_doubt: false, epoch: 2, nodes: [], accepted: { rooms: ['r1'] } })
  await until(async () => (await ready()).status === 'ok', { ...WAIT, what: 'the conductor to be ready' })
  expect(await site.askAsAgent()).toMatchObject({ status: 400 })
  await becomes(owing, 'manageable')
  expect((await victim.call('PUT', `/v1/nodes/${known}/states/power`, { target: 'power on' })).status).toBe(202)
  await until(() => first.power === 'on', { ...WAIT, what: 'the server to be on' })

  // The room had what was lost, and takes the restored records for the newer ones.
  const again = await site.startRoom()
  await site.roomIs(again, 'fresh', ({ clients }) => clients === 3)
  await ask(known, 'inspect')
  await becomes(known, 'inspect wait')
  expect((await doubt()).in_doubt).toBe(false)
  const told = await victim.call('GET', '/rackward/v1/events?after=0&kinds=store-doubt,store-accepted&limit=10')
  const kinds = ((told.body as { events: { kind: string }[] }).events ?? []).map(({ kind }) => kind)
  expect(kinds).toEqual(['store-doubt', 'store-accepted'])

  await victim.end('SIGKILL')
  await victim.restart()
  await until(async () => (await ready()).status === 'ok', { ...WAIT, what: 'the next start' })
  expect((await doubt()).in_doubt).toBe(false)
}, 240_000)
