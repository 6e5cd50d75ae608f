/** Sessions of browsers: the cookie, what a change by it must prove, and everything that ends one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { monotonicClock, systemClock, until, type Clock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plainCall, faultOf } from './client.ts'

const USERS = { root: { role: 'admin' }, eye: { role: 'reader' }, blue: { role: 'operator', project: 'blue' } } as const
const HOUR_MS = 3_600_000
let dir = ''
let own: Conductor
/** How far the clock of the conductor is ahead. */
let aheadMs = 0
/** How much faster the timers of the conductor run. */
let hurry = 1
const clock: Clock = {
  ...systemClock,
  now: () => systemClock.now() + aheadMs,
  after: (ms, callback) => systemClock.after(ms / hurry, callback),
}

const SAME = bcrypt.hashSync('pw', 4)
const passwords = (of: Record<string, string>) =>
  writeFile(
    join(dir, 'htpasswd'),
    Object.keys(USERS)
      .map((user) => `${user}:${of[user] === undefined ? SAME : bcrypt.hashSync(of[user], 4)}\n`)
      .join(''),
  )
const start = () =>
  startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: {
        listen: [{ address: '127.0.0.1', port: 0 }],
        auth: { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: USERS },
      },
      limits: { api: { sessionsPerUser: 3 } },
    }),
    { log: silentLog, clock, monotonic: monotonicClock },
  )
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-sessions-'))
  await passwords({})
  own = await start()
})
afterAll(async () => {
  await own?.stop()
  await rm(dir, { recursive: true })
})

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  plainCall(method, path, body, { 'OpenStack-API-Version': 'baremetal latest', ...headers }, own.addresses[0] as string)
/** As a browser sends what a page of the conductor asks for. */
const browser = { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' }
const login = (user: string, password = 'pw') =>
  call('POST', '/rackward/v1/session', { user, password }, { ...browser, origin: own.addresses[0] as string })
async function loggedIn(user: string) {
  const answer = await login(user)
  expect(answer.status).toBe(201)
  const [set = ''] = answer.headers['set-cookie'] as string[]
  const csrf: string = answer.body.csrf
  return { set, csrf, headers: { ...browser, cookie: `theme=dark; ${set.split(';')[0]}` } }
}
const status = async (headers: Record<string, string>) => (await call('GET', '/v1/nodes', undefined, headers)).status

test('the cookie stands for the user, with its role and project, and no script can read it', async () => {
  const { set, csrf, headers } = await loggedIn('blue')
  expect(set).toMatch(/^rackward=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/)
  const me = await call('GET', '/rackward/v1/me', undefined, headers)
  expect(me.body).toMatchObject({ user: 'blue', role: 'operator', project: 'blue', needs_login: true, csrf })
  expect(me.headers['cache-control']).toBe('no-store')
  expect(await status(headers)).toBe(200)
  expect((await call('GET', '/metrics', undefined, headers)).status).toBe(403)
})

test('logins at the same moment leave no more sessions than a user may have', async () => {
  const made = await Promise.all(Array.from({ length: 12 }, () => loggedIn('eye')))
  const statuses = await Promise.all(made.map(({ headers }) => status(headers)))
  expect(statuses.filter((one) => one === 200).length).toBe(3)
})

test('what the store keeps is not what the browser sends', async () => {
  const { set } = await loggedIn('root')
  const token = /rackward=([\w-]+)/.exec(set)?.[1] as string
  const { readdir, readFile } = await import('node:fs/promises')
  for (const file of await readdir(join(dir, 'data')))
    if (file.startsWith('rackward.'))
      expect([file, (await readFile(join(dir, 'data', file))).includes(token)]).toEqual([file, false])
})

test('a wrong password opens nothing, and a browser is not asked for one by the dialog that it would keep', async () => {
  const wrong = await login('root', 'guess')
  expect([wrong.status, wrong.headers['set-cookie'], faultOf(wrong).faultstring]).toEqual([
    401,
    undefined,
    expect.stringContaining('wrong'),
  ])
  const bare = await call('GET', '/v1/nodes', undefined, browser)
  expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, undefined])
  expect((await call('GET', '/v1/nodes')).headers['www-authenticate']).toMatch(/^Basic /)
  expect((await call('POST', '/rackward/v1/session', { user: 'a:b', password: 'x' })).status).toBe(400)
  expect((await call('POST', '/rackward/v1/session', { user: 'root' })).status).toBe(400)
})

describe('a change by session', () => {
  test('needs the token of the session, which a page of another site cannot read', async () => {
    const { headers, csrf } = await loggedIn('root')
    const other = await loggedIn('eye')
    const make = (more: Record<string, string>) =>
      call('POST', '/v1/nodes', { driver: 'fake-hardware' }, { ...headers, ...more })
    for (const more of [{}, { 'x-rackward-csrf': 'x' }, { 'x-rackward-csrf': other.csrf }]) {
      const answer = await make(more as Record<string, string>)
      expect([answer.status, faultOf(answer).faultstring]).toEqual([403, expect.stringContaining('X-Rackward-CSRF')])
    }
    // A websocket is a GET: nothing else needs no token because it asks for an upgrade.
    expect((await make({ upgrade: 'websocket', origin: own.addresses[0] as string })).status).toBe(403)
    expect((await make({ 'x-rackward-csrf': csrf })).status).toBe(201)
    expect((await make({ 'x-rackward-csrf': csrf, origin: 'https://evil.example' })).status).toBe(403)
    expect((await make({ 'x-rackward-csrf': csrf, 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  })

  test('is recorded with its user', async () => {
    const { headers, csrf } = await loggedIn('root')
    const made = await call('POST', '/v1/nodes', { driver: 'fake-hardware' }, { ...headers, 'x-rackward-csrf': csrf })
    const { events } = (await call('GET', `/rackward/v1/events?node=${made.body.uuid}&kinds=act`, undefined, headers))
      .body
    expect(events[0].detail).toMatchObject({ user: 'root' })
  })
})

test('the board of a user of a project has the nodes of that project, and no unknown cards', async () => {
  const root = await loggedIn('root')
  const headers = { ...root.headers, 'x-rackward-csrf': root.csrf }
  for (const more of [{ name: 'ours', owner: 'blue' }, { name: 'leased', lessee: 'blue' }, { name: 'theirs' }])
    await call('POST', '/v1/nodes', { driver: 'fake-hardware', ...more }, headers)
  const names = async (who: Record<string, string>) =>
    (await call('GET', '/rackward/v1/board', undefined, who)).body.nodes.map(({ name }: { name: string }) => name)
  expect(await names((await loggedIn('blue')).headers)).toEqual(['ours', 'leased'])
  expect(await names(root.headers)).toEqual(expect.arrayContaining(['ours', 'leased', 'theirs']))
  expect((await call('GET', '/rackward/v1/images', undefined, (await loggedIn('blue')).headers)).status).toBe(403)
})

test('a board that was made before the clock was set back is not shown until it is that late again', async () => {
  const { headers, csrf } = await loggedIn('root')
  const names = async () => {
    const { nodes } = (await call('GET', '/rackward/v1/board', undefined, headers)).body
    return nodes.map(({ name }: { name: string }) => name)
  }
  try {
    await names()
    aheadMs = -30_000
    const more = { ...headers, 'x-rackward-csrf': csrf }
    await call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'later' }, more)
    await until(async () => (await names()).includes('later'), { what: 'the new board', timeoutMs: 30_000 })
  } finally {
    aheadMs = 0
  }
})

describe('a session ends', () => {
  test('when it is closed, with the streams that it opened', async () => {
    const { headers, csrf } = await loggedIn('root')
    const stream = new Promise<string>((resolve) => {
      const url = `${own.addresses[0]}/rackward/v1/events`
      get(url, { headers: { ...headers, accept: 'text/event-stream' } }, (response) => {
        response.on('error', () => undefined)
        response.on('close', () => resolve(String(response.statusCode)))
        response.once('data', () => void call('DELETE', '/rackward/v1/session', undefined, own0))
      })
    })
    const own0 = { ...headers, 'x-rackward-csrf': csrf }
    expect(await stream).toBe('200')
    expect(await status(headers)).toBe(401)
  })

  test('when it is closed: the cookie goes too, and without the token it is not', async () => {
    const { headers, csrf } = await loggedIn('root')
    expect((await call('DELETE', '/rackward/v1/session', undefined, headers)).status).toBe(403)
    const closed = await call('DELETE', '/rackward/v1/session', undefined, { ...headers, 'x-rackward-csrf': csrf })
    expect([closed.status, String(closed.headers['set-cookie'])]).toEqual([200, expect.stringMatching(/Max-Age=0/)])
    expect(await status(headers)).toBe(401)
  })

  test('after half an hour without use, and after twelve hours in any case', async () => {
    try {
      const { headers } = await loggedIn('root')
      for (let used = 0; used < 23; used += 1) {
        aheadMs += 0.5 * HOUR_MS - 60_000
        expect([used, await status(headers)]).toEqual([used, 200])
      }
      aheadMs += 0.5 * HOUR_MS
      expect(await status(headers)).toBe(401)
      const idle = await loggedIn('root')
      aheadMs += 0.5 * HOUR_MS
      expect(await status(idle.headers)).toBe(401)
    } finally {
      aheadMs = 0
    }
  })

  test('when its user has more than the limit: the one that was used least recently', async () => {
    try {
      const made: Awaited<ReturnType<typeof loggedIn>>[] = []
      for (let i = 0; i < 3; i += 1) {
        made.push(await loggedIn('eye'))
        aheadMs += 61_000
      }
      const headersOf = (i: number) => (made[i] as (typeof made)[number]).headers
      expect(await status(headersOf(0))).toBe(200)
      made.push(await loggedIn('eye'))
      expect(await Promise.all([0, 1, 2, 3].map((i) => status(headersOf(i))))).toEqual([200, 401, 200, 200])
    } finally {
      aheadMs = 0
    }
  })

  test('when the password of its user changes; others outlast the restart', async () => {
    const root = await loggedIn('root')
    const eye = await loggedIn('eye')
    await own.stop()
    await passwords({ root: 'another' })
    own = await start()
    expect(await status(root.headers)).toBe(401)
    expect(await status(eye.headers)).toBe(200)
  })
})

test('the stream of a program ends when its user has another password', async () => {
  await passwords({})
  await own.stop()
  own = await start()
  hurry = 100
  try {
    const authorization = `Basic ${Buffer.from('eye:pw').toString('base64')}`
    await new Promise<void>((resolve, reject) => {
      const url = `${own.addresses[0]}/rackward/v1/events`
      get(url, { headers: { authorization, accept: 'text/event-stream' } }, (response) => {
        response.on('error', () => undefined)
        response.on('close', () => resolve())
        response.once('data', () => void passwords({ eye: 'another' }).catch(reject))
      })
    })
    expect(await status({ authorization })).toBe(401)
  } finally {
    hurry = 1
  }
})

test('a made-up token, and one of another form, is nobody', async () => {
  for (const token of ['', 'x', 'A'.repeat(43), `${'A'.repeat(42)}%`, "' OR 1=1 --"])
    expect(await status({ ...browser, cookie: `rackward=${token}` })).toBe(401)
})

test('guesses at the login count as those by HTTP basic do', async () => {
  for (let i = 0; i < 5; i += 1) expect((await login('blue', `guess${i}`)).status).toBe(401)
  const basic = (password: string) => ({
    authorization: `Basic ${Buffer.from(`blue:${password}`).toString('base64')}`,
  })
  for (let i = 0; i < 5; i += 1) expect(await status(basic(`other${i}`))).toBe(401)
  expect((await login('blue', 'pw')).status).toBe(429)
})
