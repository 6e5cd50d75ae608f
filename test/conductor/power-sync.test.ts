/** The fleet's power, read from real IPMI servers through one interactive ipmipower: what changed outside is told, one
 *  dead BMC delays nobody, a lost one takes its node out of service and an answer brings it back. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { call as plain } from './api-bench.ts'

interface Fleet {
  readonly own: Conductor
  readonly sims: readonly Sim[]
  readonly call: (method: string, path: string, body?: unknown) => ReturnType<typeof plain>
  /** The node of the BMC with this index. */
  readonly uuid: (i: number) => string
  readonly look: (i: number) => Promise<Record<string, any>>
}

/** Ends that the test owes, last first. */
const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

type IpmiClient = 'native' | 'ipmitool'
const CLIENTS: readonly IpmiClient[] = ['native', 'ipmitool']

/** No address of an earlier test is used again: its process may still hold it for a moment. */
let lastNumber = 100
async function startBmc(number = (lastNumber += 1)): Promise<Sim> {
  const sim = await startSim(number)
  ends.push(() => sim.stop())
  return sim
}

/** A conductor of its own with so many nodes, each manageable and behind an IPMI server of its own. */
async function fleet(count: number, ipmiClient: IpmiClient = 'native'): Promise<Fleet> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-sync-'))
  ends.push(() => rm(dir, { recursive: true }))
  const sims = await Promise.all(Array.from({ length: count }, () => startBmc()))
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    bmc: { ipmiClient },
    powerSync: { everySeconds: 0, lostAfter: 2 },
  })
  const own = await startConductor(config, { log: silentLog })
  ends.push(() => own.stop())
  const call = (method: string, path: string, body?: unknown) => plain(method, path, body, undefined, own.addresses[0])

  const uuids: string[] = []
  for (const sim of sims) {
    const made = await call('POST', '/v1/nodes', {
      driver: 'ipmi',
      driver_info: { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' },
    })
    uuids.push(String(made.body.uuid))
    await call('PUT', `/v1/nodes/${made.body.uuid}/states/provision`, { target: 'manage' })
  }
  const uuid = (i: number) => uuids[i] as string
  const look = async (i: number) => (await call('GET', `/v1/nodes/${uuid(i)}`)).body
  for (const i of uuids.keys())
    await until(async () => (await look(i)).provision_state === 'manageable', { what: 'manageable', timeoutMs: 20_000 })
  return { own, sims, call, uuid, look }
}

test('what somebody switched at the server is told, and not undone', async () => {
  const { own, sims, call, uuid, look } = await fleet(2)
  await writeFile(join((sims[0] as Sim).dir, 'power'), '1\n')
  expect(await own.powerSync.pass()).toMatchObject({ asked: 2, failed: 0 })
  expect([(await look(0)).power_state, (await look(1)).power_state]).toEqual(['power on', 'power off'])
  const { events } = (await call('GET', `/rackward/v1/events?node=${uuid(0)}&kinds=power`)).body
  expect(events.at(-1).detail).toEqual({ from: 'power off', to: 'power on', asked: false })
  expect((await sims[0]?.calls())?.filter((line) => line.startsWith('set'))).toEqual([])
})

test('no password stands in a process list', async () => {
  const { own } = await fleet(1, 'ipmitool')
  await own.powerSync.pass()
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const listed = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  const ours = listed.filter((line) => line.startsWith('ipmipower'))
  expect(ours.length).toBeGreaterThan(0)
  expect(ours.join()).not.toContain('secret')
})

test.each(CLIENTS)(
  '%s: a BMC that dies delays no other; lost, it takes its node out of service; back again, the node is as before',
  async (client) => {
    const { own, sims, call, uuid, look } = await fleet(2, client)
    const [alive, dead] = sims as [Sim, Sim]
    await dead.stop()
    await writeFile(join(alive.dir, 'power'), '1\n')
    const pass = own.powerSync.pass()
    let over = false
    void pass.then(() => (over = true))
    await until(async () => (await look(0)).power_state === 'power on', {
      what: 'the others to be read',
      timeoutMs: 30_000,
      everyMs: 20,
    })
    // The dead one is still being waited for.
    expect(over).toBe(false)
    expect(await pass).toMatchObject({ asked: 2, failed: 1 })
    expect(await look(1)).toMatchObject({ maintenance: false, fault: null })
    expect(await own.powerSync.pass()).toMatchObject({ asked: 2, failed: 1 })
    expect(await look(1)).toMatchObject({
      power_state: 'error',
      maintenance: true,
      fault: 'power failure',
      last_error: expect.stringContaining('did not answer') as string,
    })
    expect((await call('GET', '/v1/nodes?fault=power+failure')).body.nodes).toHaveLength(1)
    const account = (await call('GET', `/rackward/v1/nodes/${uuid(1)}/explain`)).body
    expect(account.causes[0]).toMatchObject({ cause: 'the BMC did not answer' })
    await startBmc(lastNumber)
    await until(async () => (await own.powerSync.pass()).failed === 0, {
      what: 'the BMC to be read again',
      timeoutMs: 20_000,
    })
    expect(await look(1)).toMatchObject({ power_state: 'power off', maintenance: false, fault: null, last_error: null })
  },
)

test.each(CLIENTS)('%s: a wrong password is told apart from silence', async (client) => {
  const { own, call, uuid, look } = await fleet(1, client)
  await call('PATCH', `/v1/nodes/${uuid(0)}`, [{ op: 'replace', path: '/driver_info/ipmi_password', value: 'wrong' }])
  await own.powerSync.pass()
  await own.powerSync.pass()
  expect(await look(0)).toMatchObject({
    fault: 'power failure',
    last_error: expect.stringContaining('refused') as string,
  })
})
