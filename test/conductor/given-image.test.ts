/** What is told of the image of a node after its instance is gone: an instance that comes without an image of ours is
 *  not taken for the one before. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { keepGiven } from '../../conductor/image-store/series.ts'
import { openSqlite } from '../../conductor/start/open-store.ts'
import type { Store } from '../../conductor/store/port.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { obedientIpmitool } from '../fake/ipmitool.ts'
import { loader, makeEfiDisk } from '../images/efi-disk.ts'
import { call } from './client.ts'

const LATEST = { 'openstack-api-version': 'baremetal latest' }
let dir = ''
let conductor: Conductor
let store: Store

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-given-'))
  await makeEfiDisk(join(dir, 'disk'), { bits: 12, files: { 'EFI/BOOT/BOOTX64.EFI': loader(true) } })
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'disk'), name: 'web' })
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images'), allowedHosts: ['127.0.0.1'] },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      provision: { automatedClean: false },
      powerSync: { everySeconds: 0 },
    }),
    {
      log: silentLog,
      run: obedientIpmitool(() => undefined),
      fleet: null,
      openStore: (...parts) => {
        const opened = openSqlite(...parts)
        store = opened.store
        return opened
      },
    },
  )
})
afterEach(async () => {
  await conductor.stop()
  await rm(dir, { recursive: true, force: true })
})

const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)
const image = async () => (await api('GET', '/rackward/v1/nodes/n1/image')).body.image as { source: string } | null
const wants = (source: string, more: object = {}) =>
  api('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/instance_info', value: { image_source: source, ...more } }])

async function drive(target: string, state: RegExp): Promise<void> {
  const { status, body } = await api('PUT', '/v1/nodes/n1/states/provision', { target })
  expect({ status, body }).toMatchObject({ status: 202 })
  await until(
    async () => {
      const node = (await api('GET', '/v1/nodes/n1')).body
      return state.test(String(node.provision_state)) && node.reservation === null
    },
    { what: `${target} to lead to ${state.source}`, timeoutMs: 30_000 },
  )
}

test('a server that was freed and is adopted with another system runs none of our images', async () => {
  const driver_info = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
  const made = await api('POST', '/v1/nodes', { name: 'n1', driver: 'ipmi', driver_info })
  await api('POST', '/v1/ports', { node_uuid: made.body.uuid, address: '02:00:00:00:00:01' })
  await drive('manage', /^manageable$/)
  await drive('provide', /^available$/)
  await wants('web')
  expect(await image()).toBeNull()
  await drive('active', /^wait call-back$|^deploy failed$/)
  expect(await image()).toMatchObject({ source: 'web' })

  await drive('deleted', /^available$/)
  await drive('manage', /^manageable$/)
  await wants('web')
  await drive('adopt', /^active$/)
  expect(await image()).toBeNull()
})

test('a rebuild that fails before it has an image is not told as one of the image before, which is still there', async () => {
  const driver_info = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
  const made = await api('POST', '/v1/nodes', { name: 'n1', driver: 'ipmi', driver_info })
  await api('POST', '/v1/ports', { node_uuid: made.body.uuid, address: '02:00:00:00:00:01' })
  await drive('manage', /^manageable$/)
  await wants('web')
  await drive('adopt', /^active$/)
  const before = { source: 'web', image: 'a'.repeat(64) }
  await keepGiven(store, String(made.body.uuid), { ...before, nowMs: 1 })
  expect(await image()).toMatchObject({ ...before, deploy: 'done', on_disk: before })

  // Asked for when the order has begun: nobody listens there.
  const gone = 'http://127.0.0.1:1/gone.raw'
  await wants(gone, { image_checksum: 'b'.repeat(64) })
  await drive('rebuild', /^deploy failed$/)
  expect(await image()).toMatchObject({ source: gone, image: null, deploy: 'failed', on_disk: before })

  await wants('web')
  await drive('rebuild', /^wait call-back$/)
  const chosen = { source: 'web', image: expect.not.stringMatching(/^a+$/) as unknown }
  expect(await image()).toMatchObject({ ...chosen, deploy: 'under way', on_disk: null })
})
