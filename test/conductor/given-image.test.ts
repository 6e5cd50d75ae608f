/** What is told of the image of a node after its instance is gone: an instance that comes without an image of ours is
 *  not taken for the one before. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
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

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-given-'))
  await makeEfiDisk(join(dir, 'disk'), { bits: 12, files: { 'EFI/BOOT/BOOTX64.EFI': loader(true) } })
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'disk'), name: 'web' })
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      provision: { automatedClean: false },
      powerSync: { everySeconds: 0 },
    }),
    { log: silentLog, run: obedientIpmitool(() => undefined), fleet: null },
  )
})
afterEach(async () => {
  await conductor.stop()
  await rm(dir, { recursive: true, force: true })
})

const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor.addresses[0] as string)
const image = async () => (await api('GET', '/rackward/v1/nodes/n1/image')).body.image as { source: string } | null
const wants = (source: string) =>
  api('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/instance_info', value: { image_source: source } }])

async function drive(target: string, state: RegExp): Promise<void> {
  const { status } = await api('PUT', '/v1/nodes/n1/states/provision', { target })
  expect(status).toBe(202)
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
