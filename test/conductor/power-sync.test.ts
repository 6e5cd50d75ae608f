/** The fleet's power, read from real IPMI servers through one interactive ipmipower: what changed outside is told, one dead BMC delays nobody,
 *  a lost one takes its node out of service and an answer brings it back. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { call as plain } from './api-bench.ts'

let dir = ''
let own: Conductor
let sims: Sim[] = []
const nodes: string[] = []
const config = () =>
  Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 0, lostAfter: 2 },
  })
const call = (method: string, path: string, body?: unknown) => plain(method, path, body, undefined, own.addresses[0])
const look = async (i: number) => (await call('GET', `/v1/nodes/${nodes[i]}`)).body

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-sync-'))
  sims = await Promise.all([101, 102, 103].map((number) => startSim(number)))
  own = await startConductor(config(), { log: silentLog })
  for (const sim of sims) {
    const made = await call('POST', '/v1/nodes', {
      driver: 'ipmi',
      driver_info: { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' },
    })
    nodes.push(String(made.body.uuid))
    await call('PUT', `/v1/nodes/${made.body.uuid}/states/provision`, { target: 'manage' })
  }
  for (const i of [0, 1, 2])
    await until(async () => (await look(i)).provision_state === 'manageable', { what: 'manageable', timeoutMs: 20_000 })
})
afterAll(async () => {
  await own?.stop()
  for (const sim of sims) await sim.stop()
  await rm(dir, { recursive: true })
})

test('what somebody switched at the server is told, and not undone', async () => {
  await writeFile(join((sims[0] as Sim).dir, 'power'), '1\n')
  expect(await own.powerSync.pass()).toMatchObject({ asked: 3, failed: 0 })
  expect([(await look(0)).power_state, (await look(1)).power_state]).toEqual(['power on', 'power off'])
  const { events } = (await call('GET', `/rackward/v1/events?node=${nodes[0]}&kinds=power`)).body
  expect(events.at(-1).detail).toEqual({ from: 'power off', to: 'power on', asked: false })
  expect((await sims[0]?.calls())?.filter((line) => line.startsWith('set'))).toEqual([])
})

test('no password stands in a process list', async () => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const listed = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  const ours = listed.filter((line) => line.startsWith('ipmipower'))
  expect(ours.length).toBeGreaterThan(0)
  expect(ours.join()).not.toContain('secret')
})

test('a BMC that dies delays no other; lost, it takes its node out of service; back again, the node is as before', async () => {
  const [dead] = sims.splice(1, 1) as [Sim]
  await dead.stop()
  await writeFile(join((sims[0] as Sim).dir, 'power'), '0\n')
  const pass = own.powerSync.pass()
  let over = false
  void pass.then(() => (over = true))
  await until(async () => (await look(0)).power_state === 'power off', {
    what: 'the others to be read',
    timeoutMs: 10_000,
    everyMs: 20,
  })
  // The dead one is still being waited for.
  expect(over).toBe(false)
  expect(await pass).toMatchObject({ asked: 3, failed: 1 })
  expect(await look(1)).toMatchObject({ maintenance: false, fault: null })
  expect(await own.powerSync.pass()).toMatchObject({ asked: 3, failed: 1 })
  expect(await look(1)).toMatchObject({
    power_state: 'error',
    maintenance: true,
    fault: 'power failure',
    last_error: expect.stringContaining('did not answer') as string,
  })
  expect((await call('GET', '/v1/nodes?fault=power+failure')).body.nodes).toHaveLength(1)
  const account = (await call('GET', `/rackward/v1/nodes/${nodes[1]}/explain`)).body
  expect(account.causes[0]).toMatchObject({ cause: 'the BMC did not answer' })
  sims.push(await startSim(102))
  await until(async () => (await own.powerSync.pass()).failed === 0, {
    what: 'the BMC to be read again',
    timeoutMs: 20_000,
  })
  expect(await look(1)).toMatchObject({ power_state: 'power off', maintenance: false, fault: null, last_error: null })
})

test('a wrong password is told apart from silence', async () => {
  await call('PATCH', `/v1/nodes/${nodes[2]}`, [{ op: 'replace', path: '/driver_info/ipmi_password', value: 'wrong' }])
  await own.powerSync.pass()
  await own.powerSync.pass()
  expect(await look(2)).toMatchObject({
    fault: 'power failure',
    last_error: expect.stringContaining('refused') as string,
  })
})
