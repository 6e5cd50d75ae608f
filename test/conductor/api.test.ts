/** The REST API of a live conductor with fake hardware: Ironic's paths, fields, codes and error body. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { base, call, create, dir, faultOf, state, stored } from './api-bench.ts'

describe('versions', () => {
  test('discovery is public, and every answer names minimum, maximum and the version used', async () => {
    const root = await call('GET', '/', undefined, {})
    expect(root.body.default_version).toMatchObject({
      id: 'v1',
      status: 'CURRENT',
      min_version: '1.1',
      version: '1.110',
    })
    expect(root.headers).toMatchObject({
      'x-openstack-ironic-api-minimum-version': '1.1',
      'x-openstack-ironic-api-maximum-version': '1.110',
      'x-openstack-ironic-api-version': '1.1',
    })
    expect((await call('GET', '/v1')).body).toMatchObject({ id: 'v1', media_types: [{ base: 'application/json' }] })
  })
  test.each([['1.111'], ['2.1'], ['x'], ['1.0']])('%s is 406, with the range and without an echo', async (version) => {
    const answer = await call('GET', '/v1/nodes', undefined, { 'X-OpenStack-Ironic-API-Version': version })
    expect([
      answer.status,
      answer.headers['x-openstack-ironic-api-version'],
      answer.headers['x-openstack-ironic-api-maximum-version'],
    ]).toEqual([406, undefined, '1.110'])
  })
  test('a field is there from its version on, and asking for it before is 406', async () => {
    const { uuid } = await create({ name: 'fields' })
    const at = (minor: number, path = '') =>
      call('GET', `/v1/nodes/${uuid}${path}`, undefined, { 'OpenStack-API-Version': `baremetal 1.${minor}` })
    expect([(await at(20)).body.resource_class, (await at(21)).body.resource_class]).toEqual([undefined, null])
    expect((await at(20, '?fields=resource_class')).status).toBe(406)
    expect((await at(21, '?fields=resource_class')).body).toEqual({
      resource_class: null,
      links: expect.any(Array) as unknown,
    })
    expect((await at(21, '?fields=no_such')).status).toBe(400)
    for (const name of ['constructor', '__proto__', 'hasownproperty', 'tostring'])
      expect((await at(21, `?fields=uuid,${name}`)).status).toBe(400)
  })
  test('verbs are refused below their version', async () => {
    const { uuid } = await create()
    for (const [target, minor] of [
      ['manage', 3],
      ['inspect', 5],
      ['abort', 12],
      ['clean', 14],
    ] as const) {
      expect(
        (
          await call(
            'PUT',
            `/v1/nodes/${uuid}/states/provision`,
            { target },
            { 'OpenStack-API-Version': `baremetal 1.${minor}` },
          )
        ).status,
      ).toBe(406)
    }
  })
})

describe('nodes', () => {
  test('are created, shown, listed, changed and deleted', async () => {
    const made = await call('POST', '/v1/nodes', {
      driver: 'fake-hardware',
      name: 'rack1.u7',
      extra: { a: 1 },
      driver_info: { ipmi_password: 'geheim' },
    })
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
    expect(changed).toMatchObject({
      status: 200,
      body: { properties: { cpus: 4 }, extra: {}, description: 'x', driver_info: { ipmi_password: '******' } },
    })
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
      await until(async () => (await call('GET', `/v1/nodes/${uuid}`)).body.reservation === null, {
        what: 'the lock to go',
        timeoutMs: 30_000,
        everyMs: 10,
      })
    }
    expect((await call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })).status).toBe(202)
    await until(async () => (await call('GET', `/v1/nodes/${uuid}/states`)).body.power_state === 'power on', {
      what: 'power',
      timeoutMs: 30_000,
      everyMs: 10,
    })
    expect(
      (await call('PUT', `/v1/nodes/${uuid}/management/boot_device`, { boot_device: 'pxe', persistent: true })).status,
    ).toBe(204)
    expect((await call('GET', `/v1/nodes/${uuid}/management/boot_device`)).body).toEqual({
      boot_device: 'pxe',
      persistent: true,
    })
  })
  test('a verb that the state does not allow is 400 and says which state; a locked node is 409', async () => {
    const { uuid } = await create()
    const refused = await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    expect([refused.status, faultOf(refused).faultstring]).toEqual([400, expect.stringContaining('"enroll"')])
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    await state(uuid, 'manageable')
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' })
    const [first, second] = [
      await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' }),
      await call('DELETE', `/v1/nodes/${uuid}`),
    ]
    expect([[400, 409].includes(first.status), [204, 409].includes(second.status)]).toEqual([true, true])
  })
  test('maintenance is set with its reason and cleared with its fault', async () => {
    const { uuid } = await create()
    expect((await call('PUT', `/v1/nodes/${uuid}/maintenance`, { reason: 'fan' })).status).toBe(202)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({
      maintenance: true,
      maintenance_reason: 'fan',
    })
    await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'manage' })
    await state(uuid, 'manageable')
    const clean = await call('PUT', `/v1/nodes/${uuid}/states/provision`, {
      target: 'clean',
      clean_steps: [{ interface: 'deploy', step: 'erase_devices_metadata' }],
    })
    expect(clean.status).toBe(400)
    expect((await call('DELETE', `/v1/nodes/${uuid}/maintenance`)).status).toBe(202)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({
      maintenance: false,
      maintenance_reason: null,
    })
  })
  test('validate says what is missing, per interface, and asks no BMC', async () => {
    const { uuid } = await create({ driver: 'ipmi', driver_info: {} })
    const answer = (await call('GET', `/v1/nodes/${uuid}/validate`)).body
    expect(answer.power).toEqual({
      result: false,
      reason: expect.stringContaining('driver_info/ipmi_address') as string,
    })
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
    expect(
      (await call('PATCH', `/v1/ports/${made.body.uuid}`, [{ op: 'replace', path: '/pxe_enabled', value: false }])).body
        .pxe_enabled,
    ).toBe(false)
    expect((await call('DELETE', `/v1/ports/${made.body.uuid}`)).status).toBe(204)
  })
})

test('a node that runs an instance or failed is deleted only in maintenance: 409', async () => {
  const fake = (await create()).uuid
  for (const [target, wanted] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
    ['active', 'active'],
  ] as const) {
    await call('PUT', `/v1/nodes/${fake}/states/provision`, { target })
    await state(fake, wanted)
  }
  await until(async () => (await call('GET', `/v1/nodes/${fake}`)).body.reservation === null, {
    what: 'the lock to go',
    timeoutMs: 30_000,
    everyMs: 10,
  })
  expect((await call('DELETE', `/v1/nodes/${fake}`)).status).toBe(409)
  await call('PUT', `/v1/nodes/${fake}/maintenance`, {})
  expect((await call('DELETE', `/v1/nodes/${fake}`)).status).toBe(204)
})

test('a patch that changes nothing is 200 and changes nothing, not even the time of the last change', async () => {
  const { uuid } = await create({ description: 'same' })
  const before = (await call('GET', `/v1/nodes/${uuid}`)).body
  for (const patch of [[], [{ op: 'replace', path: '/description', value: 'same' }]])
    expect((await call('PATCH', `/v1/nodes/${uuid}`, patch)).status).toBe(200)
  expect((await call('GET', `/v1/nodes/${uuid}`)).body).toEqual(before)
})

test('a mask that a client sends back keeps the secret that it stands for', async () => {
  const { uuid } = await create({ driver: 'ipmi', driver_info: { ipmi_address: '127.0.0.1', ipmi_password: 'geheim' } })
  const { driver_info } = (await call('GET', `/v1/nodes/${uuid}`)).body
  await call('PATCH', `/v1/nodes/${uuid}`, [
    { op: 'replace', path: '/driver_info', value: { ...driver_info, ipmi_port: 624 } },
  ])
  const row = await stored('nodes', uuid)
  const seal = await loadSeal(join(dir, 'secret.key'), systemRandom)
  const { driverInfo } = JSON.parse(row.body) as { driverInfo: Record<string, unknown> }
  expect(seal.restore({ driverInfo }, JSON.parse(row.sealed) as Record<string, string>, uuid).driverInfo).toEqual({
    ipmi_address: '127.0.0.1',
    ipmi_password: 'geheim',
    ipmi_port: 624,
  })
})

test('a fixed address is an IPv4 address, and belongs to one port', async () => {
  const { uuid } = await create()
  const port = (address: string, ipv4_address: unknown) =>
    call('POST', '/v1/ports', { node_uuid: uuid, address, extra: { ipv4_address } })
  const bad = await port('52:54:00:aa:cc:01', '10.0.0.999')
  expect([bad.status, faultOf(bad).faultstring]).toEqual([400, expect.stringContaining('extra/ipv4_address')])
  expect((await port('52:54:00:aa:cc:01', '10.0.0.9')).status).toBe(201)
  expect((await port('52:54:00:aa:cc:02', '10.0.0.9')).status).toBe(409)
})
