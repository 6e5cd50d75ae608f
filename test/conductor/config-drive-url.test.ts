/** Config drives by URL, as Bifrost gives them: which are fetched, in which forms, and what is refused before anything
 *  is called. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { allowedUrl } from '../../conductor/outbound/allow-list.ts'
import { getAllowed } from '../../conductor/outbound/get.ts'
import type { Store } from '../../conductor/store/port.ts'
import { until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plain, faultOf, type Answer } from './client.ts'
import { storeWith } from './store-with.ts'

/** As much of an ISO 9660 image as anybody looks at: the identifier of its first volume descriptor. */
const iso = Buffer.alloc(40_000, 'config drive ')
iso.write('CD001', 32_769, 'latin1')
const packed = gzipSync(iso)

let dir = ''
let own: Conductor
let store: Store
let server: Server
let origin = ''
let asked: string[] = []
let full = false

const answers: Record<string, () => { status?: number; headers?: Record<string, string>; body?: Buffer | string }> = {
  // What Bifrost serves: one line of base64.
  '/drives/configdrive-1.iso.gz': () => ({ body: packed.toString('base64') }),
  '/drives/lines': () => ({ body: `${packed.toString('base64').replace(/.{76}/g, '$&\r\n')}\n` }),
  '/drives/gzip': () => ({ body: packed }),
  '/drives/iso': () => ({ body: iso }),
  '/drives/iso.b64': () => ({ body: iso.toString('base64') }),
  '/drives/moved': () => ({ status: 302, headers: { location: '/drives/gzip' } }),
  '/drives/away': () => ({ status: 302, headers: { location: '/secret' } }),
  '/drives/metadata': () => ({ status: 302, headers: { location: 'http://169.254.169.254/latest/user-data' } }),
  '/drives/file': () => ({ status: 302, headers: { location: 'file:///etc/shadow' } }),
  '/drives/round': () => ({ status: 302, headers: { location: '/drives/round' } }),
  '/drives/html': () => ({ body: '<html>Index of /drives</html>' }),
  '/drives/text.gz': () => ({ body: gzipSync('no image') }),
  '/drives/cut.gz': () => ({ body: packed.subarray(0, packed.length - 20) }),
  '/drives/empty': () => ({ body: '' }),
  '/secret': () => ({ body: packed }),
}

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const { status = 200, headers = {}, body = '' } = answers[request.url ?? '']?.() ?? { status: 404 }
    response.writeHead(status, headers).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  dir = await mkdtemp(join(tmpdir(), 'rackward-drive-url-'))
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    provision: { configDriveUrls: [`${origin}/drives/`] },
    fake: { delaySeconds: 0.01 },
  })
  const openStore = storeWith(
    (real: Store): Store =>
      (store = new Proxy(real, {
        get: (target, key) => {
          if (full && key === 'addConfigDrive')
            return () => Promise.reject(new Fault('store.broken', 'the disk is full'))
          const value = Reflect.get(target, key) as unknown
          return typeof value === 'function' ? (value.bind(target) as unknown) : value
        },
      })),
  )
  own = await startConductor(config, { log: silentLog, openStore })
})
beforeEach(() => {
  asked = []
  full = false
})
afterAll(async () => {
  await own.stop()
  server.closeAllConnections()
  server.close()
  await rm(dir, { recursive: true })
})

const call = (method: string, path: string, body?: unknown) =>
  plain(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, own.addresses[0] as string)
const textOf = (answer: Answer) => (answer.status < 400 ? '' : faultOf(answer).faultstring)
const reaches = (uuid: string, wanted: string) =>
  until(
    async () => {
      const node = (await call('GET', `/v1/nodes/${uuid}`)).body
      return node.provision_state === wanted && node.reservation === null ? true : undefined
    },
    { what: wanted, timeoutMs: 20_000, everyMs: 10 },
  )
const available = async (): Promise<string> => {
  const { uuid } = (await call('POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  for (const [target, to] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
    await reaches(uuid, to)
  }
  return uuid
}
const deploy = (uuid: string, configdrive: string) =>
  call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active', configdrive })
const stored = async (uuid: string): Promise<Buffer | null> => {
  const drive = (await store.node(uuid))?.configDrive
  return drive ? gunzipSync((await store.configDrive(uuid, drive)) as Buffer) : null
}

test.each(['configdrive-1.iso.gz', 'lines', 'gzip', 'iso', 'iso.b64', 'moved'])(
  'the config drive /drives/%s is stored before the request is accepted',
  async (name) => {
    const uuid = await available()
    expect(textOf(await deploy(uuid, `${origin}/drives/${name}`))).toBe('')
    expect((await stored(uuid))?.equals(iso)).toBe(true)
    await reaches(uuid, 'active')
  },
)

describe('what cannot be used leaves the node as it was', () => {
  test.each([
    ['away', 'redirects to http://127.0.0.1:PORT/secret, which is below none of the prefixes'],
    ['metadata', 'redirects to http://169.254.169.254/latest/user-data, which is below none of the prefixes'],
    ['file', 'redirects to file:///etc/shadow, which is below none of the prefixes'],
    ['round', 'too many redirects'],
    ['missing', 'the server answered 404'],
    ['html', 'neither an ISO 9660 image, nor gzip or base64'],
    ['text.gz', 'holds no ISO 9660 image'],
    ['cut.gz', 'cannot be unpacked'],
    ['empty', 'neither an ISO 9660 image'],
  ])('/drives/%s: %s', async (name, why) => {
    const uuid = await available()
    const before = await store.node(uuid)
    const answer = await deploy(uuid, `${origin}/drives/${name}`)
    expect([answer.status, textOf(answer)]).toEqual([
      400,
      expect.stringContaining(why.replace('PORT', new URL(origin).port)),
    ])
    expect(textOf(answer)).toMatch(/^configdrive: /)
    expect(asked).not.toContain('/secret')
    expect(await store.node(uuid)).toMatchObject({
      provisionState: 'available',
      configDrive: null,
      version: before?.version,
    })
  })

  test('nor does one that cannot be stored', async () => {
    const uuid = await available()
    full = true
    expect((await deploy(uuid, `${origin}/drives/gzip`)).status).toBe(503)
    expect(await store.node(uuid)).toMatchObject({ provisionState: 'available', configDrive: null })
  })
})

test.each([
  ['another path', '/secret'],
  ['a path beside the prefix', '/drives-of-others/x'],
  ['dots', '/drives/../secret'],
  ['encoded dots', '/drives/%2e%2e/secret'],
  ['an encoded slash', '/drives/..%2fsecret'],
  ['a backslash', '/drives/..\\secret'],
])('%s is refused before anything is called', async (_, path) => {
  const uuid = await available()
  const answer = await deploy(uuid, `${origin}${path}`)
  expect([answer.status, asked]).toEqual([400, []])
})

test.each([
  'http://127.0.0.1:1/drives/x',
  'https://127.0.0.1/drives/x',
  'ftp://127.0.0.1/drives/x',
  'file:///drives/x',
  'http://user:secret@127.0.0.1/drives/x',
  'http://[::ffff:127.0.0.1]/drives/x',
  'http://',
])('the URL %s is refused, and its password is not told', async (url) => {
  const uuid = await available()
  const answer = await deploy(uuid, url)
  expect(answer.status).toBe(400)
  expect(textOf(answer)).toMatch(/^configdrive: /)
  expect(textOf(answer)).not.toContain('secret')
})

test('a request that will be refused anyway fetches nothing', async () => {
  const { uuid } = (await call('POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  expect((await deploy(uuid, `${origin}/drives/gzip`)).status).toBe(400)
  expect(asked).toEqual([])
})

test('in instance_info a URL is refused, and the refusal says where one is taken', async () => {
  const { uuid } = (await call('POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  const patch = [{ op: 'add', path: '/instance_info/configdrive', value: `${origin}/drives/gzip` }]
  expect(textOf(await call('PATCH', `/v1/nodes/${uuid}`, patch))).toContain(
    'a URL is taken in the request that deploys',
  )
})

test('without a prefix no URL is taken', () => {
  const none = { key: 'provision.configDriveUrls', prefixes: [] }
  expect(() => allowedUrl('http://192.0.2.1/x', none)).toThrow(
    'URLs are not supported here, because provision.configDriveUrls lists no prefix',
  )
})

test.each([
  ['HTTP://Drives.Example:80/a/./b', 'http://drives.example/a', true],
  ['http://drives.example/a', 'http://drives.example/a', true],
  ['http://drives.example/ab', 'http://drives.example/a', false],
  ['http://drives.example:8080/a', 'http://drives.example/a', false],
  ['http://drives.example./a', 'http://drives.example/a', false],
  ['http://2130706433:8080/x', 'http://127.0.0.1:8080/', true],
])('%s below %s: %s', (url, prefix, allowed) => {
  const look = () => allowedUrl(url, { key: 'k', prefixes: [prefix] })
  if (allowed) expect(look).not.toThrow()
  else expect(look).toThrow('below none of the prefixes of k')
})

test('a listed name that means this machine, or the metadata service of a cloud, is not called', async () => {
  for (const address of ['127.0.0.1', '169.254.169.254', '::1']) {
    const lookup = ((_: string, __: unknown, done: (...found: unknown[]) => void) =>
      done(null, [{ address, family: address.includes(':') ? 6 : 4 }])) as never
    const { port } = new URL(origin)
    const list = { key: 'provision.configDriveUrls', prefixes: [`http://drives.example:${port}/`] }
    const got = getAllowed(`http://drives.example:${port}/secret`, {
      list,
      lookup,
      signal: AbortSignal.timeout(5_000),
      maxBytes: 1000,
    })
    await expect(got).rejects.toThrow('is on this machine or on a link-local address')
  }
  expect(asked).toEqual([])
})

test.each(['ftp://x/', 'http://u:p@x/', 'http://x/?q', 'http://x/#f', '/drives'])('%s is no prefix', (prefix) =>
  expect(Config.shape.provision.safeParse({ configDriveUrls: [prefix] }).success).toBe(false),
)
