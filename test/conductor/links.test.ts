/** Read-only links: what ends them, that a look at them changes nothing, and that they take nothing from their maker;
 *  and a console without authentication that is read-only. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Actor } from '../../conductor/api/auth.ts'
import { LINK, Sessions } from '../../conductor/api/sessions.ts'
import { startConductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { Limits } from '../../conductor/limits.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { call } from './client.ts'

const HOUR_MS = 3_600_000
let dir = ''
let ends: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-links-'))
  ends = []
})
afterEach(async () => {
  for (const end of ends) await end()
  await rm(dir, { recursive: true, force: true })
})

function linksOf() {
  const store = new SqliteStore(join(dir, 'own.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  ends.push(() => store.close())
  const at = { nowMs: 1_700_000_000_000, actor: { user: 'anna', role: 'operator', project: null } as Actor }
  const sessions = new Sessions({
    store,
    auth: { known: () => ({ actor: at.actor, stamp: 'x' }) },
    clock: { ...systemClock, now: () => at.nowMs },
    random: systemRandom,
    limits: Limits.parse({}).api,
  })
  return { at, sessions, kept: async () => (await store.objects.every(LINK)).length }
}

test('a link ends when its maker may make none any more, and shows what its maker sees now', async () => {
  const { at, sessions } = linksOf()
  const { token } = await sessions.addLink(at.actor, 3600)
  at.actor = { ...at.actor, project: 'blue' }
  expect((await sessions.find(token))?.actor).toEqual({ user: 'anna', role: 'reader', project: 'blue' })
  at.actor = { ...at.actor, role: 'reader' }
  expect(await sessions.find(token)).toBeUndefined()
  expect(await sessions.links()).toEqual([])
})

test('a look at the links removes none, whatever the clock says; those that are over go when one is made', async () => {
  const { at, sessions, kept } = linksOf()
  await sessions.addLink(at.actor, 3600)
  at.nowMs -= HOUR_MS
  expect(await sessions.links()).toEqual([])
  at.nowMs += HOUR_MS
  expect(await sessions.links()).toHaveLength(1)
  at.nowMs += HOUR_MS
  expect([(await sessions.links()).length, await kept()]).toEqual([0, 1])
  await sessions.addLink(at.actor, 3600)
  expect([(await sessions.links()).length, await kept()]).toEqual([1, 1])
})

async function conductor(auth: object, more: object): Promise<string> {
  const own = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth },
      ...more,
    }),
    { log: silentLog },
  )
  ends.push(() => own.stop())
  return own.addresses[0] as string
}

test('those who look through a link take no event stream of its maker', async () => {
  await writeFile(join(dir, 'htpasswd'), `anna:${bcrypt.hashSync('pw', 4)}\n`)
  const base = await conductor(
    { strategy: 'http_basic', file: join(dir, 'htpasswd') },
    { limits: { api: { eventStreamsPerUser: 1 } } },
  )
  const anna = { authorization: `Basic ${Buffer.from('anna:pw').toString('base64')}` }
  const made = await call('POST', '/rackward/v1/links', { hours: 1 }, anna, base)
  const link = String(made.body.link).split('#link=')[1]
  const opened = await call('POST', '/rackward/v1/session', { link }, {}, base)
  const cookie = String(opened.headers['set-cookie']).split(';')[0] as string
  const stop = new AbortController()
  const stream = async (headers: Record<string, string>) =>
    (
      await fetch(`${base}/rackward/v1/events?live=true`, {
        headers: { accept: 'text/event-stream', ...headers },
        signal: stop.signal,
      })
    ).status
  try {
    const first = await stream({ cookie })
    const second = await stream({ cookie })
    expect([first, second]).toEqual([200, 429])
    expect(await stream(anna)).toBe(200)
  } finally {
    stop.abort()
  }
})

test('without authentication, ui.readOnly holds for pages over plain HTTP, which send Origin alone', async () => {
  const base = await conductor({ strategy: 'noauth' }, { ui: { readOnly: true } })
  const node = { name: 'one', driver: 'fake-hardware' }
  const version = { 'OpenStack-API-Version': 'baremetal latest' }
  const ofPage = await call('POST', '/v1/nodes', node, { ...version, origin: base }, base)
  expect([ofPage.status, JSON.stringify(ofPage.body)]).toEqual([403, expect.stringContaining('ui.readOnly')])
  expect((await call('POST', '/v1/nodes', node, version, base)).status).toBe(201)
})
