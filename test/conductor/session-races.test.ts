/** What happens to a session at once: requests that note its use, a clock that is set, and clients that go away. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeApp, type AppParts } from '../../conductor/api/app.ts'
import { noAuth } from '../../conductor/api/auth.ts'
import { Sessions } from '../../conductor/api/sessions.ts'
import { Limits } from '../../conductor/limits.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, turn, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'

test('requests of one session that come at once do not get in each other’s way, nor does a clock that is set', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-session-'))
  const store = new SqliteStore(join(dir, 'own.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  let nowMs = 1_700_000_000_000
  const sessions = new Sessions({
    store,
    auth: { known: (user) => ({ actor: { user, role: 'admin', project: null }, stamp: 'x' }) },
    clock: { ...systemClock, now: () => nowMs },
    random: systemRandom,
    limits: Limits.parse({}).api,
  })
  try {
    const { token } = await sessions.open('root')
    nowMs += 120_000
    const found = await Promise.all(Array.from({ length: 5 }, () => sessions.find(token)))
    expect(found.map((one) => one?.actor.user)).toEqual(Array(5).fill('root'))
    nowMs -= 150_000
    expect(await sessions.find(token)).toBeDefined()
    nowMs -= 3_600_000
    expect(await sessions.find(token)).toBeUndefined()
  } finally {
    await store.close()
    await rm(dir, { recursive: true })
  }
})

test('a client that goes away while its session is looked up does not hold it', async () => {
  let reached = (): void => undefined
  const asked = new Promise<void>((resolve) => (reached = resolve))
  let held = 0
  let ended = 0
  let found = false
  const session = { uuid: 'x', actor: { user: 'root', role: 'admin', project: null }, csrf: 'x', endsAtMs: 0 }
  const server = createServer(
    makeApp({
      routes: [],
      auth: { ...noAuth, check: async () => undefined },
      sessions: {
        async find() {
          reached()
          await until(() => ended > 0, { what: 'the end of the connection', timeoutMs: 20_000 })
          found = true
          return session
        },
        hold: () => (held += 1),
      },
      clock: systemClock,
      random: systemRandom,
      metrics: { onRequest: () => undefined },
      limits: Limits.parse({}).api,
      log: silentLog,
    } as unknown as AppParts),
  )
  try {
    server.on('connection', (socket) => socket.on('close', () => (ended += 1)))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const ask = get(`http://127.0.0.1:${port}/v1/nodes`, { headers: { cookie: `rackward=${'A'.repeat(43)}` } })
    ask.on('error', () => undefined)
    await asked
    ask.destroy()
    await until(() => found, { what: 'the session', timeoutMs: 20_000 })
    await turn()
    expect(held).toBe(0)
  } finally {
    server.close()
  }
})
