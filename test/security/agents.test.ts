/** Attacks on the port that agents call, without a token: streams that never end, bodies without a session, paths that
 *  are none; and a console whose user types without reading. */
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import WebSocket from 'ws'
import { until } from '../../kit/clock.ts'
import { activeNode, fence, reached } from './flood.ts'
import { heldBytes } from './held.ts'
import { freePort } from '../kit/free-port.ts'
import { basic, healthWatch, MAX_SILENCE_MS, Victim } from './victim.ts'

const MIB = 1024 * 1024
let victim: Victim
let url = ''
const sessions: ClientHttp2Session[] = []

beforeAll(async () => {
  const port = await freePort()
  url = `https://127.0.0.1:${port}`
  victim = await Victim.start({
    users: { root: { role: 'admin' } },
    config: {
      agent: { address: '127.0.0.1', port },
      limits: { agents: { bodySeconds: 2, connectionsPerAddress: 4 } },
    },
  })
  await activeNode(victim, 'root')
}, 60_000)
afterAll(async () => {
  for (const session of sessions) session.destroy()
  await victim?.remove()
})

function dial(localAddress?: string): ClientHttp2Session {
  const session = connect(url, { rejectUnauthorized: false, ...(localAddress ? { localAddress } : {}) })
  session.on('error', () => undefined)
  sessions.push(session)
  return session
}

function ask(
  session: ClientHttp2Session,
  method: string,
  path: string,
  headers: Record<string, string> = {},
): ClientHttp2Stream {
  const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: method === 'GET' })
  stream.on('error', () => undefined)
  return stream
}
const statusOf = (stream: ClientHttp2Stream) =>
  new Promise<number>((resolve) => {
    stream.on('response', (headers) => resolve(Number(headers[':status'])))
    stream.on('close', () => resolve(0))
    stream.resume()
  })

test('a body without a session is refused before it is read; what is no path is 404', async () => {
  const session = dial()
  const endless = ask(session, 'POST', '/agent/v1/report', { authorization: 'Bearer x' })
  endless.write(Buffer.alloc(1000))
  expect(await statusOf(endless)).toBe(401)
  for (const path of ['//', '/', '//x', '/?']) expect(await statusOf(ask(session, 'GET', path))).toBe(404)
  const large = ask(session, 'POST', '/agent/v1/session')
  large.write(Buffer.alloc(20_000))
  expect(await statusOf(large)).toBe(413)
  expect(await reached(victim, 'agents.sessionBodyBytes', 'root')).toBe(1)
  const junk = ask(session, 'POST', '/agent/v1/session')
  junk.end('[')
  expect(await statusOf(junk)).toBe(400)
})

test('streams that never end are few, hold little, and are ended with their connections', async () => {
  await until(() => sessions.every(({ destroyed }) => destroyed), {
    what: 'the unproven connection to be ended',
    timeoutMs: 20_000,
  })
  const before = await heldBytes(victim)
  const openBefore = await victim.descriptors()
  const watch = healthWatch(victim)
  const streams: ClientHttp2Stream[] = []
  const flood = Array.from({ length: 12 }, (_, i) => dial(`127.0.3.${1 + (i % 3)}`))
  for (const session of flood)
    for (let i = 0; i < 100; i += 1) {
      const stream = ask(session, 'POST', i % 2 === 0 ? '/agent/v1/session' : '/agent/v1/report', {
        authorization: 'Bearer x',
      })
      stream.write(Buffer.alloc(60_000))
      streams.push(stream)
    }
  await fence(victim, 'root')
  await until(async () => (await victim.descriptors()) > openBefore + 8, {
    what: 'the connections to be there',
    timeoutMs: 30_000,
  })
  await until(async () => (await victim.descriptors()) < openBefore + 5, {
    what: 'the connections to be ended',
    timeoutMs: 20_000,
  })
  expect((await heldBytes(victim)) - before).toBeLessThan(20 * MIB)
  expect((await watch.stop()).at(-1)).toBeLessThan(MAX_SILENCE_MS)
})

test('an address has so many connections', async () => {
  const many = Array.from({ length: 8 }, () => dial('127.0.3.9'))
  await until(() => many.filter(({ destroyed }) => destroyed).length >= 4, {
    what: 'four to be refused',
    timeoutMs: 30_000,
  })
  expect(await reached(victim, 'agents.connectionsPerAddress', 'root')).toBeGreaterThanOrEqual(4)
})

test('who types into a console and does not read fills no memory', async () => {
  const before = await heldBytes(victim)
  const ws = new WebSocket(`${victim.base.replace('http', 'ws')}/rackward/v1/nodes/victim/console`, {
    headers: { authorization: basic('root') },
  })
  await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject))
  ws.pause()
  for (let i = 0; i < 2_000; i += 1) ws.send(Buffer.alloc(60_000, 97))
  let waiting = 0
  // It has stopped taking them when what waits here stays as it is.
  await until(() => ws.bufferedAmount === waiting || !((waiting = ws.bufferedAmount) >= 0), {
    what: 'a standstill',
    timeoutMs: 20_000,
    everyMs: 500,
  })
  expect(ws.bufferedAmount).toBeGreaterThan(90 * MIB)
  expect((await heldBytes(victim)) - before).toBeLessThan(20 * MIB)
  expect(await victim.healthy()).toBe(true)
  ws.terminate()
})

test('nothing of this was an error of the conductor', async () => {
  expect(victim.alive).toBe(true)
  expect(
    (await victim.log()).split('\n').filter((line) => line.includes('"level":50') || line.includes('"stack"')),
  ).toEqual([])
})
