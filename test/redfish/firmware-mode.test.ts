/** Boot mode and Secure Boot of nodes, through a whole conductor and a virtual BMC: set, proven by the next start,
 *  restored; keys and certificates by steps. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { bootsSigned, checkFirmwareTarget, firmwareTargetOf } from '../../conductor/node/policy/firmware-target.ts'
import { matches } from '../../conductor/node/allocations.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { ObjectRecord } from '../../conductor/store/port.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call } from '../conductor/client.ts'
import { SECURE_BOOT } from './families/secure-boot.ts'
import { MODE } from './families/systems.ts'
import { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const LATEST = { 'openstack-api-version': 'baremetal latest' }
let bmc: VirtualBmc<SimulatedMachine>
let data: string
let certificate = ''
let conductor: Conductor
const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)
const node = async () => (await api('GET', '/v1/nodes/r1')).body
const becomes = (what: string, found: (now: Record<string, unknown>) => boolean) =>
  until(async () => found(await node()), { what, timeoutMs: 20_000, everyMs: 50 })
const bmcTask = (now: Record<string, any>) => now.driver_internal_info.rackward.bmc_task
const idle = () => becomes('idle', (now) => now.reservation === null)

beforeAll(async () => {
  certificate = (await selfSigned({ commonName: 'db', days: 2 })).cert
})
const config = () =>
  Config.parse({
    data,
    images: { store: join(data, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    provision: { bmcLookSeconds: 0.2 },
    powerSync: { everySeconds: 0 },
  })
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'rackward-firmware-'))
  bmc = await VirtualBmc.start()
  conductor = await startConductor(config(), { log: silentLog })
  await api('POST', '/v1/nodes', { name: 'r1', driver: 'redfish', driver_info: bmc.driverInfo() })
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await becomes('manageable', (now) => now.provision_state === 'manageable')
})
afterEach(async () => {
  await conductor?.stop()
  await bmc?.stop()
  await rm(data, { recursive: true, force: true })
})

test('both are read when the node is managed', async () => {
  expect(await node()).toMatchObject({ boot_mode: 'uefi', secure_boot: false })
})

test('a server that came with Secure Boot on shows it, and what is switched off is off from its next start on', async () => {
  const machine = new SimulatedMachine()
  machine.secureBoot = { enabled: true, keys: 'factory' }
  const other = await VirtualBmc.open({ machine })
  try {
    await api('POST', '/v1/nodes', { name: 'r2', driver: 'redfish', driver_info: other.driverInfo() })
    await api('PUT', '/v1/nodes/r2/states/provision', { target: 'manage' })
    const seen = async () => (await api('GET', '/v1/nodes/r2')).body
    const shows = (secureBoot: boolean) =>
      until(async () => (await seen()).secure_boot === secureBoot && (await seen()).reservation === null, {
        what: `Secure Boot ${secureBoot}`,
        timeoutMs: 20_000,
        everyMs: 50,
      })
    await shows(true)
    await api('PUT', '/v1/nodes/r2/states/secure_boot', { target: false })
    await shows(false)
    expect(machine.secureBoot).toEqual({ enabled: false, keys: 'factory' })
  } finally {
    await other.stop()
  }
})

test('Secure Boot is switched on by a restart that proves it, and a server that was off is off again', async () => {
  expect((await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })).status).toBe(202)
  await becomes('on', (now) => now.secure_boot === true && now.power_state === 'power off')
  await idle()
  expect(bmc.system.resets).toEqual(['On', 'ForceOff'])
  expect(await node()).toMatchObject({ power_state: 'power off', last_error: null })

  // What holds is not ordered again.
  const changes = () => bmc.heard.filter(({ method }) => method !== 'GET').length
  const before = changes()
  await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })
  await idle()
  expect(changes()).toBe(before)

  await api('PUT', '/v1/nodes/r1/states/power', { target: 'power on' })
  await idle()
  await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: false })
  await becomes('off', (now) => now.secure_boot === false && bmcTask(now) === null)
  await idle()
  expect(await node()).toMatchObject({ power_state: 'power on' })
})

test('the node is not locked while its server starts, explain names the wait, and another conductor goes on with it', async () => {
  bmc.machine.postMs = 3_000
  expect((await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })).status).toBe(202)
  const words = await until(
    async () => {
      const account = (await api('GET', '/rackward/v1/nodes/r1/explain')).body
      return account.lock === null && /Secure Boot off/.test(String(account.waits_for)) ? account.waits_for : undefined
    },
    { what: 'the wait', timeoutMs: 20_000, everyMs: 50 },
  )
  expect(words).toMatch(/^the server to start with Secure Boot on \(.*Secure Boot off, and on at the next start/)
  expect(await node()).toMatchObject({ provision_state: 'manageable', reservation: null })
  expect((await api('PUT', '/v1/nodes/r1/states/power', { target: 'power off' })).status).toBe(409)
  expect((await api('DELETE', '/v1/nodes/r1')).status).toBe(409)
  expect((await api('PATCH', '/v1/nodes/r1', [{ op: 'add', path: '/extra/rack', value: 'r7' }])).status).toBe(200)

  await conductor.stop()
  conductor = await startConductor(config(), { log: silentLog })
  await becomes('on, and off again', (now) => now.secure_boot === true && now.power_state === 'power off')
  expect(bmc.system.resets).toEqual(['On', 'ForceOff'])
  expect(await node()).toMatchObject({ last_error: null, reservation: null })
})

test('a node whose firmware is being changed is not allocated', () => {
  const more = { provisionState: 'available', powerState: 'power on', resourceClass: 'c' } as const
  const free = newNode({ uuid: 'u', driver: 'redfish', ...more }, 0)
  const waits = { ...free, workflow: { ...free.workflow, phase: 'firmware-mode' as const } }
  const allocation = { body: { resource_class: 'c' } } as unknown as ObjectRecord
  expect([free, waits].map((one) => matches(one, allocation))).toEqual([true, false])
})

test('a boot mode that shows at once needs no restart to be proven; Secure Boot without UEFI is refused', async () => {
  await api('PUT', '/v1/nodes/r1/states/boot_mode', { target: 'bios' })
  await becomes('BIOS', (now) => now.boot_mode === 'bios' && bmcTask(now) === null)
  await idle()
  expect(bmc.system.boot[MODE]).toBe('Legacy')
  await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })
  await becomes('the refusal', (now) => now.last_error !== null)
  expect((await node()).last_error).toMatch(/Secure Boot needs the boot mode uefi/)
})

test('a licence that is missing is named in the words of the BMC, and nothing stays locked', async () => {
  bmc.rules.push({
    method: 'PATCH',
    path: SECURE_BOOT,
    refuse: { status: 403, id: 'OemLicenseNotPassed', text: 'Buy DCMS' },
  })
  await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })
  await becomes('the fault', (now) => now.last_error !== null)
  expect((await node()).last_error).toMatch(/Buy DCMS.*licence/)
  expect(await node()).toMatchObject({ reservation: null, secure_boot: false })
})

test('keys are cleared and reset by clean steps; in setup mode Secure Boot is refused with the remedy', async () => {
  const clean = async (step: string, args = {}) => {
    await api('PUT', '/v1/nodes/r1/states/provision', {
      target: 'clean',
      clean_steps: [{ interface: 'management', step, args }],
      disable_ramdisk: true,
    })
    await becomes('clean', (now) => now.provision_state === 'manageable' || now.provision_state === 'clean failed')
    expect(await node()).toMatchObject({ provision_state: 'manageable', last_error: null })
  }
  await clean('clear_secure_boot_keys')
  expect(bmc.families.secureBoot.keys).toBe('none')
  await api('PUT', '/v1/nodes/r1/states/secure_boot', { target: true })
  await becomes('the refusal', (now) => now.last_error !== null)
  expect((await node()).last_error).toMatch(/reset_secure_boot_keys_to_default/)

  await clean('reset_secure_boot_keys_to_default')
  expect(bmc.families.secureBoot.keys).toBe('factory')
  await clean('enroll_secure_boot_certificates', { certificates: [certificate] })
  await clean('enroll_secure_boot_certificates', { certificates: [certificate] })
  expect([...bmc.families.secureBoot.certificates.values()]).toEqual([certificate])
  const bad = await api('PUT', '/v1/nodes/r1/states/provision', {
    target: 'clean',
    clean_steps: [{ interface: 'management', step: 'enroll_secure_boot_certificates', args: { certificates: ['x'] } }],
  })
  expect(bad.status).toBe(400)
})

test('a certificate that holds from the next start on is proven by one restart', async () => {
  bmc.rules.push({ profile: { certificates: 'from the next start on' } })
  await api('PUT', '/v1/nodes/r1/states/provision', {
    target: 'clean',
    clean_steps: [
      { interface: 'management', step: 'enroll_secure_boot_certificates', args: { certificates: [certificate] } },
    ],
    disable_ramdisk: true,
  })
  await becomes('clean', (now) => now.provision_state === 'manageable' || now.provision_state === 'clean failed')
  expect(await node()).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect([...bmc.families.secureBoot.certificates.values()]).toEqual([certificate])
  expect(bmc.machine.starts).toHaveLength(1)
})

test('a driver that cannot switch Secure Boot says so', async () => {
  const driver_info = { ipmi_address: '192.0.2.9', ipmi_username: 'u', ipmi_password: 'p' }
  await api('POST', '/v1/nodes', { name: 'r2', driver: 'ipmi', driver_info })
  expect((await api('PUT', '/v1/nodes/r2/states/secure_boot', { target: true })).status).toBe(400)
})

test.each([
  [{ secure_boot: 'true' }, { bootMode: 'uefi', secureBoot: true }],
  ['{"secure_boot": true}', { bootMode: 'uefi', secureBoot: true }],
  ['boot_mode:bios,secure_boot:false', { bootMode: 'bios' }],
  [undefined, {}],
  ['{broken', {}],
])('instance_info/capabilities %j', (capabilities, wanted) => {
  expect(firmwareTargetOf({ instanceInfo: { capabilities } })).toEqual(wanted)
})

test.each([
  ['by what its BMC showed', { secureBoot: true }, true],
  ['by its own capabilities', { properties: { capabilities: 'boot_mode:uefi,secure_boot:true' } }, true],
  ['by those of its instance', { instanceInfo: { capabilities: { secure_boot: 'true' } } }, true],
  ['where it is off', { secureBoot: false, properties: { capabilities: 'secure_boot:false' } }, false],
  ['where nothing is known', {}, false],
] as const)('signed loaders are for a node with Secure Boot, %s', (_, more, signed) => {
  const node = { ...newNode({ uuid: 'u', driver: 'ipmi' }, 0), ...more }
  expect(bootsSigned(node)).toBe(signed)
})

test('an instance may want Secure Boot of a node that nothing can switch, where its capabilities say that it is on', () => {
  const node = { ...newNode({ uuid: 'u', driver: 'ipmi' }, 0), instanceInfo: { capabilities: 'secure_boot:true' } }
  expect(() => checkFirmwareTarget(node)).toThrow('properties/capabilities')
  expect(() => checkFirmwareTarget({ ...node, properties: { capabilities: 'secure_boot:true' } })).not.toThrow()
})
