/** Interfaces of IPMI nodes that scripts of Ironic choose: vendor ipmitool, management noop, boot pxe, and what the
 *  refusal of the others says. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { rawBytes } from '../../conductor/bmc/raw.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { Store } from '../../conductor/store/port.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { call as plain, faultOf, type Answer } from './client.ts'
import { storeWith } from './store-with.ts'

let dir = ''
let own: Conductor
let store: Store
let said: string[] = []
let power = 'off'
let answer: Awaited<ReturnType<Run>> = { code: 0, stdout: '', stderr: '' }

const ipmitool: Run = async (argv) => {
  const words = argv.slice(argv.lastIndexOf('-C') + 2).join(' ')
  said.push(words)
  if (words === 'power on' || words === 'power off') power = words.slice(6)
  return words === 'power status' ? { ...answer, stdout: `Chassis Power is ${power}\n` } : answer
}

const call = (method: string, path: string, body?: unknown) =>
  plain(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, own.addresses[0] as string)
const says = ({ status, body }: Answer) => [status, status < 400 ? '' : faultOf({ body } as Answer).faultstring]
let count = 0
const create = (more: Record<string, unknown> = {}) =>
  call('POST', '/v1/nodes', {
    driver: 'ipmi',
    driver_info: { ipmi_address: `127.1.0.${++count}`, ipmi_username: 'u', ipmi_password: 'p' },
    ...more,
  })
const eventsOf = async (uuid: string) =>
  (await store.journal.ofNode(uuid, 100)).map(({ kind, detail }) => ({ kind, detail }))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-ipmi-interfaces-'))
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 0 },
  })
  own = await startConductor(config, {
    log: silentLog,
    run: ipmitool,
    fleet: null,
    openStore: storeWith((real) => (store = real)),
  })
})
beforeEach(() => {
  said = []
  answer = { code: 0, stdout: '', stderr: '' }
})
afterAll(async () => {
  await own.stop()
  await rm(dir, { recursive: true })
})

test('vendor ipmitool: raw requests and resets of the BMC reach it, and stand in the record without their data', async () => {
  const { uuid } = (await create({ vendor_interface: 'ipmitool' })).body
  const path = `/v1/nodes/${uuid}/vendor_passthru`
  expect(Object.keys((await call('GET', `${path}/methods`)).body)).toEqual(['send_raw', 'bmc_reset'])

  expect((await call('POST', `${path}?method=send_raw`, { raw_bytes: '0x2e 0xC8 7 255' })).status).toBe(202)
  expect((await call('POST', `${path}/bmc_reset`, { warm: false })).status).toBe(202)
  expect((await call('POST', `${path}/bmc_reset`, {})).status).toBe(202)
  expect(said).toEqual(['raw 0x2e 0xc8 0x07 0xff', 'mc reset cold', 'mc reset warm'])
  expect((await eventsOf(uuid)).filter(({ kind }) => kind === 'bmc-act')).toMatchObject([
    { detail: { what: 'reset of the BMC', how: 'warm' } },
    { detail: { what: 'reset of the BMC', how: 'cold' } },
    { detail: { what: 'raw request', netFn: '0x2e', command: '0xc8', dataBytes: 2 } },
  ])

  answer = { code: 1, stdout: '', stderr: 'Unable to send RAW command (channel=0x0 rsp=0xc1): Invalid command' }
  expect((await call('POST', `${path}/send_raw`, { raw_bytes: '0x2e 0x01' })).status).toBeGreaterThanOrEqual(400)
  expect((await call('GET', `${path}/send_raw`)).status).toBe(400)
  expect(says(await call('POST', `${path}/format_disk`, {}))[1]).toContain('No handler for method format_disk')
})

test('a node with the default vendor interface has no such method', async () => {
  const { uuid } = (await create()).body
  expect((await call('GET', `/v1/nodes/${uuid}/vendor_passthru/methods`)).body).toEqual({})
  expect((await call('POST', `/v1/nodes/${uuid}/vendor_passthru/bmc_reset`, {})).status).toBe(400)
  expect(said).toEqual([])
})

test.each([
  ['0x00', '2 to 64 bytes'],
  ['', '2 to 64 bytes'],
  ['0x00 '.repeat(65), '2 to 64 bytes'],
  ['0x06 0x100', 'is no byte'],
  ['0x06 256', 'is no byte'],
  ['0x06 -H', 'is no byte'],
  ['0x06 $(id)', 'is no byte'],
  ['0x00 0x02 0x00', 'use states/power'],
  ['0 2 0', 'use states/power'],
  ['0x06 0x02', 'use the method bmc_reset'],
  ['6 3', 'use the method bmc_reset'],
  ['0x06 0x47 0x02 0x02 0x41', 'password into a command line'],
  ['0x06 0x34 0x00 0x20', 'a message inside a message'],
])('the raw request %j is refused: %s', (text, why) => expect(() => rawBytes(text)).toThrow(why))

test('management noop leaves the boot order alone, and has what Ironic’s has', async () => {
  const { uuid } = (await create({ management_interface: 'noop' })).body
  const path = `/v1/nodes/${uuid}/management`
  expect((await call('GET', `${path}/boot_device/supported`)).body).toEqual({ supported_boot_devices: ['pxe', 'disk'] })
  expect((await call('PUT', `${path}/boot_device`, { boot_device: 'disk' })).status).toBe(204)
  expect((await call('GET', `${path}/boot_device`)).body).toEqual({ boot_device: 'pxe', persistent: true })
  expect((await call('PUT', `${path}/boot_device`, { boot_device: 'bios' })).status).toBe(400)
  expect((await call('PUT', `${path}/inject_nmi`, {})).status).toBe(400)
  expect(said).toEqual([])
})

test.each([
  ['noop', false],
  ['ipmitool', true],
])('with management %s a boot of the ramdisk sets the boot device: %s', async (management_interface, sets) => {
  const { uuid } = (await create({ management_interface, properties: { cpu_arch: 'x86_64' } })).body
  const inState = (wanted: string) =>
    until(
      async () => {
        const node = (await call('GET', `/v1/nodes/${uuid}`)).body
        return node.provision_state === wanted && node.reservation === null ? true : undefined
      },
      { what: wanted, timeoutMs: 20_000, everyMs: 20 },
    )
  await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
  await inState('manageable')
  said = []
  await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' })
  await inState('clean wait')
  expect(said).toContain('power on')
  expect(said.some((words) => words.startsWith('raw 0x00 0x08 0x05'))).toBe(sets)
})

test('boot pxe is taken for ipxe, with an event that says so, once', async () => {
  const { uuid, boot_interface } = (await create({ boot_interface: 'pxe' })).body
  expect(boot_interface).toBe('pxe')
  const aliases = async (of: string) => (await eventsOf(of)).filter(({ kind }) => kind === 'interface-alias')
  const alias = { kind: 'interface-alias', detail: { interface: 'boot', chosen: 'pxe', served: 'ipxe' } }
  expect(await aliases(uuid)).toMatchObject([alias])
  await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/extra/a', value: 1 }])
  expect(await aliases(uuid)).toHaveLength(1)

  const later = (await create()).body.uuid
  await call('PATCH', `/v1/nodes/${later}`, [{ op: 'add', path: '/boot_interface', value: 'pxe' }])
  expect(await aliases(later)).toMatchObject([alias])
})

test('who asks for Ironic’s console is told where ours is', async () => {
  expect(says(await create({ console_interface: 'ipmitool-socat' }))).toEqual([
    400,
    expect.stringContaining('/rackward/v1/nodes/NODE/console'),
  ])
  const { uuid } = (await create()).body
  expect(says(await call('PUT', `/v1/nodes/${uuid}/states/console`, { enabled: true }))).toEqual([
    400,
    expect.stringContaining('rackward node console NODE'),
  ])
})

test('a version that is too high is answered with what to send instead', async () => {
  const to = own.addresses[0] as string
  const high = await plain('GET', '/v1/nodes', undefined, { 'OpenStack-API-Version': 'baremetal 1.999' }, to)
  const [status, text] = says(high)
  expect([status, text]).toEqual([406, expect.stringContaining('this server has 1.1 to 1.110')])
  expect(text).toContain('send a version from the range that the message names, or "latest"')
  expect(text).not.toContain('higher')
})

test.each([
  ['/v1/nodes', { driver: 'fake-hardware' }],
  ['/v1/chassis', {}],
  ['/v1/runbooks', { name: 'CUSTOM_EMPTY_UUID', steps: [{ interface: 'deploy', step: 'erase_devices', order: 1 }] }],
])('an empty uuid in POST %s is taken as absent', async (path, body) => {
  const made = await call('POST', path, { ...body, uuid: '' })
  expect([made.status, made.body.uuid]).toEqual([201, expect.stringMatching(/^[0-9a-f-]{36}$/)])
})
