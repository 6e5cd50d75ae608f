/** The boot ISO over real sockets: whole, by ranges, by HEAD; the region of each boot laid over it; who has no name
 *  gets nothing; bounded. */
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { get, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { ARGS_BYTES, bootArgs, emptyArgs } from '../../images/boot-args.ts'
import { bootHttp } from '../../conductor/boot/http.ts'
import { BootMedia } from '../../conductor/boot/media.ts'
import { mediaPath } from '../../conductor/boot/media-http.ts'
import type { MediaBoot } from '../../conductor/boot/media-orders.ts'
import { mediaName } from '../../conductor/boot/token.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { listen, urlOf } from '../../kit/listen.ts'
import { runOk } from '../../kit/run.ts'

const KEY = Buffer.alloc(32, 1)
const NODE = '6f1b2c3d-0000-4000-8000-000000000001'
const BOOT: MediaBoot = {
  generation: 3,
  system: 'deploy',
  network: { mac: '52:54:00:00:00:01', ip: '192.0.2.20/24', gateway: null, mtu: null },
}
const args = (uuid: string, boot: MediaBoot) => [`rackward.token=${uuid}.${boot.generation}`]
const none = {
  script: () => undefined,
  autoexec: () => undefined,
  grubStart: () => Buffer.of(),
  file: () => undefined,
  fetched: () => undefined,
  sending: () => () => undefined,
  refused: () => undefined,
  said: () => undefined,
  answered: () => undefined,
  broke: () => undefined,
}
const limits = { all: 50, perAddress: 50, idleMs: 5_000, sendBytes: 4_000_000, onRefused: () => undefined }
const nameOf = (boot: { nodeUuid: string; generation: number }) => mediaName(KEY, boot)

let dir = ''
let iso = ''
let server: Server
let media: BootMedia
let asked: string[] = []
let minted = 0
let port = 0

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-media-'))
  iso = join(dir, 'boot.iso')
  await runOk(['mkdir', '-p', join(dir, 'tree/rackward')], { timeoutMs: 30_000 })
  await writeFile(join(dir, 'tree/rackward/args.cfg'), emptyArgs())
  await writeFile(join(dir, 'tree/kernel'), Buffer.alloc(3_000_000, 'kernel'))
  await runOk(['xorriso', '-as', 'mkisofs', '-quiet', '-R', '-o', iso, join(dir, 'tree')], { timeoutMs: 60_000 })
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await rm(dir, { recursive: true, force: true })
})

beforeEach(async () => {
  server?.closeAllConnections()
  server?.close()
  asked = []
  minted = 0
  media = new BootMedia({
    iso,
    clock: systemClock,
    requestsPerImage: 2,
    nameOf,
    argsOf: (uuid, boot) => {
      minted += 1
      return args(uuid, boot)
    },
    onUnreadable: (nodeUuid, why) => void asked.push(`${nodeUuid} ${why}`),
    onAsked: ({ nodeUuid }, { requests, bytes }) => void asked.push(`${nodeUuid} ${requests} ${bytes}`),
  })
  media.apply([{ nodeUuid: NODE, boot: BOOT }], true)
  server = await listen(bootHttp({ ...none, media }, limits), { port: 0, host: '127.0.0.1' })
  port = (server.address() as AddressInfo).port
})

const path = (generation = BOOT.generation) => mediaPath(nameOf({ nodeUuid: NODE, generation }))

interface Got {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly bytes: Buffer
}

/** As BMCs do it: without a User-Agent, and from whatever address. */
function fetchIso(
  at: string,
  { method = 'GET', headers = {}, from = '127.0.0.1' }: { method?: string; headers?: object; from?: string } = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: at, method, localAddress: from, headers: { ...headers } }
    const sent = httpRequest(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(chunks) }),
      )
      response.on('error', reject)
    })
    sent.on('error', reject).end()
  })
}

/** What a boot must read: the template with its own region in place of the empty one. */
async function expected(boot = BOOT): Promise<Buffer> {
  const bytes = await readFile(iso)
  const offset = bytes.indexOf(emptyArgs())
  bootArgs({ system: boot.system, args: args(NODE, boot) }).copy(bytes, offset)
  return bytes
}

test('HEAD tells size and ranges, GET gives the whole image with the region of this boot', async () => {
  const whole = await expected()
  const head = await fetchIso(path(), { method: 'HEAD', from: '127.0.4.7' })
  expect(head).toMatchObject({
    status: 200,
    headers: { 'content-length': String(whole.length), 'accept-ranges': 'bytes' },
  })
  expect(head.bytes.length).toBe(0)
  const got = await fetchIso(path(), { from: '127.0.4.8' })
  expect(got.status).toBe(200)
  expect(got.bytes.equals(whole)).toBe(true)
  expect(await readFile(iso).then((bytes) => bytes.includes(emptyArgs()))).toBe(true)
})

test('odd ranges across the edges of the region give the same bytes, of one token', async () => {
  const whole = await expected()
  const at = whole.indexOf(bootArgs({ system: 'deploy', args: args(NODE, BOOT) }))
  const ranges = [
    [0, 0],
    [at - 1, at],
    [at - 5, at + ARGS_BYTES + 5],
    [at + 7, at + 130],
    [at + ARGS_BYTES - 1, at + ARGS_BYTES],
    [whole.length - 3, whole.length + 50],
  ] as const
  for (const [start, end] of ranges) {
    const got = await fetchIso(path(), { headers: { range: `bytes=${start}-${end}` } })
    const last = Math.min(end, whole.length - 1)
    expect(got.status).toBe(206)
    expect(got.headers['content-range']).toBe(`bytes ${start}-${last}/${whole.length}`)
    expect(got.bytes.equals(whole.subarray(start, last + 1))).toBe(true)
  }
  const tail = await fetchIso(path(), { headers: { range: 'bytes=-2048' } })
  expect(tail.bytes.equals(whole.subarray(-2048))).toBe(true)
  expect(minted).toBe(1)
})

test('a range outside is refused; several ranges, a malformed one and another version give the whole image', async () => {
  const { length } = await expected()
  const outside = await fetchIso(path(), { headers: { range: `bytes=${length}-` } })
  expect(outside).toMatchObject({ status: 416, headers: { 'content-range': `bytes */${length}` } })
  const { etag } = (await fetchIso(path(), { method: 'HEAD' })).headers
  const status = async (headers: object) => (await fetchIso(path(), { method: 'HEAD', headers })).status
  expect(await status({ range: 'bytes=0-1,5-6' })).toBe(200)
  expect(await status({ range: 'sectors=0-1' })).toBe(200)
  expect(await status({ range: 'bytes=0-1', 'if-range': '"other"' })).toBe(200)
  expect(await status({ range: 'bytes=0-1', 'if-range': etag })).toBe(206)
})

test('another name, another boot, and an image that is no longer ordered are not there', async () => {
  expect((await fetchIso(path(4))).status).toBe(404)
  expect((await fetchIso(mediaPath('A'.repeat(43)))).status).toBe(404)
  expect((await fetchIso('/media/boot.iso')).status).toBe(404)
  expect((await fetchIso(path(), { method: 'POST' })).status).toBe(405)
  media.apply([{ nodeUuid: NODE, boot: null }], false)
  expect((await fetchIso(path())).status).toBe(404)
  media.apply([{ nodeUuid: NODE, boot: { ...BOOT, generation: 4 } }], false)
  expect((await fetchIso(path())).status).toBe(404)
  expect((await fetchIso(path(4), { headers: { range: 'bytes=0-9' } })).status).toBe(206)
  expect(media.size).toBe(1)
  media.apply([], true)
  expect(media.size).toBe(0)
})

test('an order that is repeated changes nothing; the first request is told at once', async () => {
  await fetchIso(path(), { headers: { range: 'bytes=0-9' } })
  media.apply([{ nodeUuid: NODE, boot: { ...BOOT } }], true)
  await fetchIso(path(), { headers: { range: 'bytes=0-9' } })
  expect(minted).toBe(1)
  expect(asked).toEqual([`${NODE} 1 0`])
})

test('answers of one image at once are bounded, and free again when their readers leave', async () => {
  const readers = [1, 2].map(() => get({ host: '127.0.0.1', port, path: path() }))
  await Promise.all(
    readers.map(async (reader) => {
      const [response] = (await once(reader, 'response')) as [import('node:http').IncomingMessage]
      response.pause()
      response.on('error', () => undefined)
    }),
  )
  const refused = await fetchIso(path(), { method: 'HEAD' })
  expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
  for (const reader of readers) reader.on('error', () => undefined).destroy()
  await until(async () => (await fetchIso(path(), { method: 'HEAD' })).status === 200, {
    what: 'the places to be free',
    timeoutMs: 30_000,
  })
})

test.each([
  ['is no template', 'other.iso', 'no ISO 9660 image'],
  ['is not there', 'gone.iso', 'ENOENT'],
])('an image that %s is an error of that request alone, and is told of', async (_, name, why) => {
  const other = join(dir, name)
  if (name === 'other.iso') await writeFile(other, Buffer.alloc(100_000))
  const told: string[] = []
  const broken = new BootMedia({
    iso: other,
    clock: systemClock,
    requestsPerImage: 2,
    nameOf,
    argsOf: args,
    onAsked: () => undefined,
    onUnreadable: (uuid, reason) => void told.push(`${uuid}: ${reason}`),
  })
  broken.apply([{ nodeUuid: NODE, boot: BOOT }], true)
  const own = bootHttp({ ...none, media: broken }, limits)
  try {
    await listen(own, { port: 0, host: '127.0.0.1' })
    const ask = async () => (await fetch(`${urlOf(own)}${path()}`)).status
    // More often than it may be asked for at once: each refusal gives its place back.
    expect([await ask(), await ask(), await ask()]).toEqual([503, 503, 503])
    expect(told).toHaveLength(3)
    expect(told[0]).toContain(`${NODE}: `)
    expect(told[0]).toContain(why)
  } finally {
    own.close()
  }
})
