/** What tenants and readers can do to the store of a real conductor: poisoned secrets, big records, floods of
 *  statements and of streams, and a lock or a disk that is taken. */
import { request } from 'node:http'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { faultOf } from '../conductor/client.ts'
import { basic, healthWatch, Victim } from './victim.ts'

const MIB = 1024 * 1024
const users = {
  root: { role: 'admin' },
  red: { role: 'operator', project: 'red' },
  blue: { role: 'reader', project: 'blue' },
} as const
let victim: Victim
let leased = ''
beforeAll(async () => {
  victim = await Victim.start({ users, config: { limits: { api: { eventStreamsPerUser: 5 } } } })
  leased = (await root('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'leased', lessee: 'red' })).body.uuid
  await root('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'other', owner: 'blue' })
})
afterAll(() => victim?.remove())
const root = (method: string, path: string, body?: unknown) => victim.call(method, path, body, { user: 'root' })
const red = (method: string, path: string, body?: unknown) => victim.call(method, path, body, { user: 'red' })
const add = (path: string, value: unknown) => [{ op: 'add', path, value }]

test('a lessee writes what looks sealed: it stays a text, for everybody, also after a restart', async () => {
  for (const [key, value] of [
    ['x_password', 'sealed:v1:AAAA'],
    ['y_secret', 'sealed:v2:AAAA'],
    ['z_token', { $sealed: 'AAAA' }],
  ] as const)
    expect((await red('PATCH', `/v1/nodes/${leased}`, add(`/instance_info/${key}`, value))).status).toBe(200)
  await victim.end()
  await victim.restart()
  expect((await root('GET', '/v1/nodes')).body.nodes).toHaveLength(2)
  expect((await root('GET', `/v1/nodes/${leased}`)).body.instance_info).toEqual({
    x_password: '******',
    y_secret: '******',
    z_token: '******',
  })
  expect((await root('GET', '/readyz')).body.damaged).toEqual([])
})

test('a tenant’s big values are refused by name, and a big config drive is not in the record', async () => {
  const big = await red('PATCH', `/v1/nodes/${leased}`, add('/instance_info/blob', 'x'.repeat(MIB - 10_000)))
  expect(big.status).toBe(200)
  const more = await red('PATCH', `/v1/nodes/${leased}`, add('/instance_info/more', 'x'.repeat(20_000)))
  expect([more.status, faultOf(more).faultstring]).toEqual([400, expect.stringContaining('instance_info: it has')])
  await red('PATCH', `/v1/nodes/${leased}`, [{ op: 'remove', path: '/instance_info/blob' }])
  for (const verb of ['manage', 'provide']) {
    await root('PUT', `/v1/nodes/${leased}/states/provision`, { target: verb })
    const wanted = verb === 'manage' ? 'manageable' : 'available'
    await until(async () => (await root('GET', `/v1/nodes/${leased}`)).body.provision_state === wanted, {
      what: wanted,
      timeoutMs: 20_000,
    })
  }
  const drive = { user_data: 'y'.repeat(40 * MIB) }
  expect(
    (await red('PUT', `/v1/nodes/${leased}/states/provision`, { target: 'active', configdrive: drive })).status,
  ).toBe(202)
  await until(async () => (await root('GET', `/v1/nodes/${leased}`)).body.provision_state === 'active', {
    what: 'active',
    timeoutMs: 20_000,
  })
  expect((await root('GET', `/v1/nodes/${leased}`)).body.instance_info.configdrive).toBe('******')
  const db = new Database(join(victim.dir, 'data/rackward.db'), { readonly: true })
  const { bytes } = db.prepare('SELECT max(length(body)) AS bytes FROM nodes').get() as { bytes: number }
  const { drives } = db.prepare('SELECT sum(length(bytes)) AS drives FROM config_drives').get() as { drives: number }
  db.close()
  expect([bytes < MIB, drives > 40 * MIB]).toEqual([true, true])
  expect(
    (
      await red('PUT', `/v1/nodes/${leased}/states/provision`, {
        target: 'rebuild',
        configdrive: { user_data: 'z'.repeat(65 * MIB) },
      })
    ).status,
  ).toBe(400)
})

test('lists of ever other lengths and sort keys leave nothing behind', async () => {
  const ask = async (n: number, key: string) =>
    expect(
      (await victim.call('GET', `/v1/nodes?shard=${'a,'.repeat(n)}a&sort_key=${key}`, undefined, { user: 'blue' }))
        .status,
    ).toBe(200)
  for (let n = 1; n < 20; n += 1) await ask(n, 'name')
  const before = await victim.rssBytes()
  for (const key of ['id', 'uuid', 'name', 'owner']) for (let n = 1; n <= 250; n += 1) await ask(n, key)
  // Each statement took about 110 KB when its text held as many marks as values.
  expect((await victim.rssBytes()) - before).toBeLessThan(80 * MIB)
})

function stream(user: string, after: number) {
  const got = { status: 0, bytes: 0 }
  const ask = request(
    `${victim.base}/rackward/v1/events?after=${after}`,
    { headers: { accept: 'text/event-stream', authorization: basic(user) } },
    (response) => {
      got.status = response.statusCode ?? 0
      response.on('data', (chunk: Buffer) => (got.bytes += chunk.length))
      response.on('error', () => undefined)
    },
  )
  ask.on('error', () => undefined)
  ask.end()
  return { got, close: () => ask.destroy() }
}

test('a confined reader replays the events of others from five streams: nobody waits, and a sixth is refused', async () => {
  await victim.end()
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  const insert = db.prepare("INSERT INTO events (at, node_uuid, kind, detail) VALUES (1, ?, 'trouble', '{}')")
  db.transaction(() => {
    for (let n = 0; n < 60_000; n += 1) insert.run(leased)
  })()
  db.close()
  await victim.restart()
  // The first login of this process costs its check.
  await victim.call('GET', '/v1/nodes', undefined, { user: 'blue' })
  const watch = healthWatch(victim)
  const streams = Array.from({ length: 5 }, () => stream('blue', 0))
  await until(() => streams.every(({ got }) => got.status === 200), { what: 'five streams', timeoutMs: 20_000 })
  const sixth = stream('blue', 0)
  await until(() => sixth.got.status === 429, { what: 'the refusal of a sixth', timeoutMs: 20_000 })
  // Its own node's enrolment is what it sees; then it is told what happens to that one.
  const seen = streams.map(({ got }) => got.bytes)
  await root('PATCH', '/v1/nodes/other', add('/description', 'changed'))
  await until(() => streams.every(({ got }, i) => got.bytes > (seen[i] ?? 0)), { what: 'news', timeoutMs: 20_000 })
  const times = await watch.stop()
  for (const { close } of [...streams, sixth]) close()
  expect(times.length).toBeGreaterThan(10)
  expect(times.at(-1)).toBeLessThan(2_000)
})

test('a write lock of another process holds up the write alone', async () => {
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  db.exec('BEGIN IMMEDIATE')
  let written = false
  const patch = root('PATCH', '/v1/nodes/other', add('/description', 'after the lock')).finally(() => {
    written = true
  })
  for (let i = 0; i < 10; i += 1) expect([await victim.healthy(), written]).toEqual([true, false])
  db.exec('COMMIT')
  db.close()
  expect((await patch).status).toBe(200)
})

test('a lock that does not end is told as 503, and the store is not ready until it ends', async () => {
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  db.exec('BEGIN IMMEDIATE')
  const refused = await root('PATCH', '/v1/nodes/other', add('/description', 'never'))
  expect([refused.status, faultOf(refused).faultstring]).toEqual([503, expect.stringContaining('lock of the database')])
  const ready = await root('GET', '/readyz')
  expect([ready.status, ready.body.troubles.join()]).toEqual([503, expect.stringContaining('cannot be written')])
  db.exec('COMMIT')
  db.close()
  await until(async () => (await root('GET', '/readyz')).status === 200, {
    what: 'readiness by itself',
    timeoutMs: 20_000,
  })
})
