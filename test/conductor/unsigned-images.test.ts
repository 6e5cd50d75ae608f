/** Secure Boot and an image whose boot loader carries no signature: refused before the server is touched, or told and
 *  carried on; what is said where it is not known; and what is always refused: an image for another architecture, one
 *  that no trusted key signed, and an unknown way to start the image (reboot). */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
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
const BOOT = 'EFI/BOOT/BOOTX64.EFI'
const SECURE = { capabilities: 'secure_boot:true' }

let dir = ''
let conductor: Conductor | undefined
/** What reached the BMC. */
let bmc: string[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-unsigned-'))
  bmc = []
})
afterEach(async () => {
  await conductor?.stop()
  conductor = undefined
  await rm(dir, { recursive: true, force: true })
})

const api = (method: string, path: string, body?: unknown) =>
  call(method, path, body, LATEST, conductor?.addresses[0] as string)
const node = async () => (await api('GET', '/v1/nodes/n1')).body
const disk = () => join(dir, 'disk')

async function makeImage(name: string, files: Parameters<typeof makeEfiDisk>[1]['files']): Promise<void> {
  await makeEfiDisk(disk(), { bits: 12, files })
  await importImage(new ImageStore(join(dir, 'images')), { source: disk(), name })
}

const someKey = () => generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()

/** An available node whose operator says that Secure Boot is on. */
async function start(
  provision: Readonly<Record<string, unknown>> = {},
  properties: object = SECURE,
  images: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images'), allowedFilePaths: [dir], ...images },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      provision: { automatedClean: false, ...provision },
      powerSync: { everySeconds: 0 },
    }),
    { log: silentLog, run: obedientIpmitool((text) => void bmc.push(text)), fleet: null },
  )
  const driver_info = { ipmi_address: '192.0.2.1', ipmi_username: 'u', ipmi_password: 'p' }
  const made = await api('POST', '/v1/nodes', { name: 'n1', driver: 'ipmi', driver_info, properties })
  expect(made.status).toBe(201)
  await api('POST', '/v1/ports', { node_uuid: made.body.uuid, address: '02:00:00:00:00:01' })
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    await api('PUT', '/v1/nodes/n1/states/provision', { target })
    await becomes(state)
  }
  bmc = []
}
const becomes = (state: string) =>
  until(async () => (await node()).provision_state === state, { what: state, timeoutMs: 20_000 })
const wants = (instance_info: object) =>
  api('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/instance_info', value: instance_info }])
const deploy = () => api('PUT', '/v1/nodes/n1/states/provision', { target: 'active' })
const validated = async () =>
  (await api('GET', '/v1/nodes/n1/validate')).body.deploy as { result: boolean; reason?: string }
const causes = async () =>
  ((await api('GET', '/rackward/v1/nodes/n1/explain')).body.causes as { cause: string }[]).map(({ cause }) => cause)

test('an image of the store without a signature is refused with the request, by validate and by explain; nothing was touched', async () => {
  await makeImage('plain', { [BOOT]: loader(false) })
  await start()
  await wants({ image_source: 'plain' })
  expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining('carries no signature') })
  const refused = await deploy()
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringMatching(/no signature.*BOOTX64/)])
  expect(await node()).toMatchObject({ provision_state: 'available', last_error: null })
  expect(await causes()).toContainEqual(expect.stringContaining('the firmware will stop it'))
  expect(bmc).toEqual([])
})

test('where only signed images may be deployed, another one is refused with the request and by validate', async () => {
  await makeImage('plain', { [BOOT]: loader(true) })
  await start({}, {}, { trustedKeys: [someKey()] })
  for (const info of [
    { image_source: 'plain' },
    { image_source: 'http://192.0.2.1/x.raw', image_checksum: 'a'.repeat(64) },
  ]) {
    await wants(info)
    expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining('images.trustedKeys') })
    const refused = await deploy()
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringContaining('images.trustedKeys')])
  }
  expect([await node(), bmc]).toMatchObject([{ provision_state: 'available', last_error: null }, []])
})

test.each([false, true])(
  'where only signed images may be deployed, files of the deploy interface ramdisk may be booted if that is said: %s',
  async (unsignedBootFiles) => {
    await makeImage('plain', { [BOOT]: loader(true) })
    await start({}, {}, { trustedKeys: [someKey()], unsignedBootFiles })
    await api('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/deploy_interface', value: 'ramdisk' }])
    const file = (key: string) => ({ [key]: `http://192.0.2.1/${key}`, [`${key}_checksum`]: 'a'.repeat(64) })
    // An image that is named there from before is of no account.
    await wants({ image_source: 'plain', ...file('kernel'), ...file('ramdisk') })
    const { status, body } = await deploy()
    if (unsignedBootFiles) {
      expect(status).toBe(202)
      expect((await validated()).reason ?? '').not.toContain('trustedKeys')
      return
    }
    expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining('unsignedBootFiles') })
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining('images.unsignedBootFiles')])
    expect([await node(), bmc]).toMatchObject([{ provision_state: 'available', last_error: null }, []])
  },
)

test.each([
  ['signed by no trusted key', {}, { trustedKeys: [someKey()] }, 'images.trustedKeys'],
  ['without a signed loader', SECURE, {}, 'carries no signature'],
] as const)(
  'custom-agent, an image %s: of no account where no step writes it, refused where a template does',
  async (_, properties, images, says) => {
    await makeImage('plain', { [BOOT]: loader(false) })
    await start({}, properties, images)
    await api('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/deploy_interface', value: 'custom-agent' }])
    await wants({ image_source: 'plain' })
    expect(await validated()).toEqual({ result: true })
    const write = { interface: 'deploy', step: 'write_image', args: {}, priority: 80 }
    expect((await api('POST', '/v1/deploy_templates', { name: 'CUSTOM_WRITE', steps: [write] })).status).toBe(201)
    await api('PUT', '/v1/nodes/n1/traits', { traits: ['CUSTOM_WRITE'] })
    await wants({ image_source: 'plain', traits: ['CUSTOM_WRITE'] })
    expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining(says) })
    const refused = await deploy()
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringContaining(says)])
    expect([(await node()).provision_state, bmc]).toEqual(['available', []])
  },
)

test('an unknown way to start the image (reboot) is refused with the request, by its field', async () => {
  await makeImage('signed', { [BOOT]: loader(true) })
  await start()
  await wants({ image_source: 'signed', reboot: 'fast' })
  expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining('instance_info/reboot') })
  const refused = await deploy()
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringContaining('instance_info/reboot')])
  expect([(await node()).provision_state, bmc]).toEqual(['available', []])
})

test('an image from a URL is looked at when it was fetched: the deploy fails with the remedy before the server is touched', async () => {
  await makeEfiDisk(disk(), { bits: 12, files: { [BOOT]: loader(false) } })
  const checksum = createHash('sha256')
    .update(await readFile(disk()))
    .digest('hex')
  await start()
  await wants({ image_source: `file://${disk()}`, image_checksum: checksum })
  expect(await validated()).toMatchObject({
    result: true,
    reason: expect.stringContaining('once the image was fetched'),
  })
  expect((await deploy()).status).toBe(202)
  await becomes('deploy failed')
  expect((await node()).last_error).toMatch(/carries no signature.*use an image whose EFI\/BOOT\/BOOTX64.EFI is signed/)
  expect(bmc).toEqual([])
})

test('a signed image is carried on with, and nothing is said; one that is not known is, and is told', async () => {
  await makeImage('signed', { [BOOT]: loader(true) })
  await makeImage('unknown', {})
  await start()
  await wants({ image_source: 'signed' })
  expect(await validated()).toEqual({ result: true })
  expect(await causes()).toEqual([])
  await wants({ image_source: 'unknown' })
  expect(await validated()).toMatchObject({ result: true, reason: expect.stringContaining('not known') })
  expect((await deploy()).status).toBe(202)
  const events = await until(
    async () => {
      const { body } = await api('GET', '/rackward/v1/events?kinds=unsigned-image')
      return (body.events as { detail: unknown }[]).length > 0 && (body.events as { detail: unknown }[])
    },
    { what: 'the event', timeoutMs: 20_000 },
  )
  expect(events.map(({ detail }) => detail)).toMatchObject([{ image: 'unknown', loader: 'unknown' }])
})

test('provision.unsignedImages: warn lets it pass, with an event; without Secure Boot nothing is asked', async () => {
  await makeImage('plain', { [BOOT]: loader(false) })
  await start({ unsignedImages: 'warn' })
  await wants({ image_source: 'plain' })
  expect(await validated()).toMatchObject({
    result: true,
    reason: expect.stringContaining('the firmware will stop it'),
  })
  expect((await deploy()).status).toBe(202)
  await until(
    async () => {
      const { body } = await api('GET', '/rackward/v1/events?kinds=unsigned-image')
      return (body.events as unknown[]).length === 1
    },
    { what: 'the event', timeoutMs: 20_000 },
  )
  expect((await node()).provision_state).not.toBe('deploy failed')
})

test('a server without Secure Boot takes an unsigned image', async () => {
  await makeImage('plain', { [BOOT]: loader(false) })
  await start({}, {})
  await wants({ image_source: 'plain' })
  expect(await validated()).toEqual({ result: true })
  expect((await deploy()).status).toBe(202)
})

const ARM = { 'EFI/BOOT/BOOTAA64.EFI': loader(true, 0xaa64) }

test('an image of the store for another architecture is refused with the request, by validate and by explain; nothing was touched', async () => {
  await makeImage('arm', ARM)
  // Whatever is said about images without a signature.
  await start({ unsignedImages: 'warn' }, { cpu_arch: 'x86_64' })
  await wants({ image_source: 'arm' })
  const words = 'the image is for aarch64, and the node is x86_64'
  expect(await validated()).toMatchObject({ result: false, reason: expect.stringContaining(words) })
  const refused = await deploy()
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([
    400,
    expect.stringMatching(/instance_info\/image_source: .*aarch64.*properties\/cpu_arch.*inspect the node/),
  ])
  expect(await node()).toMatchObject({ provision_state: 'available', last_error: null })
  expect(await causes()).toContainEqual(expect.stringContaining(words))
  expect(bmc).toEqual([])
})

test('an image from a URL for another architecture: the deploy fails before the server is touched', async () => {
  await makeEfiDisk(disk(), { files: ARM })
  const checksum = createHash('sha256')
    .update(await readFile(disk()))
    .digest('hex')
  await start({}, { cpu_arch: 'amd64' })
  await wants({ image_source: `file://${disk()}`, image_checksum: checksum })
  expect((await deploy()).status).toBe(202)
  await becomes('deploy failed')
  expect((await node()).last_error).toMatch(/the image is for aarch64, and the node is x86_64.*use an image of/)
  expect(bmc).toEqual([])
})

test('a node of the architecture of the image takes it, as does one whose architecture is not known', async () => {
  await makeImage('arm', ARM)
  await start({}, { cpu_arch: 'aarch64' })
  await wants({ image_source: 'arm' })
  expect(await validated()).toEqual({ result: true })
  await api('PATCH', '/v1/nodes/n1', [{ op: 'remove', path: '/properties/cpu_arch' }])
  expect(await validated()).toEqual({ result: true })
  expect((await deploy()).status).toBe(202)
})
