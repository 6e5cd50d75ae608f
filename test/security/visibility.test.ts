/** Users of one project ask for what belongs to another: the answer is the one for a name that does not exist, on every
 *  route that takes a name. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allRoutes } from '../../conductor/routes.ts'
import { until } from '../../kit/clock.ts'
import { Victim } from './victim.ts'

const USERS = {
  root: { role: 'admin' },
  boss: { role: 'admin', project: 'blue' },
  red: { role: 'admin', project: 'red' },
} as const

let victim: Victim
const ids: Record<string, string> = {}
beforeAll(async () => {
  victim = await Victim.start({ users: USERS })
  const make = async (path: string, body: unknown) => {
    const answer = await as('root', 'POST', path, body)
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return String(answer.body.uuid)
  }
  ids.mine = await make('/v1/nodes', { driver: 'fake-hardware', name: 'mine', owner: 'blue', resource_class: 'small' })
  ids.node = await make('/v1/nodes', { driver: 'fake-hardware', name: 'theirs', owner: 'red', resource_class: 'small' })
  ids.port = await make('/v1/ports', { node_uuid: ids.node, address: '52:54:00:00:00:01', name: 'their-port' })
  ids.myPort = await make('/v1/ports', { node_uuid: ids.mine, address: '52:54:00:00:00:02' })
  ids.portgroup = await make('/v1/portgroups', { node_uuid: ids.node, name: 'their-bond' })
  ids.connector = await make('/v1/volume/connectors', { node_uuid: ids.node, type: 'iqn', connector_id: 'iqn.x' })
  ids.target = await make('/v1/volume/targets', {
    node_uuid: ids.node,
    volume_type: 'iscsi',
    boot_index: 0,
    volume_id: 'v',
  })
  const steps = [{ interface: 'deploy', step: 'hold', args: {}, order: 1 }]
  ids.runbook = await make('/v1/runbooks', { name: 'CUSTOM_THEIRS', steps, owner: 'red' })
  ids.allocation = await make('/v1/allocations', { name: 'their-allocation', resource_class: 'none', owner: 'red' })
  const link = await as('red', 'POST', '/rackward/v1/links', {})
  if (link.status !== 201) throw new Error(`a link: ${link.status} ${JSON.stringify(link.body)}`)
  ids.link = String(link.body.id)
}, 60_000)
afterAll(() => victim?.remove())

const as = (
  user: keyof typeof USERS,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) => victim.call(method, path, body, { user, headers })

/** What a user of "blue" is answered, without the name that it asked for. */
const told = async (
  method: string,
  path: (name: string) => string,
  at: { name: string; body?: (name: string) => unknown; headers?: Record<string, string> },
) => {
  const { status, body } = await as('boss', method, path(at.name), at.body?.(at.name), at.headers)
  return [status, JSON.stringify(body ?? null).replaceAll(at.name, 'NAME')] as const
}

/** By the beginning of a path: whose UUID or name stands in it. */
const THINGS: readonly (readonly [start: string, uuid: string, name: string | undefined])[] = [
  ['/v1/nodes/:ident', 'node', 'theirs'],
  ['/v1/nodes/states/console/:ident', 'node', 'theirs'],
  ['/rackward/v1/nodes/:ident', 'node', 'theirs'],
  ['/v1/ports/:ident', 'port', 'their-port'],
  ['/v1/portgroups/:ident', 'portgroup', 'their-bond'],
  ['/v1/volume/connectors/:ident', 'connector', undefined],
  ['/v1/volume/targets/:ident', 'target', undefined],
  ['/v1/runbooks/:ident', 'runbook', 'CUSTOM_THEIRS'],
  ['/v1/allocations/:ident', 'allocation', 'their-allocation'],
  ['/rackward/v1/links/:id', 'link', undefined],
]
/** What belongs to nobody in particular, or is for others than users of the API. */
const OF_ALL =
  /^\/v1\/(chassis|deploy_templates|inspection_rules|drivers|conductors|heartbeat)\/|^\/rackward\/v1\/(mesh|incidents|rollouts|rooms|image-series)\//

/** Bodies that are acceptable, so that the look-up is what refuses. */
const BODIES: Readonly<Record<string, unknown>> = {
  'put states/power': { target: 'power on' },
  'put states/provision': { target: 'manage' },
  'put states/raid': {},
  'put states/boot_mode': { target: 'uefi' },
  'put states/secure_boot': { target: true },
  'put states/console': { enabled: true },
  'put ': { enabled: true },
  'put management/boot_device': { boot_device: 'pxe' },
  'put management/inject_nmi': {},
  'put management/indicators/x': { state: 'on' },
  'put maintenance': {},
  'put traits': { traits: [] },
  'post vifs': { id: 'vif-1' },
  'post vmedia': { device_type: 'cdrom', image_url: 'http://x/y' },
}
/** Refused to every user of a project, or answered over a websocket (below). */
const ELSEWHERE: Readonly<Record<string, number>> = {
  '/rackward/v1/nodes/:ident/fence': 403,
  '/rackward/v1/nodes/:ident/console': 400,
}

const routes = allRoutes({} as never).filter(({ path, role }) => path.includes('/:') && role !== 'public')
const named = routes.filter(({ path }) => !OF_ALL.test(path))

describe('the name stands in the path', () => {
  test.each(named.map((route) => [route.method, route.path] as const))('%s %s', async (method, template) => {
    const thing = THINGS.find(([start]) => `${template}/`.startsWith(`${start}/`))
    if (!thing) throw new Error(`nobody says whose name stands in ${template}: add it to THINGS, or to OF_ALL`)
    const [start, uuid, name] = thing
    const rest = template
      .slice(start.length + 1)
      .replace(':trait', 'CUSTOM_A')
      .replace(/:\w+/, 'x')
    const fence = template.endsWith('/fence') ? { act: 'off', timeout_ms: 1000 } : undefined
    const patch = method === 'patch' && !template.includes('passthru') ? [] : undefined
    const body =
      BODIES[`${method} ${rest}`] ?? fence ?? patch ?? (method === 'post' || method === 'put' ? {} : undefined)
    const query = template.endsWith('/lock') && method === 'delete' ? '?reason=x' : ''
    const path = (of: string) =>
      `${template
        .replace(/\/:id(ent)?(?=\/|$)/, `/${of}`)
        .replace(':trait', 'CUSTOM_A')
        .replace(/:\w+/, 'x')}${query}`
    const ask = (of: string) =>
      told(method.toUpperCase(), path, { name: of, ...(body === undefined ? {} : { body: () => body }) })
    const missing = await ask(randomUUID())
    expect([missing[0], template]).toEqual([ELSEWHERE[template] ?? 404, template])
    expect(await ask(ids[uuid] as string)).toEqual(missing)
    if (name !== undefined) expect(await ask(name)).toEqual((await ask('no-such-thing')).map((part) => part))
  })
  test('the link of another project is there after all that', async () => {
    const { body } = await as('red', 'GET', '/rackward/v1/links')
    expect(body.links).toMatchObject([{ id: ids.link }])
    expect((await as('boss', 'GET', '/rackward/v1/links')).body.links).toEqual([])
  })
  test('every route with a name is in the table', () => expect(named.length).toBeGreaterThan(60))
  test('a console', async () => {
    const upgrade = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    }
    const ask = (name: string) => told('GET', (of) => `/rackward/v1/nodes/${of}/console`, { name, headers: upgrade })
    expect((await ask('theirs'))[0]).toBe(404)
    expect(await ask('theirs')).toEqual(await ask('no-such'))
  })
  test('a name in a version that knows no names', async () => {
    const headers = { 'OpenStack-API-Version': 'baremetal 1.4' }
    const ask = (name: string) => told('GET', (of) => `/v1/nodes/${of}`, { name, headers })
    expect(await ask('theirs')).toEqual(await ask('no-such'))
  })
})

describe('the name stands in a query', () => {
  test.each([
    ['/v1/ports?node=', 'node', 'theirs'],
    ['/v1/ports?node_uuid=', 'node', undefined],
    ['/v1/ports?portgroup=', 'portgroup', 'their-bond'],
    ['/v1/portgroups?node=', 'node', 'theirs'],
    ['/v1/volume/connectors?node=', 'node', 'theirs'],
    ['/v1/volume/targets?node=', 'node', 'theirs'],
    ['/v1/allocations?node=', 'node', 'theirs'],
    ['/rackward/v1/events?node=', 'node', 'theirs'],
    ['/v1/nodes?marker=', 'node', undefined],
    ['/v1/ports?marker=', 'port', undefined],
    ['/v1/portgroups?marker=', 'portgroup', undefined],
    ['/v1/volume/connectors?marker=', 'connector', undefined],
    ['/v1/volume/targets?marker=', 'target', undefined],
    ['/v1/allocations?marker=', 'allocation', undefined],
    ['/v1/runbooks?marker=', 'runbook', undefined],
  ])('%s', async (start, uuid, name) => {
    const ask = (of: string) => told('GET', (one) => `${start}${one}`, { name: of })
    const missing = await ask(randomUUID())
    expect(missing[0]).toBe(404)
    expect(await ask(ids[uuid] as string)).toEqual(missing)
    if (name !== undefined) expect(await ask(name)).toEqual(await ask('no-such'))
  })
  test.each([
    ['/v1/nodes?parent_node=', 'node'],
    ['/v1/nodes?instance_uuid=', 'node'],
  ])('%s is a filter, and what it leaves is empty', async (start, uuid) => {
    expect((await as('boss', 'GET', `${start}${ids[uuid]}`)).body.nodes).toEqual([])
  })
})

describe('the name stands in a body', () => {
  const patch = (field: string) => (name: string) => [{ op: 'add', path: `/${field}`, value: name }]
  test.each<[string, string, string | undefined, (name: string) => unknown, string]>([
    ['POST', '/v1/nodes', undefined, (name) => ({ driver: 'fake-hardware', parent_node: name }), 'node'],
    ['PATCH', '/v1/nodes/mine', undefined, patch('parent_node'), 'node'],
    ['POST', '/v1/ports', 'theirs', (name) => ({ node_ident: name, address: '52:54:00:00:00:09' }), 'node'],
    ['POST', '/v1/ports', undefined, (name) => ({ node_uuid: name, address: '52:54:00:00:00:09' }), 'node'],
    ['POST', '/v1/portgroups', undefined, (name) => ({ node_uuid: name }), 'node'],
    [
      'POST',
      '/v1/volume/connectors',
      undefined,
      (name) => ({ node_uuid: name, type: 'iqn', connector_id: 'y' }),
      'node',
    ],
    [
      'POST',
      '/v1/volume/targets',
      undefined,
      (name) => ({ node_uuid: name, volume_type: 'iscsi', boot_index: 0, volume_id: 'v' }),
      'node',
    ],
    ['POST', '/v1/allocations', 'theirs', (name) => ({ node: name }), 'node'],
    ['POST', '/v1/allocations', 'theirs', (name) => ({ resource_class: 'small', candidate_nodes: [name] }), 'node'],
    ['POST', '/v1/nodes/mine/vifs', undefined, (name) => ({ id: 'vif-1', port_uuid: name }), 'port'],
    ['POST', '/v1/nodes/mine/vifs', undefined, (name) => ({ id: 'vif-1', portgroup_uuid: name }), 'portgroup'],
    ['PATCH', '/v1/ports/PORT', undefined, patch('portgroup_uuid'), 'portgroup'],
    [
      'PUT',
      '/v1/nodes/mine/states/provision',
      'CUSTOM_THEIRS',
      (name) => ({ target: 'clean', runbook: name }),
      'runbook',
    ],
  ])('%s %s (%s)', async (method, path, name, body, uuid) => {
    const ask = (of: string) => told(method, () => path.replace('PORT', ids.myPort as string), { name: of, body })
    const missing = await ask(randomUUID())
    expect(missing[0]).toBe(uuid === 'runbook' ? 404 : 400)
    expect(await ask(ids[uuid] as string)).toEqual(missing)
    if (name !== undefined) expect(await ask(name)).toEqual(await ask('no-such'))
  })
  test('the owner of all of it is answered otherwise: the look-ups above found nothing by mistake', async () => {
    expect((await as('red', 'GET', '/v1/nodes/theirs')).status).toBe(200)
    expect((await as('red', 'GET', '/rackward/v1/events?node=theirs')).status).toBe(200)
    expect((await as('red', 'GET', `/v1/nodes?marker=${ids.node}`)).status).toBe(200)
    expect((await as('red', 'GET', '/v1/allocations/their-allocation')).status).toBe(200)
    expect((await as('red', 'POST', '/v1/nodes', { driver: 'fake-hardware', parent_node: ids.node })).status).toBe(201)
  })
})

describe('what is told in passing', () => {
  const settled = (user: keyof typeof USERS, uuid: string) =>
    until(
      async () => ((one) => one.state !== 'allocating' && one)((await as(user, 'GET', `/v1/allocations/${uuid}`)).body),
      {
        what: 'the allocation to end',
        timeoutMs: 20_000,
        everyMs: 20,
      },
    )
  test('an allocation that finds nothing counts nodes of its own project alone', async () => {
    const of = async (resource_class: string) =>
      (await settled('boss', (await as('boss', 'POST', '/v1/allocations', { resource_class })).body.uuid))
        .last_error as string
    await as('root', 'POST', '/v1/nodes', { driver: 'fake-hardware', owner: 'red', resource_class: 'foreign' })
    expect((await of('foreign')).replaceAll('foreign', 'X')).toBe((await of('nothing')).replaceAll('nothing', 'X'))
    expect(await of('small')).toMatch(/none of (the )?1 /)
  })
  test('an allocation whose UUID is that of an instance of another project does not become active on it', async () => {
    const instance = randomUUID()
    expect(
      (await as('red', 'PATCH', `/v1/nodes/${ids.node}`, [{ op: 'add', path: '/instance_uuid', value: instance }]))
        .status,
    ).toBe(200)
    expect((await as('boss', 'POST', '/v1/allocations', { uuid: instance, resource_class: 'small' })).status).toBe(201)
    const ended = await settled('boss', instance)
    expect([ended.state, ended.node_uuid]).toEqual(['error', null])
    expect(ended.last_error).not.toContain(ids.node)
    expect((await as('red', 'GET', `/v1/nodes/${ids.node}`)).body).toMatchObject({
      instance_uuid: instance,
      allocation_uuid: null,
    })
  })
  test('a VIF that is in use elsewhere is refused without the name of that node', async () => {
    expect((await as('red', 'POST', '/v1/nodes/theirs/vifs', { id: 'vif-of-red' })).status).toBe(204)
    const { status, body } = await as('boss', 'POST', '/v1/nodes/mine/vifs', { id: 'vif-of-red' })
    expect([status, JSON.stringify(body).includes(ids.node as string)]).toEqual([409, false])
  })
})
