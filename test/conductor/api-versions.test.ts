/** Microversions: every gated field, verb, argument, filter and route, on both sides of the version that brought it. */
import { beforeAll, describe, expect, test } from 'vitest'
import { MAX_MINOR, NODE_FIELDS, NODE_FILTERS, PORT_FIELDS, TARGETS } from '../../conductor/api/versions.ts'
import { at, call, conductor, create, drive } from './api-bench.ts'

let node = ''
let port = ''
beforeAll(async () => {
  node = String((await create({ name: 'gates' })).uuid)
  port = String((await call('POST', '/v1/ports', { node_uuid: node, address: '52:54:00:be:00:01' })).body.uuid)
})

const gated = (gates: Readonly<Record<string, number>>) => Object.entries(gates).filter(([, since]) => since > 1)

test('the window is 1.1 to 1.110, and each is echoed exactly', async () => {
  expect(MAX_MINOR).toBe(110)
  for (const minor of [1, 2, 89, 110]) {
    const { headers } = await at(minor, 'GET', '/v1/nodes')
    expect([headers['x-openstack-ironic-api-version'], headers['openstack-api-version']]).toEqual([
      `1.${minor}`,
      `baremetal 1.${minor}`,
    ])
  }
})

describe('fields', () => {
  test.each(gated(NODE_FIELDS))('of a node: %s since 1.%i', async (name, since) => {
    expect((await at(since - 1, 'GET', `/v1/nodes/${node}`)).body).not.toHaveProperty(name)
    expect((await at(since, 'GET', `/v1/nodes/${node}`)).body).toHaveProperty(name)
    if (since > 8) {
      expect((await at(since - 1, 'GET', `/v1/nodes?fields=${name}`)).status).toBe(406)
      expect((await at(since, 'GET', `/v1/nodes?fields=${name}`)).status).toBe(200)
    }
  })
  test.each(gated(PORT_FIELDS))('of a port: %s since 1.%i', async (name, since) => {
    expect((await at(since - 1, 'GET', `/v1/ports/${port}`)).body).not.toHaveProperty(name)
    expect((await at(since, 'GET', `/v1/ports/${port}`)).body).toHaveProperty(name)
  })
  test.each(gated(NODE_FILTERS))('filter of the node list: %s since 1.%i', async (name, since) => {
    expect((await at(since - 1, 'GET', `/v1/nodes?${name}=x`)).status).toBe(406)
    expect((await at(since, 'GET', `/v1/nodes?${name}=x`)).status).not.toBe(406)
  })
  test.each([
    ['name', 5, 'n-1'],
    ['resource_class', 21, 'x'],
    ['deploy_interface', 31, 'fake'],
    ['owner', 50, 'x'],
    ['network_data', 66, {}],
    ['shard', 82, 'x'],
    ['disable_power_off', 95, true],
    ['instance_name', 104, 'x'],
  ])('in a body: %s since 1.%i', async (name, since, value) => {
    const own = (await create()).uuid
    expect((await at(since - 1, 'POST', '/v1/nodes', { driver: 'fake-hardware', [name]: value })).status).toBe(406)
    const patch = [{ op: 'add', path: `/${name}`, value }]
    expect((await at(since - 1, 'PATCH', `/v1/nodes/${own}`, patch)).status).toBe(406)
    expect((await at(since, 'PATCH', `/v1/nodes/${own}`, patch)).status).toBe(200)
  })
})

describe('verbs', () => {
  test.each(Object.entries(TARGETS).filter(([, { since }]) => since > 1))('%s', async (target, { since }) => {
    const body = target === 'service' ? { target, service_steps: [{ interface: 'deploy', step: 'hold' }] } : { target }
    const status = async (minor: number) =>
      (await at(minor, 'PUT', `/v1/nodes/${(await create()).uuid}/states/provision`, body)).status
    expect(await status(since - 1)).toBe(406)
    expect(await status(since)).not.toBe(406)
  })
  const steps = [{ interface: 'deploy', step: 'hold' }]
  test.each([
    ['configdrive as an object', 56, { target: 'active', configdrive: { meta_data: {} } }],
    ['vendor_data', 59, { target: 'active', configdrive: { vendor_data: {} } }],
    ['configdrive on rebuild', 35, { target: 'rebuild', configdrive: 'YQ==' }],
    ['deploy_steps', 69, { target: 'active', deploy_steps: [] }],
    ['disable_ramdisk on clean', 70, { target: 'clean', clean_steps: steps, disable_ramdisk: true }],
    ['runbook', 92, { target: 'clean', runbook: 'CUSTOM_X' }],
    ['disable_ramdisk on service', 108, { target: 'service', service_steps: steps, disable_ramdisk: true }],
  ])('argument: %s', async (_, since, body) => {
    expect((await at(since - 1, 'PUT', `/v1/nodes/${node}/states/provision`, body)).status).toBe(406)
    expect((await at(since, 'PUT', `/v1/nodes/${node}/states/provision`, body)).status).not.toBe(406)
  })
  test('soft power and its time-out since 1.27', async () => {
    for (const body of [{ target: 'soft power off' }, { target: 'power on', timeout: 5 }])
      expect((await at(26, 'PUT', `/v1/nodes/${node}/states/power`, body)).status).toBe(406)
  })
})

describe('routes', () => {
  test('every route with a version is refused below it as Ironic does, and not from it on', async () => {
    const checked: string[] = []
    for (const route of conductor.routes) {
      if (route.since === undefined || route.since < 2) continue
      const path = route.path
        .replace('/v1/nodes/:ident', `/v1/nodes/${node}`)
        .replace(/:\w+/g, '00000000-0000-4000-8000-000000000001')
      const below = await at(
        route.since - 1,
        route.method.toUpperCase(),
        path,
        route.method === 'get' || route.method === 'delete' ? undefined : {},
      )
      expect([route.method, route.path, below.status]).toEqual([route.method, route.path, route.below ?? 404])
      const from = await at(
        route.since,
        route.method.toUpperCase(),
        path,
        route.method === 'get' || route.method === 'delete' ? undefined : {},
      )
      expect([route.method, route.path, [405, 406, 500].includes(from.status)]).toEqual([
        route.method,
        route.path,
        false,
      ])
      checked.push(route.path)
    }
    expect(checked.length).toBeGreaterThan(70)
  })
  test('a resource is in the document at /v1 from its version on', async () => {
    for (const [name, since] of [
      ['portgroups', 23],
      ['volume', 32],
      ['conductors', 49],
      ['allocations', 52],
      ['deploy_templates', 55],
      ['shards', 82],
      ['runbooks', 92],
      ['inspection_rules', 96],
    ] as const) {
      expect((await at(since - 1, 'GET', '/v1')).body).not.toHaveProperty(name)
      expect((await at(since, 'GET', '/v1')).body).toHaveProperty(name)
    }
  })
  test('names of nodes are understood since 1.5', async () => {
    expect([(await at(4, 'GET', '/v1/nodes/gates')).status, (await at(5, 'GET', '/v1/nodes/gates')).status]).toEqual([
      404, 200,
    ])
  })
  test('paths are taken without /v1 and with a slash at the end; a wrong method is 405 with those that are right', async () => {
    expect((await call('GET', `/nodes/${node}/`)).body.uuid).toBe(node)
    const wrong = await call('PUT', '/v1/nodes')
    expect([wrong.status, wrong.headers.allow]).toEqual([405, 'GET, POST'])
  })
  test('older versions know other words for states', async () => {
    const available = await call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'shim', automated_clean: false })
    const { uuid } = available.body
    for (const target of ['manage', 'provide']) {
      await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })
      await expect
        .poll(async () => (await call('GET', `/v1/nodes/${uuid}`)).body.reservation, { timeout: 10_000 })
        .toBeNull()
    }
    expect([
      (await at(1, 'GET', `/v1/nodes/${uuid}`)).body.provision_state,
      (await at(2, 'GET', `/v1/nodes/${uuid}`)).body.provision_state,
    ]).toEqual([null, 'available'])
  })
})

describe('what comes with other resources', () => {
  let group = ''
  beforeAll(async () => {
    group = String((await call('POST', '/v1/portgroups', { node_uuid: node, name: 'gated' })).body.uuid)
  })
  test.each([
    ['ports', 24],
    ['physical_network', 102],
    ['category', 103],
  ])('a portgroup has %s since 1.%i', async (name, since) => {
    expect((await at(since - 1, 'GET', `/v1/portgroups/${group}`)).body).not.toHaveProperty(name)
    expect((await at(since, 'GET', `/v1/portgroups/${group}`)).body).toHaveProperty(name)
  })

  // As in Ironic 21.4, whose tests ask for it.
  test.each([
    ['mode', '802.3ad'],
    ['properties', { miimon: 100 }],
  ])('%s of a portgroup is shown since 1.23 and given since 1.26', async (name, value) => {
    expect((await at(23, 'GET', `/v1/portgroups/${group}`)).body).toHaveProperty(name)
    const make = (minor: number) =>
      at(minor, 'POST', '/v1/portgroups', { node_uuid: node, name: `gated-${name}`, [name]: value })
    expect([(await make(25)).status, (await make(26)).status]).toEqual([406, 201])
  })

  const both = async (since: number, method: string, path: string, body?: unknown) => [
    (await at(since - 1, method, path, body)).status,
    (await at(since, method, path, body)).status,
  ]
  const refusedThenTaken = ([below, from]: number[]) => [below, from !== 406 && from !== undefined && from < 500]
  test.each([
    ['an allocation for an owner', 60, 'POST', '/v1/allocations', { resource_class: 'x', owner: 'y' }],
    ['an allocation afterwards', 58, 'POST', '/v1/allocations', { node: 'gates' }],
    ['a port by the name of its node', 94, 'POST', '/v1/ports', { node_ident: 'gates', address: '52:54:00:be:00:02' }],
    [
      'the kind of a link',
      64,
      'POST',
      '/v1/ports',
      { node_uuid: '', address: '52:54:00:be:00:03', local_link_connection: { network_type: 'managed' } },
    ],
    [
      'a VIF on a port',
      67,
      'POST',
      '/v1/nodes/gates/vifs',
      { id: 'v', port_uuid: '00000000-0000-4000-8000-000000000001' },
    ],
    ['fields of a driver', 77, 'GET', '/v1/drivers?fields=name', undefined],
    ['detail of drivers', 30, 'GET', '/v1/drivers?detail=true', undefined],
    ['detail of settings', 74, 'GET', '/v1/nodes/gates/bios?detail=true', undefined],
    ['detail of a list', 43, 'GET', '/v1/nodes?detail=true', undefined],
    ['fields of a list', 8, 'GET', '/v1/nodes?fields=uuid', undefined],
    ['portgroups of a shard', 106, 'GET', '/v1/portgroups?shard=x', undefined],
    ['ports of a shard', 82, 'GET', '/v1/ports?shard=x', undefined],
    ['ports by description', 97, 'GET', '/v1/ports?description_contains=x', undefined],
    ['ports of conductor groups', 99, 'GET', '/v1/ports?conductor_groups=x', undefined],
  ] as const)('%s since 1.%i', async (_, since, method, path, body) => {
    const given = body && 'node_uuid' in body ? { ...body, node_uuid: node } : body
    expect(refusedThenTaken(await both(since, method, path, given))).toEqual([406, true])
  })
  test.each([
    ['agent_version', 36, '1'],
    ['agent_token', 62, 'x'],
    ['agent_verify_ca', 68, 'x'],
    ['agent_status', 72, 'start'],
  ])('a heartbeat has %s since 1.%i', async (name, since, value) => {
    expect(
      refusedThenTaken(await both(since, 'POST', `/v1/heartbeat/${node}`, { callback_url: 'http://x', [name]: value })),
    ).toEqual([406, true])
  })
  test.each([
    ['clean hold', 13],
    ['deploy hold', 13],
  ] as const)('abort in %s since 1.%i', async (state, since) => {
    const own = (await create()).uuid
    const hold = [{ interface: 'deploy', step: 'hold', ...(state === 'deploy hold' ? { args: {}, priority: 90 } : {}) }]
    await drive(own, 'manage', ...(state === 'clean hold' ? [] : ['provide']))
    await drive(
      own,
      state === 'clean hold' ? ['clean', state, { clean_steps: hold }] : ['active', state, { deploy_steps: hold }],
    )
    expect(await both(since, 'PUT', `/v1/nodes/${own}/states/provision`, { target: 'abort' })).toEqual([406, 202])
  })
})
