/** Sensors, indicators and health of a server, from shapes that vendors answer with, through a whole conductor: API,
 *  metrics with a bound, command line. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { healthText, secureText } from '../../cli/health.ts'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call } from '../conductor/client.ts'
import { at, members, StaticService, SYSTEM, type Body } from './static-service.ts'

const LATEST = { 'openstack-api-version': 'baremetal latest' }
const [CHASSIS, SECURE, STORAGE] = ['/redfish/v1/Chassis/1', `${SYSTEM}/SecureBoot`, `${SYSTEM}/Storage`]
const DRIVE = `${STORAGE}/1/Drives/D7`
let service: StaticService
let data: string
let conductor: Conductor
const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)

/** Thermal and Power as most have them; lamps in both forms. */
const TREE: Record<string, Body> = {
  [SYSTEM]: {
    ...at(SYSTEM),
    PowerState: 'On',
    Status: { Health: 'Warning' },
    IndicatorLED: 'Off',
    Boot: { BootSourceOverrideMode: 'UEFI' },
    SecureBoot: at(SECURE),
    Storage: at(STORAGE),
    Links: { Chassis: [at(CHASSIS)] },
  },
  [SECURE]: { SecureBootEnable: true, SecureBootCurrentBoot: 'Disabled', SecureBootMode: 'UserMode' },
  [CHASSIS]: {
    ...at(CHASSIS),
    LocationIndicatorActive: false,
    Thermal: at(`${CHASSIS}/Thermal`),
    Power: at(`${CHASSIS}/Power`),
  },
  [`${CHASSIS}/Thermal`]: {
    Temperatures: [
      { Name: 'CPU1', ReadingCelsius: 41, Status: { State: 'Enabled', Health: 'OK' } },
      { Name: 'CPU1', ReadingCelsius: 43 },
      { Name: 'CPU2', ReadingCelsius: null, Status: { State: 'Absent' } },
    ],
    Fans: [{ FanName: 'Fan 1', Reading: 4800, ReadingUnits: 'RPM', Status: { Health: 'Critical' } }],
  },
  [`${CHASSIS}/Power`]: { PowerControl: [{ Name: 'System', PowerConsumedWatts: 331 }], Voltages: null },
  [STORAGE]: members([`${STORAGE}/1`]),
  [`${STORAGE}/1`]: { Drives: [at(DRIVE)] },
  [DRIVE]: { ...at(DRIVE), IndicatorLED: 'Lit' },
}

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'rackward-health-'))
  service = await StaticService.start(structuredClone(TREE))
  service.handle = ({ method, path, body }) => {
    if (method !== 'PATCH') return undefined
    Object.assign(service.resources[path] as Body, body)
    return { status: 200, body: {} }
  }
  const config = Config.parse({
    data,
    images: { store: join(data, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 0 },
    sensors: { everySeconds: 1 },
    limits: { bmc: { sensors: 3 } },
  })
  conductor = await startConductor(config, { log: silentLog })
  await api('POST', '/v1/nodes', { name: 'r1', driver: 'redfish', driver_info: service.driverInfo() })
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await until(async () => (await api('GET', '/v1/nodes/r1')).body.provision_state === 'manageable', {
    what: 'manageable',
    timeoutMs: 20_000,
  })
})
afterEach(async () => {
  await conductor?.stop()
  await service?.stop()
  await rm(data, { recursive: true, force: true })
})

test('health: sensors that have a reading, each under a name of its own; Secure Boot that waits for a restart is told', async () => {
  const { status, body } = await api('GET', '/rackward/v1/nodes/r1/health')
  expect([status, body]).toEqual([
    200,
    {
      health: 'Warning',
      boot_mode: 'uefi',
      secure_boot: { active: false, wanted: true, setup_mode: false },
      events: null,
      sensors: [
        { kind: 'temperature', name: 'CPU1', reading: 41, unit: 'Cel', health: 'OK' },
        { kind: 'temperature', name: 'CPU1 2', reading: 43, unit: 'Cel', health: null },
        { kind: 'fan', name: 'Fan 1', reading: 4800, unit: 'RPM', health: 'Critical' },
        { kind: 'power', name: 'System', reading: 331, unit: 'W', health: null },
      ],
    },
  ])
  expect(healthText(body)).toMatch(/secure_boot +off; on from the next start on[\s\S]*Fan 1 +4800 RPM +Critical/)
  expect(secureText({ active: false, wanted: false, setup_mode: true })).toMatch(/setup mode/)
})

test('the newer Sensors are read where Thermal and Power are absent', async () => {
  const sensors = `${CHASSIS}/Sensors`
  service.resources[CHASSIS] = { ...at(CHASSIS), Sensors: at(sensors) }
  service.resources[sensors] = {
    Members: [{ ...at(`${sensors}/1`), Name: 'Inlet', ReadingType: 'Temperature', Reading: 21.5, ReadingUnits: 'Cel' }],
  }
  const { body } = await api('GET', '/rackward/v1/nodes/r1/health')
  expect(body.sensors).toEqual([{ kind: 'temperature', name: 'Inlet', reading: 21.5, unit: 'Cel', health: null }])
})

test('metrics: as many sensors of a server as the limit lets through, and none of a BMC that is gone', async () => {
  const lines = async () => {
    const text = await (await fetch(`${conductor.addresses[0]}/metrics`)).text()
    return text.split('\n').filter((line) => line.startsWith('rackward_sensor_reading{'))
  }
  const found = await until(async () => ((await lines()).length > 0 ? lines() : undefined), {
    what: 'readings',
    timeoutMs: 30_000,
  })
  expect(found).toHaveLength(3)
  expect(found[0]).toMatch(/kind="temperature",sensor="CPU1",unit="Cel"} 41$/)
  await service.stop()
  await until(async () => (await lines()).length === 0, { what: 'no readings', timeoutMs: 30_000 })
})

test('lamps of system, chassis and disk are listed, read and switched in both forms; what a BMC ignores is unproven', async () => {
  const PATH = '/v1/nodes/r1/management/indicators'
  const { body } = await api('GET', PATH)
  const shown = (body.indicators as Body[]).map(({ name, component, states }) => [name, component, states])
  expect(shown).toEqual([
    ['led@system', 'system', ['blinking', 'off', 'on']],
    ['1@chassis', 'chassis', ['off', 'on']],
    ['D7@disk', 'disk', ['blinking', 'off', 'on']],
  ])
  expect((await api('GET', `${PATH}/D7@disk`)).body).toEqual({ state: 'on' })
  expect((await api('PUT', `${PATH}/led@system`, { state: 'blinking' })).status).toBe(204)
  expect((await api('PUT', `${PATH}/1@chassis`, { state: 'on' })).status).toBe(204)
  expect([service.resources[SYSTEM]?.IndicatorLED, service.resources[CHASSIS]?.LocationIndicatorActive]).toEqual([
    'Blinking',
    true,
  ])
  expect((await api('PUT', `${PATH}/1@chassis`, { state: 'blinking' })).status).toBe(400)
  expect((await api('GET', `${PATH}/none@disk`)).status).toBe(404)
  service.handle = ({ method }) => (method === 'PATCH' ? { status: 204 } : undefined)
  const ignored = await api('PUT', `${PATH}/led@system`, { state: 'off' })
  expect(ignored.status).toBeGreaterThanOrEqual(400)
  expect(ignored.body.error_message).toMatch(/took \\"off\\" for the indicator led@system and shows \\"blinking\\"/)
})
