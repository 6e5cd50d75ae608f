/** Virtual media of nodes through a whole conductor: Ironic's vmedia API on a Redfish node, with its allow-list; and
 *  what a node that boots by virtual media is refused. */
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

let bmc: Awaited<ReturnType<typeof VirtualBmc.start>>
let data: string
let conductor: Conductor
const ISO = 'http://192.0.2.9/isos/driver.iso'

const api = (method: string, path: string, body?: unknown, minor = 'latest') =>
  call(method, path, body, { 'openstack-api-version': `baremetal ${minor}` }, conductor.addresses[0] as string)
const node = async () => (await api('GET', '/v1/nodes/r1')).body

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'rackward-vmedia-'))
  bmc = await VirtualBmc.start()
  const config = Config.parse({
    data,
    images: { store: join(data, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    provision: { mediaUrls: ['http://192.0.2.9/isos/'] },
  })
  conductor = await startConductor(config, { log: silentLog })
})
afterEach(async () => {
  await conductor?.stop()
  await bmc?.stop()
  await rm(data, { recursive: true, force: true })
})

async function enrolled(more = {}): Promise<void> {
  const body = { name: 'r1', driver: 'redfish', driver_info: bmc.driverInfo(), ...more }
  expect((await api('POST', '/v1/nodes', body)).status).toBe(201)
  await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
  await until(async () => (await node()).provision_state === 'manageable', {
    what: 'manageable',
    timeoutMs: 30_000,
    everyMs: 50,
  })
}

test('an image is attached, shown and detached; a drive in use is not taken over', async () => {
  await enrolled()
  const wanted = { device_type: 'cdrom', image_url: ISO }
  expect((await api('POST', '/v1/nodes/r1/vmedia', wanted)).status).toBe(204)
  expect((await api('GET', '/v1/nodes/r1/vmedia')).body).toEqual([
    { media_types: ['CD', 'DVD'], inserted: true, image: ISO },
    { media_types: ['USBStick', 'Floppy'], inserted: false, image: '' },
  ])
  expect((await api('POST', '/v1/nodes/r1/vmedia', wanted)).status).toBe(409)
  expect((await api('DELETE', '/v1/nodes/r1/vmedia?device_types=disk')).status).toBe(204)
  expect(bmc.families.media.drives.get('CD1')?.inserted).toBe(true)
  expect((await api('DELETE', '/v1/nodes/r1/vmedia')).status).toBe(204)
  expect(bmc.families.media.drives.get('CD1')?.inserted).toBe(false)

  const { events } = (await api('GET', '/rackward/v1/events?kinds=bmc-act')).body as { events: { detail: object }[] }
  expect(events.map(({ detail }) => detail)).toContainEqual({ what: 'virtual media', attach: 'cd', image: ISO })
})

test.each([
  ['a URL below no prefix', { image_url: 'http://192.0.2.9/secret/x.iso' }, 'provision.mediaUrls'],
  [
    'a prefix that is only the beginning of a word',
    { image_url: 'http://192.0.2.99/isos/x.iso' },
    'provision.mediaUrls',
  ],
  ['a query', { image_url: `${ISO}?a=1` }, 'refuse URLs with a query'],
  ['another source', { image_download_source: 'local' }, 'image_download_source'],
  ['another device', { device_type: 'tape' }, 'device_type'],
])('%s is refused, and the BMC hears nothing of it', async (_, more, words) => {
  await enrolled()
  const answer = await api('POST', '/v1/nodes/r1/vmedia', { device_type: 'cdrom', image_url: ISO, ...more })
  expect(answer.status).toBe(400)
  expect(JSON.stringify(answer.body)).toContain(words)
  expect(bmc.families.media.acts).toEqual([])
})

test('the URL of a boot ISO is in no answer; the versions of the API are Ironic’s', async () => {
  await enrolled()
  const name = 'n'.repeat(43)
  bmc.families.media.put('CD1', `http://192.0.2.9:8080/base/media/${name}/boot.iso`)
  const shown = (await api('GET', '/v1/nodes/r1/vmedia')).body as unknown as { image: string }[]
  expect(shown[0]?.image).toBe('******')
  expect((await api('GET', '/v1/nodes/r1/vmedia', undefined, '1.92')).status).toBe(404)
  expect((await api('DELETE', '/v1/nodes/r1/vmedia', undefined, '1.88')).status).toBe(404)
})

test('a node that boots by virtual media needs power control, and an address before it is touched', async () => {
  const media = { boot_interface: 'redfish-virtual-media' }
  const fixed = await api('POST', '/v1/nodes', { name: 'x', driver: 'redfish', ...media, disable_power_off: true })
  expect(fixed.status).toBe(400)
  expect(JSON.stringify(fixed.body)).toContain('disable_power_off')
  const ipmi = await api('POST', '/v1/nodes', { name: 'x', driver: 'ipmi', ...media })
  expect(ipmi.status).toBe(400)

  await enrolled(media)
  const heard = bmc.heard.length
  const refused = await api('PUT', '/v1/nodes/r1/states/provision', { target: 'inspect' })
  expect(refused.status).toBe(400)
  expect(JSON.stringify(refused.body)).toContain('network_data')
  expect((await node()).provision_state).toBe('manageable')
  const boot = (await api('GET', '/v1/nodes/r1/validate')).body.boot as { result: boolean; reason: string }
  expect(boot.result).toBe(false)
  expect(boot.reason).toContain('network_data')
  expect(bmc.heard.slice(heard).filter(({ method }) => method !== 'GET')).toEqual([])
})
