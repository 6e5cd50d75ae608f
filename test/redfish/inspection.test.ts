/** Nodes whose hardware is looked at through the BMC, through a whole conductor: nothing is booted, ports and inventory
 *  are there, health follows the poll. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call } from '../conductor/client.ts'
import { at, members, StaticService, SYSTEM, type Body } from './static-service.ts'

const LATEST = { 'openstack-api-version': 'baremetal latest' }
const NICS = `${SYSTEM}/EthernetInterfaces`
let service: StaticService
let data: string
let conductor: Conductor
const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)
const node = async () => (await api('GET', '/v1/nodes/r1')).body
const becomes = (what: string, found: (now: Record<string, unknown>) => boolean) =>
  until(async () => found(await node()), { what, timeoutMs: 20_000, everyMs: 50 })
const system = (): Body => service.resources[SYSTEM] as Body

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'rackward-inspection-'))
  service = await StaticService.start({
    [SYSTEM]: {
      ...at(SYSTEM),
      Manufacturer: 'Contoso',
      PowerState: 'On',
      Status: { Health: 'OK' },
      MemorySummary: { TotalSystemMemoryGiB: 64 },
      EthernetInterfaces: at(NICS),
    },
    [NICS]: members([`${NICS}/1`, `${NICS}/2`]),
    [`${NICS}/1`]: { Id: '1', MACAddress: '02:00:00:00:00:01', LinkStatus: 'LinkUp' },
    [`${NICS}/2`]: { Id: '2', MACAddress: '02:00:00:00:00:02' },
  })
  const config = Config.parse({
    data,
    images: { store: join(data, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 1 },
  })
  conductor = await startConductor(config, { log: silentLog })
})
afterEach(async () => {
  await conductor?.stop()
  await service?.stop()
  await rm(data, { recursive: true, force: true })
})

async function managed(driver: string, inspect_interface: string): Promise<void> {
  const made = await api('POST', '/v1/nodes', {
    name: 'r1',
    driver,
    inspect_interface,
    driver_info: service.driverInfo(),
  })
  expect(made.status).toBe(201)
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await becomes('manageable', (now) => now.provision_state === 'manageable')
}

async function inspected(): Promise<void> {
  expect((await api('PUT', '/v1/nodes/r1/states/provision', { target: 'inspect' })).status).toBe(202)
  await becomes('inspected', (now) => now.provision_state === 'manageable' && now.inspection_finished_at !== null)
}

test.each([
  ['redfish', 'redfish'],
  ['idrac', 'idrac-redfish'],
])('%s with %s: the server is neither switched nor booted, and its cards become ports', async (driver, inspect) => {
  await managed(driver, inspect)
  await inspected()
  expect(await node()).toMatchObject({ properties: { memory_mb: 65_536, vendor: 'Contoso' }, power_state: 'power on' })
  const { ports } = (await api('GET', '/v1/ports/detail')).body as { ports: Record<string, unknown>[] }
  expect(ports.map(({ address, pxe_enabled: pxe }) => [address, pxe])).toEqual([
    ['02:00:00:00:00:01', true],
    ['02:00:00:00:00:02', true],
  ])
  const { body } = await api('GET', '/v1/nodes/r1/inventory')
  expect(body.inventory).toMatchObject({ bmc_address: '127.0.0.1', memory: { physical_mb: 65_536 } })
  expect(body.inventory.interfaces.map((one: Body) => one.mac_address)).toEqual([
    '02:00:00:00:00:01',
    '02:00:00:00:00:02',
  ])
  expect(service.heard.filter(({ method }) => method !== 'GET')).toEqual([])
})

test('an operator who named the card that boots is not overruled; what the BMC does not list is said', async () => {
  await managed('redfish', 'redfish')
  const { uuid } = await node()
  await api('POST', '/v1/ports', { address: '02:00:00:00:00:02', node_uuid: uuid, pxe_enabled: true })
  await inspected()
  const { ports } = (await api('GET', '/v1/ports/detail')).body as { ports: Record<string, unknown>[] }
  expect(Object.fromEntries(ports.map(({ address, pxe_enabled: pxe }) => [address, pxe]))).toEqual({
    '02:00:00:00:00:01': false,
    '02:00:00:00:00:02': true,
  })
  const { events } = (await api('GET', '/rackward/v1/events?kinds=trouble')).body as { events: { detail: Body }[] }
  expect(events.map(({ detail }) => detail.what)).toEqual(['the BMC lists no disk'])
})

test('an inspection that the BMC does not answer fails with its words', async () => {
  await managed('redfish', 'redfish')
  service.handle = ({ path }) =>
    path === SYSTEM
      ? {
          status: 403,
          body: { error: { '@Message.ExtendedInfo': [{ MessageId: 'X.1.OemLicenseNotPassed', Message: 'No DCMS' }] } },
        }
      : undefined
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'inspect' })
  await becomes('inspect failed', (now) => now.provision_state === 'inspect failed')
  expect((await node()).last_error).toMatch(/HTTP 403: No DCMS.*licence/)
})

test('health is shown from 1.109 on, follows the poll, and each change is an event', async () => {
  await managed('redfish', 'redfish')
  await becomes('OK', (now) => now.health === 'OK')
  service.resources[SYSTEM] = { ...system(), Status: { Health: 'OK', HealthRollup: 'Critical' } }
  await becomes('Critical', (now) => now.health === 'Critical')
  const { events } = (await api('GET', '/rackward/v1/events?kinds=health')).body as { events: { detail: Body }[] }
  expect(events.map(({ detail }) => detail)).toEqual([
    { from: null, to: 'OK' },
    { from: 'OK', to: 'Critical' },
  ])
  const old = await call(
    'GET',
    '/v1/nodes/r1',
    undefined,
    { 'openstack-api-version': 'baremetal 1.108' },
    conductor.addresses[0] as string,
  )
  expect(old.body).not.toHaveProperty('health')
})
