/** Nodes of the drivers redfish and idrac through a whole conductor: verified, switched, booted from what was asked,
 *  polled; the key of the BMC is kept over a restart. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call } from '../conductor/client.ts'
import { VirtualBmc } from './virtual-bmc.ts'

let bmc: VirtualBmc
let data: string
let conductor: Conductor
const LATEST = { 'openstack-api-version': 'baremetal latest' }
const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)
const node = async () => (await api('GET', '/v1/nodes/r1')).body

async function start(): Promise<void> {
  const config = Config.parse({
    data,
    images: { store: join(data, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 1 },
  })
  conductor = await startConductor(config, { log: silentLog })
}

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'rackward-redfish-'))
  bmc = await VirtualBmc.start()
  await start()
})
afterEach(async () => {
  await conductor?.stop()
  await bmc?.stop()
  await rm(data, { recursive: true, force: true })
})

const becomes = (what: string, found: (now: Record<string, unknown>) => boolean) =>
  until(async () => found(await node()), { what, timeoutMs: 30_000, everyMs: 50 })

async function enrolled(driver = 'redfish'): Promise<void> {
  expect((await api('POST', '/v1/nodes', { name: 'r1', driver, driver_info: bmc.driverInfo() })).status).toBe(201)
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await becomes('manageable', (now) => now.provision_state === 'manageable')
}

test.each(['redfish', 'idrac'])(
  'a node of the driver %s is verified, switched and told what to boot',
  async (driver) => {
    await enrolled(driver)
    expect(await node()).toMatchObject({ power_state: 'power off', driver_info: { redfish_password: '******' } })
    expect((await api('PUT', '/v1/nodes/r1/states/power', { target: 'power on' })).status).toBe(202)
    await becomes('power on', (now) => now.power_state === 'power on' && now.target_power_state === null)
    const device = { boot_device: 'pxe', persistent: false }
    expect((await api('PUT', '/v1/nodes/r1/management/boot_device', device)).status).toBe(204)
    expect((await api('GET', '/v1/nodes/r1/management/boot_device')).body).toEqual(device)
    expect((await api('PUT', '/v1/nodes/r1/management/inject_nmi', {})).status).toBe(204)
    expect(bmc.system).toMatchObject({ power: 'On', nmis: 1 })

    bmc.system.power = 'Off'
    await becomes('the poll to see it', (now) => now.power_state === 'power off')
  },
)

test('the key of the BMC is shown, kept over a restart, and a changed one is a fault', async () => {
  await enrolled()
  const pin = await until(async () => (await node()).driver_internal_info.rackward.bmc_tls_pin as string | undefined, {
    what: 'the key in the record',
    timeoutMs: 30_000,
  })
  expect(pin).toMatch(/^[A-Za-z0-9+/]{43}=$/)
  const events = (await api('GET', '/rackward/v1/events?kinds=bmc-key')).body.events as { detail: object }[]
  expect(events.map(({ detail }) => detail)).toEqual([{ origin: bmc.origin, pin }])

  await conductor.stop()
  expect(bmc.sessions.size).toBe(0)
  await bmc.rekey()
  await start()
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'provide' })
  const heard = bmc.heard.length
  const refused = await until(
    async () => {
      const { body } = await api('GET', '/v1/nodes/r1/management/boot_device')
      return body.error_message as string
    },
    { what: 'the refusal', timeoutMs: 20_000 },
  )
  expect(refused).toMatch(/has another key than before/)
  expect(bmc.heard.length).toBe(heard)
})

test('a wrong path, a wrong password and a second node at one BMC are refused by name', async () => {
  const post = (name: string, more: Readonly<Record<string, unknown>>) =>
    api('POST', '/v1/nodes', { name, driver: 'redfish', driver_info: bmc.driverInfo(more) })
  await post('r1', { redfish_password: 'wrong' })
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await becomes('enroll again', (now) => now.provision_state === 'enroll' && now.last_error !== null)
  expect((await node()).last_error).toMatch(/refused the user admin or its password/)
  expect((await post('r2', {})).status).toBe(409)
  const odd = await api('POST', '/v1/nodes', {
    name: 'r3',
    driver: 'redfish',
    driver_info: { redfish_address: 'ftp://x', redfish_username: 'a', redfish_password: 'b' },
  })
  expect(odd.status).toBe(201)
  expect((await api('GET', '/v1/nodes/r3/validate')).body.power).toMatchObject({
    result: false,
    reason: expect.stringContaining('redfish_address'),
  })
})

test('an arbiter that asks whose BMC it is costs one read of the system', async () => {
  await enrolled()
  await until(async () => bmc.sessions.size === 1, { what: 'the session', timeoutMs: 20_000 })
  const reads = () => bmc.heard.filter(({ method, path }) => method === 'GET' && path === bmc.systemPath).length
  await conductor.powerSync.stop()
  const before = reads()
  const { body } = await api('POST', '/rackward/v1/nodes/r1/fence', { act: 'identify' })
  expect(body).toMatchObject({ power: 'off', system_uuid: bmc.system.uuid })
  expect(reads() - before).toBe(1)
})
