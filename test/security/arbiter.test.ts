/** Attacks on the API of an arbiter without a login: bodies before credentials, connections that never ask, guesses,
 *  names of other sites. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import bcrypt from 'bcryptjs'
import { afterEach, expect, test } from 'vitest'
import { startMeshApi } from '../../host-agent/api/server.ts'
import { AgentConfig } from '../../host-agent/config.ts'
import type { Consul } from '../../kit/consul.ts'
import { monotonicClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { hold, shoot } from './flood.ts'
import { basic } from './victim.ts'

const POLICY = '/rackward/v1/mesh/policy'
const JSON_TYPE = { 'content-type': 'application/json' }
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** An API with the user `root`; the arbiter behind it knows no host. */
async function arbiter(options: { limits?: object; auth?: object } = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-arbiter-'))
  cleanups.push(() => rm(dir, { recursive: true }))
  const file = join(dir, 'htpasswd')
  await writeFile(file, `root:${await bcrypt.hash('root-password', 4)}\n`)

  const config = AgentConfig.parse({
    name: 'a1',
    role: 'arbiter',
    planes: { management: { address: '127.0.0.1' } },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: options.auth ?? { strategy: 'http_basic', file } },
    limits: { api: options.limits ?? {} },
  })
  const core = { name: 'a1', leads: () => true, settled: true } as unknown as Parameters<typeof startMeshApi>[1]['core']
  const consul = { get: async () => undefined } as unknown as Consul
  const api = await startMeshApi(config, {
    core,
    api: null,
    consul,
    clock: monotonicClock,
    log: silentLog,
    pages: () => [],
  })
  cleanups.push(() => api.stop())
  return api.addresses[0] as string
}

test('nothing of a body is awaited or parsed before its sender has proven who it is', async () => {
  const base = await arbiter()
  const head = `PUT ${POLICY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`
  const endless = await hold(base, `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n[[[[[\r\n`)
  const huge = await hold(base, `${head}Content-Length: 1000000000\r\n\r\n`)
  for (const { heard, socket } of [endless, huge]) {
    await until(() => heard().startsWith('HTTP/1.1 401'), { what: 'a refusal', timeoutMs: 20_000 })
    socket.destroy()
  }
  expect(await shoot(base, POLICY, { method: 'PUT', headers: JSON_TYPE, body: 'no JSON' })).toBe(401)
})

test('with a login, a body is limited in size, in depth and in its encoding', async () => {
  const base = await arbiter()
  const headers = { ...JSON_TYPE, authorization: basic('root') }
  const put = (body: Buffer | string, more = {}) =>
    shoot(base, POLICY, { method: 'PUT', headers: { ...headers, ...more }, body })
  expect(await put(JSON.stringify({ why: 'x'.repeat(70_000) }))).toBe(413)
  expect(await put(`{"limits":${'['.repeat(5_000)}${']'.repeat(5_000)}}`)).toBe(400)
  expect(await put(gzipSync('{}'), { 'content-encoding': 'gzip' })).toBe(415)
  expect(await put('{"why":"a test","colour":1}')).toBe(400)
  expect(await shoot(base, '/rackward/v1/mesh/leader', { headers })).toBe(200)
})

test('connections that never ask are few for each address, make room for others, and end', async () => {
  const base = await arbiter({ limits: { connections: 30, connectionsPerAddress: 10, requestSeconds: 1 } })
  const silent = await Promise.all(
    Array.from({ length: 60 }, (_, i) => hold(base, 'GET /healthz HTTP/1.1\r\n', `127.0.5.${1 + (i % 4)}`)),
  )
  const open = () => silent.filter(({ socket }) => !socket.destroyed).length
  await until(() => open() <= 30, { what: 'refusals', timeoutMs: 20_000 })
  expect(await shoot(base, '/healthz')).toBe(200)
  await until(() => silent.every(({ socket }) => socket.destroyed), { what: 'the silent ones', timeoutMs: 20_000 })
})

test('guesses of one address are refused after a few, and the right password of another is not', async () => {
  const base = await arbiter({ limits: { failedLoginsPerMinute: 3 } })
  const ask = (from: string, authorization: string) =>
    shoot(base, '/rackward/v1/mesh/leader', { from, headers: { authorization } })
  const guess = (n: number) => `Basic ${Buffer.from(`root:guess-${n}`).toString('base64')}`
  const statuses: number[] = []
  for (let n = 0; n < 5; n += 1) statuses.push(await ask('127.0.6.1', guess(n)))
  expect(statuses).toEqual([401, 401, 401, 429, 429])
  expect(await ask('127.0.6.2', basic('root'))).toBe(200)
})

test('without authentication, it answers to no name that is not its own', async () => {
  const base = await arbiter({ auth: { strategy: 'noauth', hosts: ['arbiter.site'] } })
  const as = (host: string) => shoot(base, '/rackward/v1/mesh/leader', { headers: { host } })
  expect(await as('rebound.example')).toBe(403)
  expect(await as('arbiter.site')).toBe(200)
  expect(await as('127.0.0.1')).toBe(200)
})
