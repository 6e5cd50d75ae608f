/** Attacks on the API's listener without a login: bombs, bodies that never end, connections that never ask, guesses.
 *  /healthz answers and a fence is carried out meanwhile. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { activeNode, fence, hold, reached, shoot } from './flood.ts'
import { heldBytes } from './held.ts'
import { basic, healthWatch, MAX_SILENCE_MS, Victim } from './victim.ts'

const MIB = 1024 * 1024
/** 16 KB that are 16 MB of empty lists. */
const BOMB = gzipSync(`[${'[],'.repeat(5_500_000)}[]]`)
const INSPECTION = '/v1/continue_inspection?node_uuid=00000000-0000-4000-8000-000000000000&agent_token=x'
const addresses = (count: number) => Array.from({ length: count }, (_, i) => `127.0.1.${i + 1}`)

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start({
    users: { root: { role: 'admin' }, late: { role: 'reader' } },
    rounds: 6,
    config: { limits: { api: { requestSeconds: 5, idleSeconds: 2, passwordQueue: 128 } } },
  })
  await activeNode(victim, 'root')
}, 60_000)
afterAll(() => victim?.remove())

test('a bomb of 16 KB is refused unread, by name and without; /healthz goes on', async () => {
  const watch = healthWatch(victim)
  const json = {
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    'openstack-api-version': 'baremetal latest',
  }
  const statuses = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      shoot(victim.base, i % 2 === 0 ? INSPECTION : '/v1/heartbeat/victim', {
        method: 'POST',
        headers: json,
        body: BOMB,
      }),
    ),
  )
  expect(new Set(statuses)).toEqual(new Set([404, 415]))
  // Who has a login may send gzip, up to the limit.
  const login = { ...json, authorization: basic('root') }
  expect(await shoot(victim.base, '/v1/nodes', { method: 'POST', headers: login, body: BOMB })).toBe(413)
  expect(await reached(victim, 'api.bodyBytes', 'root')).toBe(1)
  const times = await watch.stop()
  expect(times.at(-1)).toBeLessThan(MAX_SILENCE_MS)
})

test('bodies that never end hold no memory', async () => {
  const before = await heldBytes(victim)
  const head = `POST ${INSPECTION} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nOpenStack-API-Version: baremetal latest\r\nTransfer-Encoding: chunked\r\n\r\n`
  const chunk = Buffer.concat([Buffer.from('e0000\r\n'), Buffer.alloc(0xe0000, 0x20), Buffer.from('\r\n')])
  const held = await Promise.all(
    addresses(10).flatMap((from) =>
      Array.from({ length: 10 }, () => hold(victim.base, Buffer.concat([Buffer.from(head), chunk]), from)),
    ),
  )
  await until(() => held.filter(({ heard }) => heard().startsWith('HTTP/1.1 404')).length === held.length, {
    what: 'every one to be refused',
    timeoutMs: 30_000,
  })
  await fence(victim, 'root')
  expect((await heldBytes(victim)) - before).toBeLessThan(20 * MIB)
  await until(() => held.every(({ socket }) => socket.destroyed), {
    what: 'their connections to end',
    timeoutMs: 30_000,
  })
})

test('connections that never ask do not take what an honest client needs', async () => {
  await victim.end()
  await victim.restart({ descriptors: 400 })
  const held: Awaited<ReturnType<typeof hold>>[] = []
  for (const from of addresses(8))
    held.push(
      ...(await Promise.all(Array.from({ length: 100 }, () => hold(victim.base, 'GET /healthz HTTP/1.1\r\n', from)))),
    )
  const watch = healthWatch(victim)
  await fence(victim, 'root')
  expect(await victim.descriptors()).toBeLessThan(300)
  await watch.stop()
  expect(await victim.healthy()).toBe(true)
  expect(await reached(victim, 'api.connections', 'root')).toBeGreaterThan(100)
  expect(
    (await victim.log()).split('\n').filter((line) => line.includes('limits.api.connections')).length,
  ).toBeLessThan(4)
  await until(() => held.every(({ socket }) => socket.destroyed), { what: 'them to be ended', timeoutMs: 30_000 })
})

test('slow headers, slow bodies and whoever reads no answer are ended', async () => {
  const login = `Authorization: ${basic('root')}\r\n`
  const wide = 'x'.repeat(500_000)
  for (let i = 0; i < 12; i += 1)
    await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', extra: { wide } }, { user: 'root' })
  const silent = await hold(victim.base, '')
  const body = await hold(victim.base, `POST /v1/nodes HTTP/1.1\r\nHost: x\r\n${login}Content-Length: 100\r\n\r\n{`)
  const reader = await hold(victim.base, `GET /v1/nodes/detail HTTP/1.1\r\nHost: x\r\n${login}\r\n`)
  reader.socket.pause()
  const idle = await hold(victim.base, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  const long = await hold(victim.base, `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)
  await until(() => [silent, body, idle, long].every(({ socket }) => socket.destroyed), {
    what: 'them to be ended',
    timeoutMs: 30_000,
  })
  expect([idle.heard(), long.heard()]).toEqual([
    expect.stringMatching(/^HTTP\/1.1 200/),
    expect.stringMatching(/^HTTP\/1.1 431/),
  ])
  reader.socket.resume()
  await until(() => reader.socket.destroyed, { what: 'the reader to be ended', timeoutMs: 20_000 })
  expect(reader.heard().length).toBeLessThan(6_000_000)
})

test('700 wrong passwords from 50 addresses: others log in, /healthz answers, a fence is carried out', async () => {
  await victim.end()
  await victim.restart()
  const watch = healthWatch(victim)
  const guesses = addresses(50).flatMap((from, i) =>
    Array.from({ length: 14 }, (_, j) =>
      shoot(victim.base, '/v1/nodes', { from, headers: { authorization: basic(`user${i}`, `guess ${j}`) } }),
    ),
  )
  const login = shoot(victim.base, '/v1/nodes', { headers: { authorization: basic('late') } })
  await fence(victim, 'root')
  const statuses = await Promise.all(guesses)
  expect(await login).toBe(200)
  // On a busy machine a guess can lose its connection to the time limits.
  const lost = statuses.filter((status) => status === 0)
  expect([...new Set(statuses)].filter((status) => status !== 0).toSorted()).toEqual([401, 429])
  expect(lost.length).toBeLessThan(statuses.length / 2)
  const times = await watch.stop()
  expect(times.at(-1)).toBeLessThan(MAX_SILENCE_MS)
  expect(await reached(victim, 'api.passwordQueue', 'root')).toBeGreaterThan(0)
})

test('nothing of this ended the process or was an error of its own', async () => {
  expect(victim.alive).toBe(true)
  expect((await victim.log()).split('\n').filter((line) => line.includes('"level":50'))).toEqual([])
})
