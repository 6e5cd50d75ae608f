/** deploy_interface ramdisk and custom-agent against a live conductor with a BMC that obeys: what is fetched, what the
 *  server is told to boot, and what is refused before anything is touched. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { orderNow } from '../../conductor/boot/orders.ts'
import { servedFile } from '../../conductor/boot/render.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import type { Store } from '../../conductor/store/port.ts'
import { BootFiles } from '../../images/boot-files.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { obedientIpmitool } from '../fake/ipmitool.ts'
import { ApiClient } from '../lab/client.ts'
import { storeWith } from './store-with.ts'
import { waitForState } from './wait-state.ts'

const KERNEL = Buffer.alloc(300_000, 'kernel')
const RAMDISK = Buffer.alloc(500_000, 'ramdisk')
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
let dir = ''
let conductor: Conductor
let api: ApiClient
let files: Server
let base = ''
let store: Store
let asked: { url: string; authorization: string | undefined }[] = []

/** Raw commands to the BMC. */
let raw: string[] = []
const ipmitool = obedientIpmitool((text) => {
  const bytes = /raw (.*)$/.exec(text)?.[1]
  if (bytes !== undefined) raw.push(bytes)
})

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-ramdisk-'))
  files = createServer((request, response) => {
    asked.push({ url: request.url ?? '', authorization: request.headers.authorization })
    const to = new URL(request.url ?? '/', 'http://x').searchParams.get('to')
    if (to) return void response.writeHead(302, { location: to }).end()
    response.end(request.url === '/kernel' ? KERNEL : RAMDISK)
  }).listen(0, '127.0.0.1')
  await until(async () => files.listening, { what: 'the file server', timeoutMs: 20_000 })
  base = `http://127.0.0.1:${(files.address() as AddressInfo).port}`
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images'), allowedHosts: ['127.0.0.1'] },
      api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
      provision: { automatedClean: false },
      powerSync: { everySeconds: 0 },
    }),
    { log: silentLog, run: ipmitool, fleet: null, openStore: storeWith((made) => (store = made)) },
  )
  api = new ApiClient(join(dir, 'api.sock'))
})
afterAll(async () => {
  await conductor.stop()
  files.closeAllConnections()
  files.close()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  asked = []
  raw = []
})

const instance = () => ({
  kernel: `${base}/kernel`,
  kernel_checksum: sha256(KERNEL),
  ramdisk: `${base}/ramdisk`,
  ramdisk_checksum: sha256(RAMDISK),
  ramdisk_kernel_arguments: 'quiet rd.shell=0',
})

let bmcs = 0
async function available(deployInterface: string, instanceInfo: object): Promise<string> {
  const made = await api.ok('POST', '/v1/nodes', {
    driver: 'ipmi',
    deploy_interface: deployInterface,
    driver_info: { ipmi_address: `192.0.2.${(bmcs += 1)}`, ipmi_username: 'u', ipmi_password: 'p' },
    instance_info: instanceInfo,
  })
  const uuid = String(made.uuid)
  await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
  await waitFor(uuid, 'manageable')
  await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' })
  await waitFor(uuid, 'available')
  return uuid
}

const waitFor = (uuid: string, ...states: string[]) => waitForState(api, uuid, states)

/** The record as it is stored. */
const stored = async (uuid: string) => (await store.node(uuid)) as NodeRecord

/** Set System Boot Options, parameter 5: the flags of its first byte and the device of its second. */
const bootChoices = () =>
  raw.filter((bytes) => bytes.startsWith('0x00 0x08 0x05')).map((bytes) => bytes.split(' ').slice(3, 5).map(Number))

describe('ramdisk', () => {
  test('kernel and ramdisk are fetched and checked, the server is told to boot from the network always, and the node is active', async () => {
    const uuid = await available('ramdisk', instance())
    expect((await api.ok('GET', `/v1/nodes/${uuid}/validate`)).deploy).toEqual({ result: true })
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    expect(await waitFor(uuid, 'active', 'deploy failed')).toMatchObject({
      provision_state: 'active',
      power_state: 'power on',
      last_error: null,
    })
    const [flags = 0, device = 0] = bootChoices().at(-1) as number[]
    expect([(flags & 0x40) !== 0, (device >> 2) & 0xf]).toEqual([true, 1])

    const node = await stored(uuid)
    const instanceBoot = {
      kind: 'kernel',
      kernel: `sha256-${sha256(KERNEL)}`,
      ramdisk: `sha256-${sha256(RAMDISK)}`,
      args: ['quiet', 'rd.shell=0'],
    }
    expect(orderNow(node)).toEqual({ kind: 'instance', boot: instanceBoot })
    expect(node.workflow.bootToken).toBe('none')
    const boot = { architecture: 'x86_64', ramdisks: {} }
    const config = { boot, images: { store: join(dir, 'images') } } as unknown as Parameters<typeof servedFile>[1]
    const path = servedFile(`/files/${instanceBoot.kernel}`, config) as string
    expect((await readFile(path)).equals(KERNEL)).toBe(true)
    expect(servedFile('/files/../../data/secret.key', config)).toBeUndefined()
  })

  test('a second node with the same files fetches nothing; a rebuild and a delete leave what the record says', async () => {
    const uuid = await available('ramdisk', instance())
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    await waitFor(uuid, 'active')
    expect(asked).toEqual([])
    await api.ok('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'rebooting' })
    await waitFor(uuid, 'active')
    expect(orderNow(await stored(uuid)).kind).toBe('instance')
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'deleted' })
    expect(await waitFor(uuid, 'available')).toMatchObject({ power_state: 'power off', instance_info: {} })
    expect(orderNow(await stored(uuid)).kind).toBe('nothing')
  })

  test('a file with another checksum fails the deploy before the server is touched', async () => {
    const uuid = await available('ramdisk', { ...instance(), kernel_checksum: sha256(Buffer.from('another')) })
    raw = []
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    const node = await waitFor(uuid, 'active', 'deploy failed')
    expect(node).toMatchObject({ provision_state: 'deploy failed', power_state: 'power off' })
    expect(node.last_error).toContain('another SHA-256')
    expect([raw, orderNow(await stored(uuid)).kind]).toEqual([[], 'nothing'])
  })

  test.each([
    [{ kernel: undefined }, 'instance_info/kernel is missing'],
    [{ kernel: undefined, ramdisk: undefined }, 'instance_info/kernel and instance_info/ramdisk are missing'],
    [{ kernel_checksum: undefined }, 'instance_info/kernel_checksum is missing'],
    [{ ramdisk_checksum: 'd41d8cd98f00b204e9800998ecf8427e' }, 'a sha256 has 64 hexadecimal digits'],
    [{ kernel: 'gopher://x/y' }, 'instance_info/kernel'],
    [{ boot_iso: 'http://192.0.2.1/x.iso' }, 'either boot_iso, or kernel and ramdisk'],
    [{ ramdisk_kernel_arguments: 'quiet && shell' }, '"&&" would not reach the kernel unchanged'],
    [{ ramdisk_kernel_arguments: 'quiet || shell' }, '"||" would not reach'],
    [{ ramdisk_kernel_arguments: 'a=${net0/mac}' }, 'would not reach'],
    [{ ramdisk_kernel_arguments: 'quiet\nchain http://evil/' }, 'would not reach'],
    [{ ramdisk_kernel_arguments: 'a="b c"' }, 'would not reach'],
    [{ ramdisk_kernel_arguments: 'x'.repeat(2000) }, 'longer than'],
    [{ ramdisk_kernel_arguments: ['quiet'] }, 'is not a text'],
  ])('%j is told by validate and refused by deploy', async (change, says) => {
    const uuid = await available('ramdisk', { ...instance(), ...change })
    const { deploy } = await api.ok('GET', `/v1/nodes/${uuid}/validate`)
    expect(deploy).toEqual({ result: false, reason: expect.stringContaining(says) as string })
    const refused = await api.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    expect(refused.status).toBe(400)
    expect((await api.ok('GET', `/v1/nodes/${uuid}`)).provision_state).toBe('available')
  })

  test('steps of an agent are refused: none is booted', async () => {
    const uuid = await available('ramdisk', instance())
    const steps = [{ interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority: 90 }]
    const refused = await api.call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: 'active',
      deploy_steps: steps,
    })
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([400, expect.stringContaining('boots no agent')])
  })
})

describe('custom-agent', () => {
  test('it carries out the steps that are asked for, and no image is written that nobody asked for', async () => {
    const uuid = await available('custom-agent', {})
    expect((await api.ok('GET', `/v1/nodes/${uuid}/validate`)).deploy).toEqual({ result: true })
    const steps = [{ interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority: 80 }]
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active', deploy_steps: steps })
    await waitFor(uuid, 'wait call-back')
    expect((await stored(uuid)).workflow.steps.map(({ step }) => step)).toEqual(['erase_devices_metadata'])
    expect((await stored(uuid)).workflow.imageId).toBeNull()
  })

  test.each([
    [[], 'deploy_steps: the deploy interface custom-agent carries out the steps that are asked for'],
    [
      [{ interface: 'deploy', step: 'install_coreos', args: {}, priority: 80 }],
      'there is no deploy step deploy.install_coreos',
    ],
    [[{ interface: 'deploy', step: 'write_image', args: {}, priority: 80 }], 'instance_info/image_source is missing'],
  ])('steps %j are refused before anything is touched', async (steps, says) => {
    const uuid = await available('custom-agent', {})
    raw = []
    const refused = await api.call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: 'active',
      deploy_steps: steps,
    })
    expect([refused.status, JSON.stringify(refused.body), raw]).toEqual([400, expect.stringContaining(says), []])
    expect((await api.ok('GET', `/v1/nodes/${uuid}`)).provision_state).toBe('available')
  })

  test('validate names a ramdisk of another make, which is not used', async () => {
    const uuid = await available('custom-agent', {})
    const path = `/v1/nodes/${uuid}`
    await api.ok('PATCH', path, [{ op: 'add', path: '/driver_info/deploy_ramdisk', value: 'http://192.0.2.1/ipa' }])
    expect((await api.ok('GET', `${path}/validate`)).deploy).toEqual({
      result: true,
      reason: expect.stringContaining('driver_info/deploy_ramdisk is not used'),
    })
  })
})

describe('files', () => {
  const limits = { fileBytes: 400_000, unusedBytes: 600_000 }
  const guard = { allowedHosts: ['127.0.0.1'] }
  const faultOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'taken',
      (error: unknown) => (error instanceof Fault ? `${error.code}: ${error.detail}` : String(error)),
    )

  test('one that is too big, from a closed address, or with another checksum leaves nothing behind', async () => {
    const root = join(dir, 'files-1')
    const kept = new BootFiles(new ImageStore(root), systemClock, limits)
    const checksum = { algo: 'sha256', hex: sha256(RAMDISK) } as const
    expect(await faultOf(kept.import({ source: `${base}/ramdisk`, checksum }, { guard }))).toContain(
      'limits.images.bootFileBytes',
    )
    expect(await faultOf(kept.import({ source: `${base}/kernel`, checksum }, { guard }))).toContain('image.checksum')
    expect(await faultOf(kept.import({ source: `${base}/kernel` }, { guard: { allowedHosts: [] } }))).toContain(
      'images.allowedHosts',
    )
    expect(await faultOf(kept.import({ source: '/dev/zero' }, {}))).toContain('is not an ordinary file')
    expect(await readdir(root)).toEqual([])
  })

  test('headers go to the host of the source alone', async () => {
    const kept = new BootFiles(new ImageStore(join(dir, 'files-2')), systemClock, limits)
    const other = createServer((request, response) => {
      asked.push({ url: 'other', authorization: request.headers.authorization })
      response.end(KERNEL)
    }).listen(0, '127.0.0.1')
    await until(async () => other.listening, { what: 'the other server', timeoutMs: 20_000 })
    const to = encodeURIComponent(`http://127.0.0.1:${(other.address() as AddressInfo).port}/`)
    await kept
      .import({ source: `${base}/?to=${to}`, headers: { authorization: 'secret' } }, { guard })
      .finally(() => other.close())
    expect(asked.map(({ authorization }) => authorization)).toEqual(['secret', undefined])
  })

  test('files that no node boots go when there are too many bytes of them, the oldest first; used and fresh ones stay', async () => {
    const root = join(dir, 'files-3')
    const kept = new BootFiles(new ImageStore(root), systemClock, limits)
    const ids: string[] = []
    for (const letter of 'abcd') {
      await writeFile(join(dir, letter), Buffer.alloc(250_000, letter))
      ids.push(await kept.import({ source: join(dir, letter) }, {}))
    }
    const [a = '', b = '', c = '', d = ''] = ids
    const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000)
    for (const [id, hours] of [
      [a, 9],
      [b, 8],
      [c, 7],
    ] as const)
      await utimes(join(root, 'boot', id), ago(hours), ago(hours))
    await kept.sweep(new Set([a]))
    expect((await readdir(join(root, 'boot'))).sort()).toEqual([a, c, d].sort())
  })
})
