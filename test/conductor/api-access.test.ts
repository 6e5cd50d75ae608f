/** Who may do what: roles, owners and lessees, failed logins, TLS, and the record of who did it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request as tlsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { htpasswdAuth } from '../../conductor/api/auth.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { systemClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plainCall, faultOf } from './api-bench.ts'

let dir = ''
let own: Conductor
const USERS = {
  root: { role: 'admin' },
  op: { role: 'operator' },
  eye: { role: 'reader' },
  blue: { role: 'operator', project: 'blue' },
  boss: { role: 'admin', project: 'blue' },
} as const
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-access-'))
  const hash = await bcrypt.hash('pw', 4)
  await writeFile(
    join(dir, 'htpasswd'),
    [...Object.keys(USERS), 'nobody', 'guest'].map((user) => `${user}:${hash}\n`).join(''),
  )
  own = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: {
        listen: [{ address: '127.0.0.1', port: 0 }],
        auth: { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: USERS },
      },
      fake: { delaySeconds: 0.01 },
    }),
    { log: silentLog },
  )
})
afterAll(async () => {
  await own?.stop()
  await rm(dir, { recursive: true })
})

const as = (user: string, method: string, path: string, body?: unknown, password = 'pw') =>
  plainCall(
    method,
    path,
    body,
    {
      'OpenStack-API-Version': 'baremetal latest',
      authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
    },
    own.addresses[0],
  )
const node = async (more: Record<string, unknown> = {}) =>
  String((await as('root', 'POST', '/v1/nodes', { driver: 'fake-hardware', driver_info: { x: 1 }, ...more })).body.uuid)

describe('roles', () => {
  test('a reader looks, an operator acts, an admin changes what there is; a user without a role may nothing', async () => {
    const uuid = await node()
    const status = async (user: string, method: string, path: string, body?: unknown) =>
      (await as(user, method, path, body)).status
    expect(await status('eye', 'GET', `/v1/nodes/${uuid}`)).toBe(200)
    expect(await status('eye', 'PUT', `/v1/nodes/${uuid}/maintenance`, {})).toBe(403)
    expect(await status('op', 'PUT', `/v1/nodes/${uuid}/maintenance`, {})).toBe(202)
    expect(await status('op', 'PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/extra/a', value: 1 }])).toBe(200)
    expect(await status('op', 'PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/driver_info/a', value: 1 }])).toBe(
      403,
    )
    expect(await status('op', 'POST', '/v1/nodes', { driver: 'fake-hardware' })).toBe(403)
    expect(await status('op', 'DELETE', `/v1/nodes/${uuid}`)).toBe(403)
    expect(await status('op', 'DELETE', `/rackward/v1/nodes/${uuid}/lock?reason=x`)).toBe(403)
    expect(await status('root', 'DELETE', `/v1/nodes/${uuid}`)).toBe(204)
    expect(await status('nobody', 'GET', '/v1/nodes')).toBe(403)
  })

  test('what is public is public, and nothing else is', async () => {
    const open = async (method: string, path: string, body?: unknown) =>
      (await plainCall(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, own.addresses[0])).status
    expect([
      await open('GET', '/'),
      await open('GET', '/v1'),
      await open('GET', '/healthz'),
      await open('GET', '/rackward/v1/openapi.json'),
    ]).toEqual([200, 200, 200, 200])
    expect([
      await open('GET', '/v1/lookup?addresses=52:54:00:00:00:01'),
      await open('POST', '/v1/heartbeat/x', { callback_url: 'http://x' }),
    ]).toEqual([404, 404])
    for (const route of own.routes.filter(({ role }) => role !== 'public'))
      expect([
        route.path,
        await open(
          route.method.toUpperCase(),
          route.path.replace(/:\w+/g, 'lookup'),
          route.method === 'post' ? {} : undefined,
        ),
      ]).toEqual([route.path, 401])
    for (const path of [
      '/v1/lookup/../nodes',
      '/v1/heartbeat/x/../../nodes',
      '//v1/nodes',
      '/v1/nodes?/v1/lookup',
      '/v1/heartbeat/a/b',
    ])
      expect([path, await open('GET', path)]).toEqual([path, 401])
  })
})

describe('projects', () => {
  test('an owner sees and runs its own nodes; those of others are not there', async () => {
    const [mine, other] = [await node({ owner: 'blue', resource_class: 'p' }), await node({ owner: 'red' })]
    expect((await as('blue', 'GET', '/v1/nodes')).body.nodes.map((one: { uuid: string }) => one.uuid)).toEqual([mine])
    expect((await as('blue', 'GET', `/v1/nodes/${other}`)).status).toBe(404)
    expect((await as('blue', 'PUT', `/v1/nodes/${other}/states/power`, { target: 'power on' })).status).toBe(404)
    expect((await as('blue', 'GET', `/rackward/v1/nodes/${other}/explain`)).status).toBe(404)
    expect((await as('blue', 'PUT', `/v1/nodes/${mine}/states/provision`, { target: 'manage' })).status).toBe(202)
    expect(
      (await as('blue', 'PATCH', `/v1/nodes/${mine}`, [{ op: 'replace', path: '/owner', value: 'red' }])).status,
    ).toBe(403)
    const enrolled = await as('boss', 'POST', '/v1/nodes', { driver: 'fake-hardware' })
    expect(enrolled.body.owner).toBe('blue')
    expect((await as('boss', 'POST', '/v1/nodes', { driver: 'fake-hardware', owner: 'red' })).status).toBe(403)
    expect((await as('boss', 'POST', '/v1/chassis', {})).status).toBe(403)
    expect((await as('boss', 'POST', '/v1/ports', { node_uuid: other, address: '52:54:00:00:dd:01' })).status).toBe(400)
    const { events } = (await as('blue', 'GET', '/rackward/v1/events?limit=1000')).body
    expect(new Set(events.map((event: { node_uuid: string }) => event.node_uuid))).toEqual(
      new Set([mine, enrolled.body.uuid]),
    )
  })

  test('a project’s user does not pass others in the queue of admission', async () => {
    const mine = await node({ owner: 'red', lessee: 'blue', instance_info: { priority: 3 } })
    const set = async (user: string, priority: unknown) =>
      as(user, 'PATCH', `/v1/nodes/${mine}`, [{ op: 'add', path: '/instance_info/priority', value: priority }])
    const refused = await set('blue', 4)
    expect([refused.status, faultOf(refused).faultstring]).toEqual([
      403,
      expect.stringContaining('instance_info/priority'),
    ])
    // What it was given, or less, it may keep.
    expect([(await set('blue', 2)).status, (await set('blue', 3)).status]).toEqual([200, 403])
    expect([(await set('blue', -5)).status, (await set('blue', 'first')).status]).toEqual([200, 200])
    expect([(await set('op', 50)).status, (await set('blue', 50)).status]).toEqual([200, 200])
    const enrolled = await as('boss', 'POST', '/v1/nodes', { driver: 'fake-hardware', instance_info: { priority: 1 } })
    expect(enrolled.status).toBe(403)
  })

  test('what belongs to the whole installation, or hangs on a leased node, is not a project’s to change', async () => {
    const leased = await node({ owner: 'red', lessee: 'blue' })
    const chassis = String((await as('root', 'POST', '/v1/chassis', {})).body.uuid)
    const group = String((await as('root', 'POST', '/v1/portgroups', { node_uuid: leased })).body.uuid)
    const rule = String(
      (await as('root', 'POST', '/v1/inspection_rules', { actions: [{ op: 'log', args: ['x'] }] })).body.uuid,
    )
    for (const path of [`/v1/chassis/${chassis}`, `/v1/portgroups/${group}`, `/v1/inspection_rules/${rule}`]) {
      expect([path, (await as('boss', 'DELETE', path)).status]).toEqual([path, 403])
      expect((await as('root', 'DELETE', path)).status).toBe(204)
    }
    expect((await as('boss', 'POST', '/v1/portgroups', { node_uuid: leased })).status).toBe(403)
    expect((await as('boss', 'DELETE', `/v1/nodes/${leased}`)).status).toBe(403)
  })

  test('a lessee uses a node and neither sees its BMC nor changes what it is', async () => {
    const leased = await node({ owner: 'red', lessee: 'blue' })
    const view = (await as('blue', 'GET', `/v1/nodes/${leased}`)).body
    expect([view.driver_info, view.driver_internal_info]).toEqual([{}, {}])
    expect((await as('blue', 'PUT', `/v1/nodes/${leased}/states/power`, { target: 'power on' })).status).toBe(202)
    expect(
      (await as('blue', 'PATCH', `/v1/nodes/${leased}`, [{ op: 'add', path: '/instance_info/a', value: 1 }])).status,
    ).not.toBe(403)
    for (const [method, path, body] of [
      ['PATCH', '', [{ op: 'add', path: '/extra/a', value: 1 }]],
      ['PUT', '/maintenance', {}],
      ['PUT', '/states/provision', { target: 'manage' }],
      ['PUT', '/traits/CUSTOM_A', undefined],
      ['PUT', '/management/boot_device', { boot_device: 'pxe' }],
    ] as const)
      expect([path, (await as('blue', method, `/v1/nodes/${leased}${path}`, body)).status]).toEqual([path, 403])
  })

  test('runbooks of a project are its own; public ones are everybody’s', async () => {
    const steps = [{ interface: 'deploy', step: 'hold', args: {}, order: 1 }]
    const [red, all] = [
      await as('root', 'POST', '/v1/runbooks', { name: 'CUSTOM_RED', steps, owner: 'red' }),
      await as('root', 'POST', '/v1/runbooks', { name: 'CUSTOM_ALL', steps, public: true }),
    ]
    const mine = await as('blue', 'POST', '/v1/runbooks', { name: 'CUSTOM_BLUE', steps })
    expect(mine.body.owner).toBe('blue')
    expect(
      (await as('blue', 'GET', '/v1/runbooks')).body.runbooks.map((one: { name: string }) => one.name).sort(),
    ).toEqual(['CUSTOM_ALL', 'CUSTOM_BLUE'])
    expect((await as('blue', 'GET', `/v1/runbooks/${red.body.uuid}`)).status).toBe(404)
    expect((await as('blue', 'DELETE', `/v1/runbooks/${all.body.uuid}`)).status).toBe(403)
    expect(
      (await as('blue', 'PATCH', `/v1/runbooks/${mine.body.uuid}`, [{ op: 'replace', path: '/public', value: true }]))
        .status,
    ).toBe(403)
  })
})

test('every change is recorded with its user; a refused one changes nothing and is not', async () => {
  const uuid = await node()
  await as('op', 'PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
  await as('eye', 'PUT', `/v1/nodes/${uuid}/maintenance`, {})
  const { events } = (await as('root', 'GET', `/rackward/v1/events?node=${uuid}&kinds=act&limit=1000`)).body
  expect(
    events.map(({ detail }: { detail: { user: string; method: string } }) => `${detail.user} ${detail.method}`),
  ).toEqual(['root POST', 'op PUT'])
  expect(events[1].detail).toMatchObject({
    path: `/v1/nodes/${uuid}/states/provision`,
    request_id: expect.stringMatching(/^req-/) as string,
  })
})

test('guesses that are sent at once are counted at once; requests with one right login are one login', async () => {
  const auth = await htpasswdAuth({ path: join(dir, 'htpasswd'), users: undefined, clock: systemClock })
  const basic = (password: string) => `Basic ${Buffer.from(`root:${password}`).toString('base64')}`
  const right = await Promise.all(Array.from({ length: 30 }, () => auth.check(basic('pw'), 'here')))
  expect(right.map((actor) => actor?.user)).toEqual(Array(30).fill('root'))
  const ended = await Promise.allSettled(Array.from({ length: 30 }, (_, i) => auth.check(basic(`guess${i}`), 'there')))
  expect(ended.map(({ status }) => status)).toEqual([
    ...Array<string>(10).fill('fulfilled'),
    ...Array<string>(20).fill('rejected'),
  ])
})

test('after ten failures a user must wait, also with the right password; who is logged in stays so', async () => {
  const tries = []
  for (let i = 0; i < 11; i += 1) tries.push((await as('guest', 'GET', '/v1/nodes', undefined, `wrong${i}`)).status)
  expect(tries).toEqual([...Array<number>(10).fill(401), 429])
  expect((await as('guest', 'GET', '/v1/nodes')).status).toBe(429)
  expect((await as('root', 'GET', '/v1/nodes')).status).toBe(200)
})

test('TLS with a certificate of its own, made once, for the addresses that are listened on', async () => {
  const data = join(dir, 'tls')
  const config = Config.parse({
    data,
    images: { store: join(dir, 'images') },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], tls: 'self-made', auth: { strategy: 'noauth' } },
  })
  const get = (address: string, ca: Buffer) =>
    new Promise<number>((resolve, reject) => {
      tlsRequest(`${address}/v1/nodes`, { ca }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
        .on('error', reject)
        .end()
    })
  const one = await startConductor(config, { log: silentLog })
  const ca = await readFile(join(data, 'api.crt'))
  expect(one.addresses[0]).toMatch(/^https:/)
  expect(await get(one.addresses[0] as string, ca)).toBe(200)
  await one.stop()
  const two = await startConductor(config, { log: silentLog })
  expect(await get(two.addresses[0] as string, ca)).toBe(200)
  await two.stop()
})

test('a step on child nodes is refused when one of them belongs to another project', async () => {
  const parent = await node({ owner: 'blue' })
  const mine = await node({ owner: 'blue', parent_node: parent })
  const other = await node({ owner: 'red', parent_node: parent })
  const clean = async (limit_child_node_execution?: string[]) => {
    const step = { interface: 'power', step: 'power_off', execute_on_child_nodes: true, limit_child_node_execution }
    const answer = await as('blue', 'PUT', `/v1/nodes/${parent}/states/provision`, {
      target: 'clean',
      clean_steps: [step],
    })
    return [answer.status, faultOf(answer).faultstring] as const
  }
  for (const limit of [undefined, [other], [mine, other]])
    expect(await clean(limit)).toEqual([403, expect.stringContaining('child nodes of other projects')])
  // Its own child is asked for; what refuses it then is the state of the parent.
  expect(await clean([mine])).toEqual([400, expect.stringContaining('in state "enroll"')])
})
