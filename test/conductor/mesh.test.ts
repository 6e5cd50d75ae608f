/** The conductor and the mesh: what a living host keeps from being done to its node, what the mesh is told before, and
 *  fencing through the one queue. */
import { createServer, request as plainRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { ConductorPower } from '../../host-agent/adapters/bmc.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { call as plain } from './api-bench.ts'

interface Seen {
  method: string
  path: string
  body: any
  behalf: string | undefined
}

let dir = ''
let own: Conductor
let arbiter: Server
let sim: Sim
let seen: Seen[] = []
/** Every path that the arbiter was asked for. */
let asked: string[] = []
let mesh: {
  leads: boolean
  leader: string | null
  leader_api: string | null
  arbiters?: unknown[]
  hosts: Record<string, unknown>[]
}
const host = (more: Record<string, unknown> = {}) => ({
  name: 'h1',
  node: null,
  state: 'healthy',
  last_heard_seconds: 0.2,
  guests: 2,
  instances: 2,
  hold: null,
  ...more,
})
const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  plain(method, path, body, { 'OpenStack-API-Version': 'baremetal latest', ...headers }, own.addresses[0])
const stateOf = async () => (await call('GET', '/v1/nodes/h1')).body.provision_state
const said = (answer: { body: any }) => JSON.parse(answer.body.error_message).faultstring as string

function answerOf(url: string): unknown {
  asked.push(url)
  if (url === '/rackward/v1/mesh/leader') return { name: mesh.leader, api: mesh.leader_api, leads: mesh.leads }
  if (url === '/rackward/v1/mesh/registry' || url.startsWith('/rackward/v1/mesh/nodes/')) return mesh
  return { passed: url }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-mesh-link-'))
  sim = await startSim(44)
  arbiter = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const behalf = request.headers['x-rackward-on-behalf-of'] as string | undefined
      if (request.method !== 'GET' || behalf !== undefined)
        seen.push({
          method: request.method ?? '',
          path: request.url ?? '',
          body: text === '' ? undefined : JSON.parse(text),
          behalf,
        })
      response.setHeader('content-type', 'application/json')
      response.setHeader('x-rackward-leads', String(mesh.leads))
      response.end(JSON.stringify(answerOf(request.url ?? '')))
    })
  })
  await new Promise<void>((resolve) => arbiter.listen(0, '127.0.0.1', resolve))
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    fake: { delaySeconds: 0.01 },
    mesh: { arbiters: ['http://127.0.0.1:1', `http://127.0.0.1:${(arbiter.address() as AddressInfo).port}`] },
  })
  own = await startConductor(config, { log: silentLog })
  mesh = { leads: true, leader: 'a1', leader_api: null, arbiters: [], hosts: [] }
  await call('POST', '/v1/nodes', { name: 'h1', driver: 'fake-hardware' })
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
    ['active', 'active'],
  ] as const) {
    await call('PUT', '/v1/nodes/h1/states/provision', { target })
    await until(async () => (await stateOf()) === state, { what: state, timeoutMs: 20_000 })
  }
}, 60_000)
afterAll(async () => {
  await own.stop()
  arbiter.closeAllConnections()
  arbiter.close()
  await sim.stop()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  seen = []
  asked = []
  mesh = { leads: true, leader: 'a1', leader_api: null, hosts: [host()] }
})

test.each([
  ['provision', { target: 'rebuild' }],
  ['provision', { target: 'deleted' }],
  ['power', { target: 'power off' }],
  ['power', { target: 'soft rebooting' }],
])('%s %j of a living host with guests is refused, and nothing was begun', async (kind, body) => {
  const answer = await call('PUT', `/v1/nodes/h1/states/${kind}`, body)
  expect(answer.status).toBe(409)
  expect(said(answer)).toMatch(/host h1 of the mesh, which is alive and runs 2 guests/)
  expect(await stateOf()).toBe('active')
  expect(seen).toEqual([])
})

test('a host whose guests cannot be counted counts as one that has some; a drained one does not', async () => {
  mesh.hosts = [host({ guests: null, instances: 0 })]
  expect((await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' })).status).toBe(409)
  mesh.hosts = [host({ guests: 0, instances: 0 })]
  expect((await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' })).status).toBe(202)
  expect(seen).toMatchObject([
    {
      method: 'PUT',
      path: '/rackward/v1/mesh/hosts/h1/hold',
      body: { kind: 'deploying', why: 'rebooting by anybody' },
    },
  ])
})

test('what does not end its guests is nobody’s business', async () => {
  expect((await call('PUT', '/v1/nodes/h1/states/power', { target: 'power on' })).status).toBe(202)
  expect(seen).toEqual([])
})

test('with the name of the host typed it is done, and the mesh is told first', async () => {
  expect(
    (await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' }, { 'X-Rackward-Confirm': 'h2' })).status,
  ).toBe(409)
  expect(
    (await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' }, { 'X-Rackward-Confirm': 'h1' })).status,
  ).toBe(202)
  expect(seen).toHaveLength(1)
})

test.each(['confirmed', 'fencing', 'fence failed', 'evacuating'])(
  'a host that the mesh is at work on (%s) is left alone, however dead',
  async (state) => {
    mesh.hosts = [host({ state, last_heard_seconds: 60, guests: 0, instances: 0 })]
    const answer = await call('PUT', '/v1/nodes/h1/states/provision', { target: 'rebuild' })
    expect(answer.status).toBe(409)
    expect(said(answer)).toMatch(/wait until it is evacuated/)
    expect(seen).toEqual([])
  },
)

test('a host that is evacuated is imaged again: the mesh is told that its key will be another, and a person’s hold stays', async () => {
  const again = async () => {
    expect((await call('PUT', '/v1/nodes/h1/states/provision', { target: 'rebuild' })).status).toBe(202)
    await until(async () => (await stateOf()) === 'active', { what: 'active', timeoutMs: 20_000 })
  }
  const dead = { state: 'evacuated', last_heard_seconds: 60, guests: 0, instances: 0 }
  mesh.hosts = [host(dead)]
  await again()
  expect(seen[0]).toMatchObject({
    method: 'PUT',
    path: '/rackward/v1/mesh/hosts/h1/hold',
    body: { kind: 'deploying', reimaged: true },
  })
  // The second spelling is that of arbiters of version 0.2.
  for (const reason of [
    { reason: 'fans', requested_by: 'op' },
    { why: 'fans', by: 'op' },
  ]) {
    seen = []
    mesh.hosts = [host({ ...dead, hold: { kind: 'maintenance', ...reason, seconds: null } })]
    await again()
    expect(seen[0]).toMatchObject({
      method: 'PUT',
      body: { kind: 'maintenance', why: 'fans', seconds: null, reimaged: true },
    })
  }
})

test('a mesh without a leader cannot say whether the node is in use: refused, but for its name', async () => {
  mesh = { ...mesh, leads: false, leader: null }
  const answer = await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' })
  expect(answer.status).toBe(409)
  expect(said(answer)).toMatch(/cannot be looked up/)
  expect(
    (await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' }, { 'X-Rackward-Confirm': 'h1' })).status,
  ).toBe(202)
})

test('a host that works on is given back when its node rests', { timeout: 30_000 }, async () => {
  mesh.hosts = [host({ hold: { kind: 'deploying', why: 'rebuild by op', by: 'conductor' } })]
  await until(
    () => seen.some(({ method, path }) => method === 'DELETE' && path === '/rackward/v1/mesh/hosts/h1/hold'),
    {
      what: 'the hold to end',
      timeoutMs: 25_000,
    },
  )
  // No other that a person has placed since.
  expect(seen.find(({ method }) => method === 'DELETE')?.body).toEqual({ reason: 'rebuild by op' })
})

test('the leader is looked for once, asked small questions, and looked for again when it says that it leads no more', async () => {
  const reboot = () => call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' }, { 'X-Rackward-Confirm': 'h1' })
  await reboot()
  asked = []
  for (let i = 0; i < 3; i += 1) await reboot()
  const looked = asked.filter((url) => url !== '/rackward/v1/mesh/registry')
  expect(looked.filter((url) => url === '/rackward/v1/mesh/leader')).toEqual([])
  expect(looked.filter((url) => url.startsWith('/rackward/v1/mesh/nodes/'))).toHaveLength(3)
  expect(asked).not.toContain('/rackward/v1/mesh')
  mesh = { ...mesh, leads: false, leader: null }
  expect((await call('PUT', '/v1/nodes/h1/states/power', { target: 'rebooting' })).status).toBe(409)
  expect(asked).toContain('/rackward/v1/mesh/leader')
})

test('the API of the mesh is passed on, with who asked', async () => {
  expect((await call('GET', '/rackward/v1/incidents')).body).toEqual({ passed: '/rackward/v1/incidents' })
  await call('PUT', '/rackward/v1/mesh/policy', { armed: false, why: 'x' })
  expect(seen.at(-1)).toMatchObject({
    method: 'PUT',
    path: '/rackward/v1/mesh/policy',
    behalf: 'anybody',
    body: { armed: false },
  })
  // A name cannot walk to another path.
  await call('GET', '/rackward/v1/incidents/..%2Fmesh')
  expect(seen.at(-1)?.path).toBe('/rackward/v1/incidents/..%2Fmesh')
})

/** As it stands, which `new URL` would not leave it. */
const raw = (method: string, path: string) =>
  new Promise<number>((resolve, reject) => {
    const { hostname, port } = new URL(own.addresses[0] as string)
    plainRequest({ hostname, port, method, path }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })

test.each(['.', '..', '%2e', '%2E', '%2e%2e', '.%2e', '%2E.'])(
  'a name that leads to another path of the arbiter is not passed on: %s',
  async (name) => {
    const before = seen.length
    expect(await raw('DELETE', `/rackward/v1/mesh/hosts/${name}/hold`)).toBeGreaterThanOrEqual(400)
    expect(await raw('GET', `/rackward/v1/mesh/hosts/${name}/explain`)).toBeGreaterThanOrEqual(400)
    expect(await raw('GET', `/rackward/v1/incidents/${name}`)).toBeGreaterThanOrEqual(400)
    expect(seen.slice(before)).toEqual([])
  },
)

test('a fence asks the BMC whose it is and what it says; OFF goes only to an active node', async () => {
  await call('POST', '/v1/nodes', {
    name: 'real',
    driver: 'ipmi',
    driver_info: { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret', ipmi_cipher_suite: 3 },
  })
  const known = await call('POST', '/rackward/v1/nodes/real/fence', { act: 'identify' })
  expect(known.body).toMatchObject({ power: 'off', system_uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  const again = await call('POST', '/rackward/v1/nodes/real/fence', { act: 'identify' })
  expect(again.body.session).not.toBe(known.body.session)
  // As an arbiter asks, by the host's name.
  const power = new ConductorPower({ url: own.addresses[0] as string, authorization: undefined, ca: undefined })
  const ask = (name: string) => power.ask({ name, node: null }, 'identify', AbortSignal.timeout(10_000))
  expect(await ask('real')).toMatchObject({ power: 'off', systemUuid: known.body.system_uuid })
  await expect(ask('nobody')).rejects.toThrow(/answered 404: there is no node "nobody"/)
  await expect(ask('nobody')).rejects.toMatchObject({ code: 'object.missing' })
  const bare = await plain('POST', '/rackward/v1/nodes/real/fence', { act: 'identify' }, {}, own.addresses[0])
  expect(bare.status).toBe(200)
  expect((await call('POST', '/rackward/v1/nodes/real/fence', { act: 'off' })).status).toBe(400)
  expect((await sim.calls()).filter((line) => line.startsWith('set power'))).toEqual([])
  await until(async () => (await call('POST', '/rackward/v1/nodes/h1/fence', { act: 'off' })).status === 200, {
    what: 'the node to rest',
    timeoutMs: 30_000,
  })
  expect((await call('POST', '/rackward/v1/nodes/h1/fence', { act: 'identify' })).body).toMatchObject({
    power: 'off',
    system_uuid: null,
  })
})
