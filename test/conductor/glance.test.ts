/** Image sources that are UUIDs of Glance, against a Keystone and a Glance with the answers of real ones: what is
 *  fetched and checked, who gets which image, and where the token and the password never stand. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import type { Store } from '../../conductor/store/port.ts'
import { Glance, type GlanceAuth } from '../../images/glance.ts'
import { until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { gather } from '../../kit/gather.ts'
import { http } from '../../kit/http.ts'
import { KeystoneSession } from '../../kit/keystone.ts'
import type { Log } from '../../kit/log.ts'
import { obedientIpmitool } from '../fake/ipmitool.ts'
import { freePort } from '../kit/free-port.ts'
import { ApiClient } from '../lab/client.ts'
import { DISK, id, IMAGES, KERNEL, sha512 } from './glance-images.ts'
import { storeWith } from './store-with.ts'
import { waitForState } from './wait-state.ts'

const PASSWORD = 'glance-password-8642'
let dir = ''
let conductor: Conductor
let api: ApiClient
let store: Store
let server: Server
let base = ''
let tokens = 0
/** Only this token is taken. */
let good = ''
let logins: any[] = []
let asked: { path: string; token: unknown }[] = []
const logged: string[] = []
const log: Log = new Proxy({} as Log, {
  get: (_, name) => (name === 'child' ? () => log : (...what: unknown[]) => void logged.push(JSON.stringify(what))),
})
/** What changed the BMC. */
let bmc: string[] = []
const ipmitool = obedientIpmitool((text) => void bmc.push(text))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-glance-'))
  server = createServer((request, response) => {
    const answer = (status: number, body: unknown, headers = {}) =>
      response
        .writeHead(status, { 'content-type': 'application/json', ...headers })
        .end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
    const path = request.url ?? ''
    if (path === '/v3/auth/tokens')
      return void gather(request, 10_000).then((body) => {
        logins.push(JSON.parse(body.toString()))
        good = `token-${(tokens += 1)}-secret`
        const endpoints = [{ interface: 'internal', region: 'R1', region_id: 'R1', id: 'x', url: `${base}/image/` }]
        const token = {
          methods: ['password'],
          expires_at: new Date(Date.now() + 3_600_000).toISOString(),
          project: { id: 'p-service', name: 'service', domain: { id: 'default', name: 'Default' } },
          catalog: [{ type: 'image', name: 'glance', id: 'y', endpoints }],
        }
        answer(201, { token }, { 'x-subject-token': good })
      })
    asked.push({ path, token: request.headers['x-auth-token'] })
    if (request.headers['x-auth-token'] !== good) return void answer(401, { message: 'Authentication required' })
    const [, uuid = '', rest = ''] = /^\/image\/v2\/images\/([^/]+)(\/\w+)?$/.exec(path) ?? []
    const found = IMAGES[uuid]
    if (!found) return void answer(404, { message: 'No image found' })
    if (rest === '/file') return void answer(200, found.bytes, { 'content-type': 'application/octet-stream' })
    if (rest === '/members')
      return void answer(200, {
        members: [
          { member_id: 'p-b', status: 'accepted', image_id: uuid, schema: '/v2/schemas/member' },
          { member_id: 'p-c', status: 'pending', image_id: uuid, schema: '/v2/schemas/member' },
        ],
      })
    answer(200, found.meta)
  }).listen(0, '127.0.0.1')
  await until(async () => server.listening, { what: 'Glance', timeoutMs: 20_000 })
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await writeFile(join(dir, 'password'), `${PASSWORD}\n`, { mode: 0o600 })
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: {
        store: join(dir, 'images'),
        glance: {
          auth: {
            type: 'password',
            authUrl: `${base}/v3`,
            username: 'ironic',
            passwordFile: join(dir, 'password'),
            project: 'service',
          },
        },
      },
      api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
      provision: { automatedClean: false, effectTries: 1 },
      powerSync: { everySeconds: 0 },
    }),
    { log, run: ipmitool, fleet: null, openStore: storeWith((made) => (store = made)) },
  )
  api = new ApiClient(join(dir, 'api.sock'))
})
afterAll(async () => {
  await conductor.stop()
  server.closeAllConnections()
  server.close()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  asked = []
  logins = []
  bmc = []
})

let bmcs = 0
const waitFor = (uuid: string, ...states: string[]) => waitForState(api, uuid, states)
async function available(instanceInfo: object, more: object = {}): Promise<string> {
  const made = await api.ok('POST', '/v1/nodes', {
    driver: 'ipmi',
    driver_info: { ipmi_address: `192.0.2.${(bmcs += 1)}`, ipmi_username: 'u', ipmi_password: 'p' },
    instance_info: instanceInfo,
    ...more,
  })
  const uuid = String(made.uuid)
  for (const [target, to] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
    await waitFor(uuid, to)
  }
  bmc = []
  return uuid
}
const deploy = async (uuid: string) => {
  await api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
  return waitFor(uuid, 'wait call-back', 'active', 'deploy failed')
}

describe('a deploy', () => {
  test.each([id(1), `glance://${id(1)}`])('of %s fetches the image once, checks it, and goes on', async (source) => {
    const uuid = await available({ image_source: source })
    expect((await api.ok('GET', `/v1/nodes/${uuid}/validate`)).deploy).toEqual({ result: true })
    expect(await deploy(uuid)).toMatchObject({ provision_state: 'wait call-back', last_error: null })
    const { workflow } = (await store.node(uuid)) as NodeRecord
    expect(workflow.imageId).toBe(createHash('sha256').update(DISK).digest('hex'))
    expect(asked.every(({ path, token }) => token === good && !path.includes('token'))).toBe(true)
  })

  test('the second one asked Glance whether the image is still what it was, and fetched nothing', async () => {
    const uuid = await available({ image_source: id(1) })
    await deploy(uuid)
    expect(asked.map(({ path }) => path)).toEqual([`/image/v2/images/${id(1)}`])
  })

  test('a token that is refused is renewed', async () => {
    good = 'another'
    const uuid = await available({ image_source: id(1) })
    expect((await deploy(uuid)).provision_state).toBe('wait call-back')
    expect(logins).toHaveLength(1)
    expect(logins[0].auth).toMatchObject({
      identity: { methods: ['password'], password: { user: { name: 'ironic', password: PASSWORD } } },
      scope: { project: { name: 'service' } },
    })
  })

  test.each([
    [2, 'another SHA-512'],
    [3, 'is queued, not active'],
    [4, 'has no os_hash_value'],
    [5, 'has the disk format vmdk'],
    [6, 'declared as qcow2, but it is raw'],
    [7, 'has the container format ova'],
    [99, 'is not in Glance'],
  ])('of image %i fails before the server is touched: %s', async (n, says) => {
    const uuid = await available({ image_source: id(n) })
    const node = await deploy(uuid)
    expect([node.provision_state, node.last_error, bmc]).toEqual(['deploy failed', expect.stringContaining(says), []])
  })

  test('a ramdisk instance may be of images of Glance', async () => {
    const info = { kernel: id(8), ramdisk: `glance://${id(8)}` }
    const uuid = await available(info, { deploy_interface: 'ramdisk' })
    expect((await deploy(uuid)).provision_state).toBe('active')
    const file = `sha512-${sha512(KERNEL)}`
    expect(((await store.node(uuid)) as NodeRecord).instanceBoot).toMatchObject({ kernel: file, ramdisk: file })
  })

  test('neither the password nor a token is in the log, in a record or in an event', async () => {
    const events = await api.ok('GET', '/rackward/v1/events?limit=1000')
    const records = (await store.everyNode()).map((node) => JSON.stringify(node))
    const all = [...logged, ...records, JSON.stringify(events)].join('\n')
    expect(all).toContain('glance')
    expect(all).not.toContain(PASSWORD)
    expect(all).not.toMatch(/token-\d+-secret/)
  })
})

describe('who gets which image', () => {
  const signal = new AbortController().signal
  const faultOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'given',
      (error: unknown) => (error instanceof Fault ? error.code : String(error)),
    )
  const glance = (auth: GlanceAuth) => new Glance({ url: `${base}/image/v2`, auth, ca: undefined }, http)
  const session = (identity: ConstructorParameters<typeof KeystoneSession>[0]['identity']) =>
    new KeystoneSession(
      { authUrl: `${base}/v3/`, identity, ca: undefined },
      { http, wall: () => Date.now(), code: 'image.source' },
    )
  const credential = { method: 'application_credential', id: 'c1', secret: 's1' } as const

  test.each([
    [9, 'p-a', 'given'],
    [9, 'p-b', 'image.missing'],
    [9, null, 'given'],
    [10, 'p-a', 'given'],
    [10, 'p-b', 'given'],
    [10, 'p-c', 'image.missing'],
    [1, 'p-b', 'given'],
    [99, null, 'image.missing'],
  ] as const)('image %i for project %s: %s', async (n, project, said) => {
    const auth = { kind: 'keystone', session: session(credential), interface: 'internal', region: undefined } as const
    expect(await faultOf(glance(auth).image(id(n), project, signal))).toBe(said)
    expect(logins[0].auth.identity).toEqual({
      methods: ['application_credential'],
      application_credential: { id: 'c1', secret: 's1' },
    })
  })

  test('with HTTP Basic and without any login the request says so', async () => {
    const place = (auth: GlanceAuth) => glance(auth).place(id(1), signal)
    const source = `${base}/image/v2/images/${id(1)}/file`
    const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`
    expect(await place({ kind: 'none' })).toEqual({ source, headers: {}, ca: undefined })
    expect(await place({ kind: 'basic', username: 'u', password: 'p' })).toMatchObject({
      source,
      headers: { authorization },
    })
  })

  test('who may not log in, and a Glance that is away, are told as such', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    const away = new Glance({ url, auth: { kind: 'none' }, ca: undefined }, http)
    expect(await faultOf(away.image(id(1), null, signal))).toBe('image.source')
    const gone = new KeystoneSession(
      { authUrl: `${url}/v3`, identity: credential, ca: undefined },
      { http, wall: () => Date.now(), code: 'image.source' },
    )
    expect(await faultOf(gone.current(signal))).toBe('image.source')
  })
})
