/** The REST API of a live conductor with fake hardware: Ironic's paths, codes, error body; hostile input. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config, devConfig } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { loadSeal } from '../../conductor/store/secrets.ts'

let dir = ''
let conductor: Conductor
let base = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-api-'))
  conductor = await startConductor({ ...devConfig({ port: 0, data: dir }), fake: { delaySeconds: 0.01 } }, { log: silentLog })
  base = conductor.addresses[0] as string
})
afterAll(async () => {
  await conductor.stop()
  await rm(dir, { recursive: true })
})

interface Answer {
  status: number
  body: any
  headers: Record<string, string | string[] | undefined>
}

function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { 'OpenStack-API-Version': 'baremetal latest' },
  to = base,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ask = request(`${to}${path}`, { method, headers: { 'content-type': 'application/json', ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        resolve({ status: response.statusCode ?? 0, body: text ? JSON.parse(text) : undefined, headers: response.headers })
      })
    })
    ask.on('error', reject)
    ask.end(body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body))
  })
}
const faultOf = (answer: Answer) => JSON.parse(answer.body.error_message) as { faultcode: string; faultstring: string; debuginfo: null }
const create = async (more: Record<string, unknown> = {}) => (await call('POST', '/v1/nodes', { driver: 'fake-hardware', ...more })).body
const state = (uuid: string, wanted: string) =>
  until(async () => ((await call('GET', `/v1/nodes/${uuid}`)).body.provision_state === wanted ? true : undefined), {
    what: wanted,
    timeoutMs: 5000,
    everyMs: 10,
  })

describe('versions', () => {
  test('discovery is public, and every answer names minimum, maximum and the version used', async () => {
    const root = await call('GET', '/', undefined, {})
    expect(root.body.default_version).toMatchObject({ id: 'v1', status: 'CURRENT', min_version: '1.1', version: '1.81' })
    expect(root.headers).toMatchObject({
      'x-openstack-ironic-api-minimum-version': '1.1',
      'x-openstack-ironic-api-maximum-version': '1.81',
      'x-openstack-ironic-api-version': '1.1',
    })
    expect((await call('GET', '/v1')).body).toMatchObject({ id: 'v1', media_types: [{ base: 'application/json' }] })
  })
  test.each([['1.82'], ['2.1'], ['x'], ['1.0']])('%s is 406, with the range and without an echo', async (version) => {
    const answer = await call('GET', '/v1/nodes', undefined, { 'X-OpenStack-Ironic-API-Version': version })
    expect([answer.status, answer.headers['x-openstack-ironic-api-version'], answer.headers['x-openstack-ironic-api-maximum-version']]).toEqual([
      406,
      undefined,
      '1.81',
    ])
  })
  test('a field is there from its version on, and asking for it before is 406', async () => {
    const { uuid } = await create({ name: 'fields' })
    const at = (minor: number, path = '') => call('GET', `/v1/nodes/${uuid}${path}`, undefined, { 'OpenStack-API-Version': `baremetal 1.${minor}` })
    expect([(await at(20)).body.resource_class, (await at(21)).body.resource_class]).toEqual([undefined, null])
    expect((await at(20, '?fields=resource_class')).status).toBe(406)
    expect((await at(21, '?fields=resource_class')).body).toEqual({ resource_class: null, links: expect.any(Array) as unknown })
    expect((await at(21, '?fields=no_such')).status).toBe(400)
  })
  test('verbs are refused below their version', async () => {
    const { uuid } = await create()
    for (const [target, minor] of [
      ['manage', 3],
      ['inspect', 5],
      ['abort', 12],
      ['clean', 14],
    ] as const) {
      expect((await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target }, { 'OpenStack-API-Version': `baremetal 1.${minor}` })).status).toBe(406)
    }
  })
})

describe('nodes', () => {
  test('are created, shown, listed, changed and deleted', async () => {
    const made = await call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'rack1.u7', extra: { a: 1 }, driver_info: { ipmi_password: 'geheim' } })
    expect([made.status, made.headers.location]).toEqual([201, `${base}/v1/nodes/${made.body.uuid}`])
    expect(made.body).toMatchObject({
      provision_state: 'enroll',
      power_state: null,
      name: 'rack1.u7',
      driver_info: { ipmi_password: '******' },
      reservation: null,
    })
    const changed = await call('PATCH', '/v1/nodes/rack1.u7', [
      { op: 'add', path: '/properties/cpus', value: 4 },
      { op: 'remove', path: '/extra/a' },
      { op: 'replace', path: '/description', value: 'x' },
    ])
    expect(changed).toMatchObject({ status: 200, body: { properties: { cpus: 4 }, extra: {}, description: 'x', driver_info: { ipmi_password: '******' } } })
    expect((await call('GET', '/v1/nodes?limit=1')).body.next).toContain('marker=')
    expect((await call('DELETE', `/v1/nodes/${made.body.uuid}`)).status).toBe(204)
    const gone = await call('GET', `/v1/nodes/${made.body.uuid}`)
    expect([gone.status, faultOf(gone)]).toEqual([
      404,
      { faultcode: 'Client', faultstring: expect.stringContaining(made.body.uuid) as string, debuginfo: null },
    ])
  })
  test('go from enroll to active and back with the verbs, and the BMC follows', async () => {
    const { uuid } = await create()
    for (const [target, wanted] of [
      ['manage', 'manageable'],
      ['inspect', 'manageable'],
      ['provide', 'available'],
      ['active', 'active'],
      ['rebuild', 'active'],
      ['deleted', 'available'],
      ['manage', 'manageable'],
    ] as const) {
      expect((await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })).status).toBe(202)
      await state(uuid, wanted)
      await until(async () => (await call('GET', `/v1/nodes/${uuid}`)).body.reservation === null, { what: 'the lock to go', timeoutMs: 5000, everyMs: 10 })
    }
    expect((await call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })).status).toBe(202)
    await until(async () => (await call('GET', `/v1/nodes/${uuid}/states`)).body.power_state === 'power on', { what: 'power', timeoutMs: 5000, everyMs: 10 })
    expect((await call('PUT', `/v1/nodes/${uuid}/management/boot_device`, { boot_device: 'pxe', persistent: true })).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${uuid}/management/boot_device`)).body).toEqual({ boot_device: 'pxe', persistent: true })
  })
  test('a verb that the state does not allow is 400 and says which state; a locked node is 409', async () => {
    const { uuid } = await create()
    const refused = await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    expect([refused.status, faultOf(refused).faultstring]).toEqual([400, expect.stringContaining('"enroll"')])
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    await state(uuid, 'manageable')
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' })
    const [first, second] = [await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' }), await call('DELETE', `/v1/nodes/${uuid}`)]
    expect([[400, 409].includes(first.status), [204, 409].includes(second.status)]).toEqual([true, true])
  })
  test('maintenance is set with its reason and cleared with its fault', async () => {
    const { uuid } = await create()
    expect((await call('PUT', `/v1/nodes/${uuid}/maintenance`, { reason: 'fan' })).status).toBe(202)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({ maintenance: true, maintenance_reason: 'fan' })
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    await state(uuid, 'manageable')
    const clean = await call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: 'clean',
      clean_steps: [{ interface: 'deploy', step: 'erase_devices_metadata' }],
    })
    expect(clean.status).toBe(400)
    expect((await call('DELETE', `/v1/nodes/${uuid}/maintenance`)).status).toBe(202)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({ maintenance: false, maintenance_reason: null })
  })
  test('validate says what is missing, per interface, and asks no BMC', async () => {
    const { uuid } = await create({ driver: 'ipmi', driver_info: {} })
    const answer = (await call('GET', `/v1/nodes/${uuid}/validate`)).body
    expect(answer.power).toEqual({ result: false, reason: expect.stringContaining('driver_info/ipmi_address') as string })
    expect(answer.deploy.reason).toContain('instance_info/image_source')
    expect(answer.boot.reason).toContain('pxe_enabled')
    expect(answer.raid.result).toBeNull()
  })
})

describe('ports', () => {
  test('belong to a node, have one MAC each, and go with it', async () => {
    const { uuid } = await create()
    const made = await call('POST', '/v1/ports', { node_uuid: uuid, address: '52-54-00-AA-BB-01' })
    expect(made).toMatchObject({ status: 201, body: { address: '52:54:00:aa:bb:01', pxe_enabled: true } })
    expect((await call('POST', '/v1/ports', { node_uuid: uuid, address: '52:54:00:aa:bb:01' })).status).toBe(409)
    expect((await call('GET', `/v1/nodes/${uuid}/ports`)).body.ports).toHaveLength(1)
    expect((await call('PATCH', `/v1/ports/${made.body.uuid}`, [{ op: 'replace', path: '/pxe_enabled', value: false }])).body.pxe_enabled).toBe(false)
    expect((await call('DELETE', `/v1/ports/${made.body.uuid}`)).status).toBe(204)
  })
})

test('a mask that a client sends back keeps the secret that it stands for', async () => {
  const { uuid } = await create({ driver: 'ipmi', driver_info: { ipmi_address: '127.0.0.1', ipmi_password: 'geheim' } })
  const { driver_info } = (await call('GET', `/v1/nodes/${uuid}`)).body
  await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'replace', path: '/driver_info', value: { ...driver_info, ipmi_port: 624 } }])
  const db = new Database(join(dir, 'rackward.db'), { readonly: true })
  const { body } = db.prepare('SELECT body FROM nodes WHERE uuid = ?').get(uuid) as { body: string }
  db.close()
  const seal = await loadSeal(join(dir, 'secret.key'), systemRandom)
  expect(seal.openAll((JSON.parse(body) as { driverInfo: Record<string, unknown> }).driverInfo, uuid)).toEqual({
    ipmi_address: '127.0.0.1',
    ipmi_password: 'geheim',
    ipmi_port: 624,
  })
})

test('a fixed address is an IPv4 address, and belongs to one port', async () => {
  const { uuid } = await create()
  const port = (address: string, ipv4_address: unknown) => call('POST', '/v1/ports', { node_uuid: uuid, address, extra: { ipv4_address } })
  const bad = await port('52:54:00:aa:cc:01', '10.0.0.999')
  expect([bad.status, faultOf(bad).faultstring]).toEqual([400, expect.stringContaining('extra/ipv4_address')])
  expect((await port('52:54:00:aa:cc:01', '10.0.0.9')).status).toBe(201)
  expect((await port('52:54:00:aa:cc:02', '10.0.0.9')).status).toBe(409)
})

describe('hostile input is 4xx with a clear message, never 5xx, and changes nothing', () => {
  test.each([
    ['no JSON', '{"driver": ', 400, 'not JSON'],
    ['no object', '[1]', 400, 'not a JSON object'],
    ['a number', '7', 400, 'not JSON'],
    ['too large', JSON.stringify({ driver: 'fake-hardware', extra: { x: 'x'.repeat(1_100_000) } }), 413, 'too large'],
    ['too deep', `{"driver":"fake-hardware","extra":${'{"a":'.repeat(400)}1${'}'.repeat(400)}}`, 400, 'nested deeper'],
    ['an unknown field', { driver: 'fake-hardware', proprties: {} }, 400, 'did you mean properties?'],
    ['no driver', {}, 400, 'driver is missing'],
    ['an unknown driver', { driver: 'ilo' }, 400, 'fake-hardware'],
    ['a name like a UUID', { driver: 'ipmi', name: '00000000-0000-4000-8000-000000000000' }, 400, 'name'],
    ['a reserved name', { driver: 'ipmi', name: 'detail' }, 400, 'name'],
  ])('%s', async (_, body, status, says) => {
    const before = (await call('GET', '/v1/nodes')).body.nodes.length
    const answer = await call('POST', '/v1/nodes', body)
    expect([answer.status, faultOf(answer).faultstring]).toEqual([status, expect.stringContaining(says)])
    expect((await call('GET', '/v1/nodes')).body.nodes).toHaveLength(before)
  })
  test.each([
    ['a patch that is no list', { op: 'add' }],
    ['an unknown operation', [{ op: 'move', path: '/extra', from: '/name' }]],
    ['a root that may not be changed', [{ op: 'replace', path: '/uuid', value: 'x' }]],
    ['provision_state', [{ op: 'replace', path: '/provision_state', value: 'active' }]],
    ['a prototype', [{ op: 'add', path: '/extra/__proto__/x', value: 1 }]],
    ['a missing target', [{ op: 'remove', path: '/extra/nothing' }]],
    [
      'one good and one bad operation',
      [
        { op: 'replace', path: '/description', value: 'changed' },
        { op: 'replace', path: '/name', value: 'a b' },
      ],
    ],
  ])('patch: %s', async (_, patch) => {
    const { uuid } = await create()
    const before = (await call('GET', `/v1/nodes/${uuid}`)).body
    expect((await call('PATCH', `/v1/nodes/${uuid}`, patch)).status).toBe(400)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toEqual(before)
  })
  test('any path, query and body', async () => {
    const { uuid } = await create({ name: 'fuzz' })
    const before = (await call('GET', '/v1/nodes/fuzz')).body
    const paths = fc.constantFrom(
      '/v1/nodes',
      `/v1/nodes/${uuid}`,
      '/v1/nodes/fuzz/states/power',
      '/v1/nodes/fuzz/states/provision',
      '/v1/nodes/fuzz/management/boot_device',
      '/v1/ports',
      '/v1/nodes/%ff',
      '/v1/nodes/%2e%2e%2f',
      '/v1/x',
      '/v1/nodes/fuzz/validate',
      '/v1/drivers/x',
    )
    const query = fc.dictionary(
      fc.constantFrom('limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'detail', 'associated', 'x'),
      fc.string({ maxLength: 20 }),
      { maxKeys: 3 },
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'PUT', 'POST', 'PATCH'), paths, query, fc.jsonValue({ maxDepth: 4 }), async (method, path, asked, body) => {
        const answer = await call(method, `${path}?${new URLSearchParams(asked).toString()}`, method === 'GET' ? undefined : body)
        expect(answer.status).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
    expect((await call('GET', '/v1/nodes/fuzz')).body).toEqual(before)
  })
})

describe('authentication', () => {
  test('is on unless it is switched off by name; a good password is verified once', async () => {
    const own = await mkdtemp(join(tmpdir(), 'rackward-auth-'))
    await writeFile(join(own, 'htpasswd'), `admin:${await bcrypt.hash('pa:ss', 4)}\n`)
    expect(() => Config.parse({ data: own, images: { store: own }, api: {} })).toThrow(/auth/)
    const locked = await startConductor(
      Config.parse({
        data: join(own, 'data'),
        images: { store: own },
        api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'http_basic', file: join(own, 'htpasswd') } },
      }),
      { log: silentLog },
    )
    const ask = (authorization?: string) => call('GET', '/v1/nodes', undefined, authorization ? { authorization } : {}, locked.addresses[0])
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
    try {
      const refused = await ask()
      expect([refused.status, refused.headers['www-authenticate'], refused.body.error.code]).toEqual([401, 'Basic realm="Baremetal API"', 401])
      expect((await ask(basic('admin:wrong'))).status).toBe(401)
      expect((await ask(basic('root:pa:ss'))).status).toBe(401)
      expect((await ask('Bearer x')).status).toBe(400)
      expect([(await ask(basic('admin:pa:ss'))).status, (await ask(basic('admin:pa:ss'))).status]).toEqual([200, 200])
      expect((await call('GET', '/', undefined, {}, locked.addresses[0])).status).toBe(200)
    } finally {
      await locked.stop()
      await rm(own, { recursive: true })
    }
  })
})
