/** The effects of a boot from the boot ISO: the URL of the node's own boot reaches the BMC, and an image that nobody
 *  asks for is a fault. */
import { afterEach, expect, test } from 'vitest'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { mediaUrl } from '../../conductor/boot/media-url.ts'
import { mediaName } from '../../conductor/boot/token.ts'
import type { BootConfig } from '../../conductor/config.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { MediaEffects } from '../../conductor/node/run/media-effects.ts'
import { systemClock } from '../../kit/clock.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'

const KEY = Buffer.alloc(32, 2)
const ADDRESS = { rackward_ip: '192.0.2.20/24', rackward_mac: '52:54:00:00:00:01' }
const BOOT = { http: { address: '10.0.0.1', port: 8080 }, iso: '/boot.iso' } as unknown as BootConfig
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function rig(info: Readonly<Record<string, unknown>> = ADDRESS, boot: BootConfig = BOOT) {
  const bmc = await VirtualBmc.start()
  const clock = systemClock
  const suites = new CipherSuites({ clock, key: Buffer.alloc(32), onOlder: () => undefined })
  const bmcs = new BmcRegistry({ run: () => Promise.reject(new Error('no program runs here')), suites })
  closers.push(
    () => bmc.stop(),
    () => bmcs.close(),
  )
  const sightings = new Sightings()
  const effects = new MediaEffects({
    bmcs,
    bmcQueue: new BmcQueue(clock),
    store: { ports: async () => [] },
    sightings,
    clock,
    subnets: [],
    urlOf: (node) => mediaUrl(boot, KEY, node),
    askedTimeoutMs: 300,
  })
  const driverInfo = { ...bmc.driverInfo(), ...info }
  const node = newNode({ uuid: '6f1b2c3d-0000-4000-8000-000000000001', driver: 'redfish', driverInfo }, 0)
  const perform = (effect: Parameters<MediaEffects['perform']>[0], of: NodeRecord = node) =>
    effects.perform(effect, of, AbortSignal.timeout(20_000))
  return { bmc, node, sightings, perform, image: () => bmc.families.media.drives.get('CD1')?.image }
}

const HTTP = { boot: 'redfish-https' } as const

test('the image of this boot is inserted, the same one when it is done again, and taken out', async () => {
  const { node, perform, image } = await rig()
  const name = mediaName(KEY, { nodeUuid: node.uuid, generation: 0 })
  for (let i = 0; i < 2; i += 1) {
    await perform({ do: 'media', put: 'ramdisk' })
    expect(image()).toBe(`http://10.0.0.1:8080/media/${name}/boot.iso`)
  }
  await perform({ do: 'media', put: 'ramdisk' }, { ...node, workflow: { ...node.workflow, generation: 1 } })
  expect(image()).not.toContain(name)
  await perform({ do: 'media', put: null })
  expect(image()).toBeNull()
})

test('where BMCs fetch it: at the listener for media, and for a node with external_http_url there', async () => {
  const media = { address: '10.1.0.1', port: 8443, tls: { cert: 'c', key: 'k' } }
  const listener = await rig(ADDRESS, { ...BOOT, media })
  await listener.perform({ do: 'media', put: 'ramdisk' })
  expect(listener.image()).toMatch(/^https:\/\/10\.1\.0\.1:8443\/media\//)
  const own = await rig({ ...ADDRESS, external_http_url: 'http://gateway.example/rackward/' }, { ...BOOT, media })
  await own.perform({ do: 'http-boot' })
  expect(own.bmc.machine.next.httpUri).toMatch(/^http:\/\/gateway\.example\/rackward\/media\//)
})

test('a node without an address is refused before its BMC hears of it', async () => {
  const { bmc, perform } = await rig({})
  await expect(perform({ do: 'media', put: 'ramdisk' })).rejects.toMatchObject({ code: 'node.network-data' })
  expect(bmc.heard).toEqual([])
})

test('an image that was asked for is proven; one that never is, is a fault', async () => {
  const { node, sightings, perform } = await rig()
  await expect(perform({ do: 'media-asked' })).rejects.toMatchObject({
    code: 'bmc.media',
    detail: expect.stringContaining('the BMC never asked for the image') as string,
  })
  await expect(perform({ do: 'media-asked' }, { ...node, interfaces: HTTP })).rejects.toMatchObject({
    code: 'bmc.http-boot',
    detail: expect.stringContaining('the firmware never asked for the image') as string,
  })
  sightings.note(node.uuid, 'media', { atMs: 1, detail: '' })
  await perform({ do: 'media-asked' })
})
