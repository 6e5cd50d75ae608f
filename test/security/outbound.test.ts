/** Servers that the conductor fetches a config drive from, and that want to hold it up or to fill its memory. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGzip, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { faultOf } from '../conductor/client.ts'
import { healthWatch, quantile, Victim } from './victim.ts'

const MIB = 1024 * 1024
/** Long enough for a busy machine, short enough for a test. */
const SECONDS = 3
const DOWNLOADS = 3

let victim: Victim
let server: Server
let origin = ''
let open = 0
let mostOpen = 0
let bomb: Buffer

/** 2 GiB of zeros. */
async function makeBomb(): Promise<Buffer> {
  const gzip = createGzip({ level: 9 })
  const zeros = Buffer.alloc(8 * MIB)
  const parts: Buffer[] = []
  gzip.on('data', (chunk: Buffer) => parts.push(chunk))
  for (let i = 0; i < 256; i += 1) if (!gzip.write(zeros)) await new Promise((resolve) => gzip.once('drain', resolve))
  await new Promise<void>((resolve) => gzip.on('end', resolve).end())
  return Buffer.concat(parts)
}

const endless = (response: ServerResponse, chunk: Buffer): void => {
  if (response.destroyed) return
  if (response.write(chunk)) setImmediate(() => endless(response, chunk))
  else response.once('drain', () => endless(response, chunk))
}

const behave: Record<string, (response: ServerResponse) => void> = {
  '/endless': (response) => endless(response.writeHead(200), Buffer.alloc(64 * 1024, 'QUJD')),
  '/huge': (response) => response.writeHead(200, { 'content-length': String(1024 ** 4) }).flushHeaders(),
  '/silent': () => undefined,
  '/headers': (response) => response.writeHead(200).flushHeaders(),
  '/trickle': (response) => {
    response.writeHead(200)
    const drip = setInterval(() => response.write('Q'), 100)
    response.on('close', () => clearInterval(drip))
  },
  '/bomb.gz': (response) => response.end(bomb),
  '/bomb.b64': (response) => response.end(bomb.toString('base64')),
  '/bomb-in-bomb': (response) => response.end(gzipSync(bomb)),
}

beforeAll(async () => {
  bomb = await makeBomb()
  server = createServer((request, response) => {
    open += 1
    mostOpen = Math.max(mostOpen, open)
    response.on('close', () => (open -= 1))
    behave[request.url ?? '']?.(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  victim = await Victim.start({
    config: {
      provision: { automatedClean: false, configDriveUrls: [origin] },
      limits: { api: { configDriveSeconds: SECONDS, configDriveDownloads: DOWNLOADS } },
    },
  })
}, 60_000)
beforeEach(() => (mostOpen = 0))
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await victim?.remove()
})

async function available(): Promise<string> {
  const { uuid } = (await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ]) {
    await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
    const there = async () => {
      const node = (await victim.call('GET', `/v1/nodes/${uuid}`)).body
      return node.provision_state === state && node.reservation === null
    }
    await until(there, { what: `${state}`, timeoutMs: 20_000, everyMs: 20 })
  }
  return uuid
}
const deploy = (uuid: string, path: string) =>
  victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active', configdrive: `${origin}${path}` })

test.each([
  ['/endless', 'has more than 67108864 bytes'],
  ['/huge', 'has more than 67108864 bytes'],
  ['/silent', 'did not come within 3 s'],
  ['/headers', 'did not come within 3 s'],
  ['/trickle', 'did not come within 3 s'],
  ['/bomb.gz', 'the ISO has more than 67108864 bytes'],
  ['/bomb.b64', 'the ISO has more than 67108864 bytes'],
  ['/bomb-in-bomb', 'holds no ISO 9660 image'],
])('%s is refused: %s', async (path, why) => {
  const uuid = await available()
  const beforeBytes = await victim.rssBytes()
  const watch = healthWatch(victim)
  const answer = await deploy(uuid, path)
  const times = await watch.stop()
  expect([answer.status, faultOf(answer).faultstring]).toEqual([400, expect.stringContaining(why)])
  expect((await victim.call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({ provision_state: 'available' })
  // A download in pieces and whole, and what the collector has not taken yet; not the gigabytes that were offered.
  expect((await victim.rssBytes()) - beforeBytes).toBeLessThan(400 * MIB)
  expect(quantile(times, 0.95)).toBeLessThan(2_000)
  await until(() => open === 0, { what: 'the connection to end', timeoutMs: 20_000 })
})

test('many requests at once are a few downloads at a time, and an answer for each', async () => {
  const uuid = await available()
  const watch = healthWatch(victim)
  const answers = await Promise.all(Array.from({ length: 80 }, () => deploy(uuid, '/silent')))
  const times = await watch.stop()
  const counts = new Map<number, number>()
  for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1)
  // Each that waits has its deadline from when it came; what is more than the line is long is sent away.
  expect([...counts.keys()].toSorted()).toEqual([400, 503])
  expect(mostOpen).toBeLessThanOrEqual(DOWNLOADS)
  expect(quantile(times, 0.95)).toBeLessThan(2_000)
})
