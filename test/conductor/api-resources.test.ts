/** Every resource beside nodes, ports and verbs, on a live conductor: what is created is shown, listed, changed, guarded and deleted. */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { at, base, call, create, dir, drive, faultOf, power } from './api-bench.ts'

const uuidOf = async (path: string, body: unknown): Promise<string> => {
  const made = await call('POST', path, body)
  if (made.status !== 201) throw new Error(JSON.stringify(made.body))
  expect(made.headers.location).toBe(`${base}${path}/${made.body.uuid}`)
  return String(made.body.uuid)
}
const says = (answer: Awaited<ReturnType<typeof call>>) => [answer.status, faultOf(answer).faultstring] as const

/** What the database holds, secrets included. */
async function storedProperties(uuid: string): Promise<unknown> {
  const db = new Database(join(dir, 'rackward.db'), { readonly: true })
  const row = db
    .prepare<[string], { sealed: string; body: string }>('SELECT sealed, body FROM objects WHERE uuid = ?')
    .get(uuid)
  db.close()
  const seal = await loadSeal(join(dir, 'secret.key'), systemRandom)
  const { properties } = JSON.parse(row?.body ?? '{}') as { properties: unknown }
  return seal.restore(
    { properties },
    JSON.parse(row?.sealed ?? '{}') as Record<string, string>,
    `volume target ${uuid}`,
  ).properties
}

describe('smaller resources', () => {
  const STEP = { interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority: 90 }
  test.each([
    ['/v1/chassis', 'chassis', {}, { description: 'row 3' }, '/description'],
    [
      '/v1/portgroups',
      'portgroups',
      { node_uuid: '', name: 'bond0', address: '52:54:00:00:ee:01' },
      { mode: '802.3ad' },
      '/mode',
    ],
    [
      '/v1/deploy_templates',
      'deploy_templates',
      { name: 'CUSTOM_ERASE', steps: [STEP] },
      { name: 'CUSTOM_ERASE2' },
      '/name',
    ],
    [
      '/v1/runbooks',
      'runbooks',
      { name: 'CUSTOM_BOOK', steps: [{ interface: 'deploy', step: 'collect_inventory', args: {}, order: 1 }] },
      { extra: { a: 1 } },
      '/extra',
    ],
    [
      '/v1/inspection_rules',
      'inspection_rules',
      { actions: [{ op: 'set-attribute', args: { path: 'extra/a', value: 1 } }] },
      { priority: 7 },
      '/priority',
    ],
    [
      '/v1/volume/connectors',
      'connectors',
      { node_uuid: '', type: 'iqn', connector_id: 'iqn.2017-05.org.x:1' },
      { extra: { a: 1 } },
      '/extra',
    ],
    [
      '/v1/volume/targets',
      'targets',
      { node_uuid: '', volume_type: 'iscsi', boot_index: 0, volume_id: 'v1' },
      { extra: { a: 1 } },
      '/extra',
    ],
  ])(
    '%s: create, show, list, change, delete',
    async (path, envelope, given: Record<string, unknown>, change: Record<string, unknown>, patch) => {
      const node = await create()
      await power(node.uuid, 'off')
      const body: Record<string, unknown> = 'node_uuid' in given ? { ...given, node_uuid: node.uuid } : given
      const uuid = await uuidOf(path, body)
      expect((await call('GET', `${path}/${uuid}`)).body).toMatchObject({ ...body, uuid })
      const listed = (await call('GET', path)).body[envelope] as { uuid: string }[]
      expect(listed.map((one) => one.uuid)).toContain(uuid)
      const [[key, value]] = Object.entries(change) as [[string, unknown]]
      expect((await call('PATCH', `${path}/${uuid}`, [{ op: 'replace', path: patch, value }])).body).toMatchObject({
        [key]: value,
      })
      expect((await call('GET', `${path}/${uuid}?fields=${key}`)).body).toMatchObject({ [key]: value })
      expect((await call('PATCH', `${path}/${uuid}`, [{ op: 'add', path: '/no_such', value: 1 }])).status).toBe(400)
      if (body.name)
        expect(
          (
            await call('POST', path, {
              ...body,
              name: String(value ?? body.name).startsWith('CUSTOM') ? value : body.name,
            })
          ).status,
        ).toBe(409)
      expect((await call('DELETE', `${path}/${uuid}`)).status).toBe(204)
      expect((await call('GET', `${path}/${uuid}`)).status).toBe(404)
    },
  )

  test('a chassis that holds nodes and a portgroup that bundles ports stay; a card joins a group of its own node only', async () => {
    const chassis = await uuidOf('/v1/chassis', {})
    const node = await create({ chassis_uuid: chassis })
    expect((await call('DELETE', `/v1/chassis/${chassis}`)).status).toBe(400)
    expect(
      (await call('GET', `/v1/chassis/${chassis}/nodes`)).body.nodes.map((one: { uuid: string }) => one.uuid),
    ).toEqual([node.uuid])
    const group = await uuidOf('/v1/portgroups', { node_uuid: node.uuid })
    const port = await uuidOf('/v1/ports', {
      node_uuid: node.uuid,
      address: '52:54:00:00:ef:01',
      portgroup_uuid: group,
    })
    expect((await call('GET', `/v1/portgroups/${group}/ports`)).body.ports).toHaveLength(1)
    expect((await call('GET', `/v1/ports?portgroup=${group}`)).body.ports[0].uuid).toBe(port)
    expect((await call('GET', `/v1/nodes/${node.uuid}/portgroups`)).body.portgroups[0].uuid).toBe(group)
    expect((await call('DELETE', `/v1/portgroups/${group}`)).status).toBe(400)
    const other = await create()
    expect(
      (await call('POST', '/v1/ports', { node_uuid: other.uuid, address: '52:54:00:00:ef:02', portgroup_uuid: group }))
        .status,
    ).toBe(409)
  })

  test('the password of a volume is masked in every answer, and its mask means what is there', async () => {
    const { uuid } = await create()
    const properties = {
      target_portal: '192.0.2.1:3260',
      auth_password: 'correct horse',
      inner: { auth_password: 'x' },
    }
    const made = await call('POST', '/v1/volume/targets', {
      node_uuid: uuid,
      volume_type: 'iscsi',
      boot_index: 0,
      volume_id: 'v',
      properties,
    })
    const masked = { target_portal: '192.0.2.1:3260', auth_password: '******', inner: { auth_password: '******' } }
    expect(made.body.properties).toEqual(masked)

    await call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power off' })
    await until(async () => (await call('GET', `/v1/nodes/${uuid}`)).body.power_state === 'power off', {
      what: 'power off',
      timeoutMs: 10_000,
    })
    const path = `/v1/volume/targets/${made.body.uuid}`
    const patched = await call('PATCH', path, [{ op: 'replace', path: '/properties', value: { ...masked, lun: 1 } }])
    expect([patched.status, patched.body.properties]).toEqual([200, { ...masked, lun: 1 }])
    expect(await storedProperties(String(made.body.uuid))).toEqual({ ...properties, lun: 1 })
    for (const list of ['/v1/volume/targets?detail=true', `/v1/nodes/${uuid}/volume/targets?detail=true`])
      expect(JSON.stringify((await call('GET', list)).body)).not.toContain('correct horse')
  })
  test('volumes change while the server is off', async () => {
    const { uuid } = await create()
    const target = { node_uuid: uuid, volume_type: 'iscsi', boot_index: 0, volume_id: 'v' }
    const made = await uuidOf('/v1/volume/targets', target)
    expect((await call('POST', '/v1/volume/targets', target)).status).toBe(409)
    expect((await call('GET', `/v1/nodes/${uuid}/volume/targets`)).body.targets).toHaveLength(1)
    await power(uuid, 'on')
    const refused = (action: string) => [
      400,
      expect.stringContaining(`The requested action "volume target ${action}" can not be performed on node "${uuid}"`),
    ]
    expect(says(await call('DELETE', `/v1/volume/targets/${made}`))).toEqual(refused('deletion'))
    expect(
      says(await call('PATCH', `/v1/volume/targets/${made}`, [{ op: 'replace', path: '/boot_index', value: 1 }])),
    ).toEqual(refused('update'))
    await power(uuid, 'off')
    expect((await call('DELETE', `/v1/volume/targets/${made}`)).status).toBe(204)
  })

  test('the form of templates, runbooks and rules is checked when they are made', async () => {
    const step = { interface: 'bios', step: 'apply', args: {}, priority: 1 }
    expect(
      says(await call('POST', '/v1/deploy_templates', { name: 'CUSTOM_X', steps: [{ ...step, interface: 'disk' }] })),
    ).toEqual([400, expect.stringContaining('steps/0/interface')])
    expect(says(await call('POST', '/v1/deploy_templates', { name: 'CUSTOM_X', steps: [step, step] }))).toEqual([
      400,
      expect.stringContaining('Duplicate'),
    ])
    expect((await call('POST', '/v1/deploy_templates', { name: 'no_trait', steps: [] })).status).toBe(400)
    for (const actions of [
      [{ op: 'api-call', args: { url: 'http://x' } }],
      [{ op: 'set-attribute', args: { path: 'protected', value: true } }],
      [{ op: 'fail' }],
      [],
    ])
      expect((await call('POST', '/v1/inspection_rules', { actions })).status).toBe(400)
    expect(
      (
        await call('POST', '/v1/inspection_rules', {
          actions: [{ op: 'fail', args: ['x'] }],
          conditions: [{ op: 'matches', args: ['a', '('] }],
        })
      ).status,
    ).toBe(400)
  })
})

describe('allocations', () => {
  const ready = async (resource_class: string, traits: string[] = [], more: Record<string, unknown> = {}) => {
    const { uuid } = await create({ resource_class, ...more })
    if (traits.length > 0) expect((await call('PUT', `/v1/nodes/${uuid}/traits`, { traits })).status).toBe(204)
    await drive(uuid, 'manage', 'provide')
    await power(uuid, 'off')
    return String(uuid)
  }
  const ended = (uuid: string) =>
    until(
      async () => {
        const { body } = await call('GET', `/v1/allocations/${uuid}`)
        return body.state === 'allocating' ? undefined : body
      },
      { what: 'the allocation to end', timeoutMs: 5000, everyMs: 10 },
    )

  test('what a client was not given and sends as null is as if it were absent', async () => {
    const nothing = {
      uuid: null,
      name: null,
      traits: null,
      candidate_nodes: null,
      node: null,
      owner: null,
      extra: null,
    }
    const made = await call('POST', '/v1/allocations', { resource_class: 'nowhere', ...nothing })
    expect([made.status, made.body.traits, made.body.extra]).toEqual([201, [], {}])
    expect((await call('POST', '/v1/chassis', { uuid: null, extra: null })).body.extra).toEqual({})
  })

  test('find a node by class, traits and candidates, hold it, and let it go', async () => {
    const plain = await ready('gpu')
    const fast = await ready('gpu', ['CUSTOM_FAST', 'HW_CPU_X86_VMX'])
    const one = await ended(
      await uuidOf('/v1/allocations', { resource_class: 'gpu', traits: ['CUSTOM_FAST'], name: 'mine' }),
    )
    expect(one).toMatchObject({ state: 'active', node_uuid: fast, last_error: null })
    expect((await call('GET', `/v1/nodes/${fast}`)).body).toMatchObject({
      instance_uuid: one.uuid,
      allocation_uuid: one.uuid,
      instance_info: { traits: ['CUSTOM_FAST'] },
    })
    expect((await call('GET', `/v1/nodes/${fast}/allocation`)).body.uuid).toBe(one.uuid)
    const second = await ended(await uuidOf('/v1/allocations', { resource_class: 'gpu', traits: ['CUSTOM_FAST'] }))
    expect(second).toMatchObject({
      state: 'error',
      node_uuid: null,
      last_error: expect.stringContaining('CUSTOM_FAST') as string,
    })
    const third = await ended(await uuidOf('/v1/allocations', { resource_class: 'gpu', candidate_nodes: [plain] }))
    expect(third).toMatchObject({ state: 'active', node_uuid: plain })
    expect((await call('DELETE', '/v1/allocations/mine')).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${fast}`)).body).toMatchObject({ instance_uuid: null, allocation_uuid: null })
    expect(
      (await call('GET', '/v1/allocations?state=error')).body.allocations.map((each: { uuid: string }) => each.uuid),
    ).toEqual([second.uuid])
  })

  test('ten that ask at once for four nodes get four different ones, and six are told why not', async () => {
    const nodes = await Promise.all(Array.from({ length: 4 }, () => ready('crowd')))
    const asked = await Promise.all(
      Array.from({ length: 10 }, () => uuidOf('/v1/allocations', { resource_class: 'crowd' })),
    )
    const all = await Promise.all(asked.map(ended))
    expect(all.flatMap((one) => (one.state === 'active' ? [one.node_uuid as string] : [])).sort()).toEqual(
      [...nodes].sort(),
    )
    expect(all.filter((one) => one.state === 'error')).toHaveLength(6)
  })

  test('an allocated node is deployed and undeployed; undeploying ends the allocation; in use it is not let go', async () => {
    const node = await ready('used')
    const one = await ended(await uuidOf('/v1/allocations', { resource_class: 'used' }))
    await drive(node, 'active')
    expect((await call('DELETE', `/v1/allocations/${one.uuid}`)).status).toBe(409)
    await drive(node, 'deleted')
    expect((await call('GET', `/v1/allocations/${one.uuid}`)).status).toBe(404)
  })

  test('a node in use gets an allocation afterwards', async () => {
    const { uuid } = await create({ resource_class: 'late' })
    await drive(uuid, 'manage', ['adopt', 'active'])
    const made = await call('POST', '/v1/allocations', { node: uuid })
    expect(made).toMatchObject({ status: 201, body: { state: 'active', node_uuid: uuid, resource_class: 'late' } })
    expect((await call('POST', '/v1/allocations', { node: uuid })).status).toBe(409)
    expect(
      (await call('GET', '/v1/allocations')).body.allocations.filter(
        (one: { node_uuid: string }) => one.node_uuid === uuid,
      ),
    ).toHaveLength(1)
  })
})

describe('details of nodes', () => {
  test('traits: set, add, remove; at most fifty, and only traits', async () => {
    const { uuid } = await create()
    expect((await call('PUT', `/v1/nodes/${uuid}/traits/CUSTOM_A`)).status).toBe(204)
    expect((await call('PUT', `/v1/nodes/${uuid}/traits`, { traits: ['CUSTOM_B', 'HW_CPU_X86_AVX'] })).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${uuid}/traits`)).body.traits).toEqual(['CUSTOM_B', 'HW_CPU_X86_AVX'])
    expect((await call('PUT', `/v1/nodes/${uuid}/traits/lower`)).status).toBe(400)
    // Of a standard family, yet not one of os-traits; and one that came after Debian 12's list.
    const misspelt = await call('PUT', `/v1/nodes/${uuid}/traits`, { traits: ['CUSTOM_A', 'HW_CPU_X86_AVX3'] })
    expect(misspelt).toMatchObject({ status: 400 })
    expect(faultOf(misspelt).faultstring).toContain(
      "traits/1: 'HW_CPU_X86_AVX3' is not valid under any of the given schemas",
    )
    expect((await call('PUT', `/v1/nodes/${uuid}/traits`, { traits: ['HW_CPU_X86_INTEL_TDX'] })).status).toBe(204)
    expect(
      (await call('PUT', `/v1/nodes/${uuid}/traits`, { traits: Array.from({ length: 51 }, (_, i) => `CUSTOM_${i}`) }))
        .status,
    ).toBe(400)
    expect((await call('DELETE', `/v1/nodes/${uuid}/traits/CUSTOM_A`)).status).toBe(404)
    expect((await call('DELETE', `/v1/nodes/${uuid}/traits`)).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${uuid}`)).body.traits).toEqual([])
  })

  test('VIFs are attached once, to one node, and detached', async () => {
    const [one, two] = [await create(), await create()]
    expect((await call('POST', `/v1/nodes/${one.uuid}/vifs`, { id: 'vif-1' })).status).toBe(204)
    expect((await call('POST', `/v1/nodes/${two.uuid}/vifs`, { id: 'vif-1' })).status).toBe(409)
    expect((await call('GET', `/v1/nodes/${one.uuid}/vifs`)).body).toEqual({ vifs: [{ id: 'vif-1' }] })
    expect((await call('DELETE', `/v1/nodes/${two.uuid}/vifs/vif-1`)).status).toBe(400)
    expect((await call('DELETE', `/v1/nodes/${one.uuid}/vifs/vif-1`)).status).toBe(204)
  })

  test('what an interface cannot do is answered as Ironic’s no-* interfaces do', async () => {
    const { uuid } = await create({ driver: 'ipmi' })
    const status = async (method: string, path: string, body?: unknown) =>
      (await call(method, `/v1/nodes/${uuid}/${path}`, body)).status
    expect((await call('GET', `/v1/nodes/${uuid}/bios`)).body).toEqual({ bios: [] })
    expect((await call('GET', `/v1/nodes/${uuid}/firmware`)).body).toEqual({ firmware: [] })
    expect((await call('GET', `/v1/nodes/${uuid}/management/indicators`)).body).toEqual({ indicators: [] })
    expect((await call('GET', `/v1/nodes/${uuid}/vendor_passthru/methods`)).body).toEqual({})
    expect(await status('GET', 'bios/x')).toBe(404)
    expect(await status('PUT', 'states/raid', { logical_disks: [] })).toBe(404)
    expect(await status('PUT', 'states/console', { enabled: true })).toBe(400)
    expect(await status('GET', 'states/console')).toBe(400)
    expect(await status('POST', 'vmedia', { device_type: 'cdrom', image_url: 'http://x' })).toBe(400)
    expect(await status('POST', 'vendor_passthru/send_raw', {})).toBe(400)
    expect(await status('PUT', 'management/indicators/led@chassis', { state: 'on' })).toBe(404)
    const fake = await create()
    expect((await call('PUT', `/v1/nodes/${fake.uuid}/management/inject_nmi`, {})).status).toBe(204)
    expect((await call('PUT', `/v1/nodes/${fake.uuid}/states/boot_mode`, { target: 'bios' })).status).toBe(202)
    expect((await call('GET', `/v1/nodes/${fake.uuid}/states`)).body).toMatchObject({ boot_mode: 'bios' })
  })

  test('history tells what happened, newest first, in pages', async () => {
    const { uuid } = await create()
    await drive(uuid, 'manage', 'inspect')
    const { history } = (await call('GET', `/v1/nodes/${uuid}/history?detail=true`)).body
    expect(history.map((one: { event: string }) => one.event)).toEqual(
      expect.arrayContaining([
        'enroll -> verifying (manage)',
        'verifying -> manageable (done)',
        'inspecting -> manageable (done)',
      ]),
    )
    expect(history[0].event).toBe('inspecting -> manageable (done)')
    const first = (await call('GET', `/v1/nodes/${uuid}/history?limit=1`)).body.history
    expect((await call('GET', `/v1/nodes/${uuid}/history?limit=1&marker=${first[0].uuid}`)).body.history[0].uuid).toBe(
      history[1].uuid,
    )
    expect((await call('GET', `/v1/nodes/${uuid}/history/${first[0].uuid}`)).body).toMatchObject({
      event: history[0].event,
      severity: 'INFO',
    })
  })

  test('children are hidden by default, listed by their parent, and keep it from being deleted', async () => {
    const parent = await create()
    const child = await create({ parent_node: parent.uuid, name: 'dpu-0' })
    const names = async (query: string) =>
      (await call('GET', `/v1/nodes${query}`)).body.nodes.map((one: { uuid: string }) => one.uuid)
    expect(await names('')).not.toContain(child.uuid)
    expect(await names('?include_children=true')).toContain(child.uuid)
    expect(await names(`?parent_node=${parent.uuid}`)).toEqual([child.uuid])
    expect((await call('GET', `/v1/nodes/${parent.uuid}/children`)).body).toEqual({ children: [child.uuid] })
    expect((await call('DELETE', `/v1/nodes/${parent.uuid}`)).status).toBe(409)
  })
})

test('drivers, conductors and shards say what there is', async () => {
  await create({ shard: 'blue' })
  await create({ shard: 'blue' })
  expect((await call('GET', '/v1/shards')).body.shards).toEqual([{ name: 'blue', count: 2 }])
  expect((await call('GET', '/v1/nodes?shard=blue,red')).body.nodes).toHaveLength(2)
  const drivers = (await call('GET', '/v1/drivers?detail=true')).body.drivers
  expect(drivers.map((one: { name: string }) => one.name)).toEqual(['ipmi', 'fake-hardware'])
  expect(drivers[0]).toMatchObject({
    default_deploy_interface: 'direct',
    enabled_raid_interfaces: ['no-raid'],
    type: 'dynamic',
  })
  expect((await call('GET', '/v1/drivers/ipmi/properties')).body.ipmi_address).toContain('Required')
  const [conductor] = (await call('GET', '/v1/conductors?detail=true')).body.conductors
  expect(conductor).toMatchObject({ alive: true, drivers: ['ipmi', 'fake-hardware'] })
  expect((await call('GET', `/v1/conductors/${conductor.hostname}`)).body.hostname).toBe(conductor.hostname)
  expect((await call('GET', `/v1/nodes?conductor=elsewhere`)).body.nodes).toEqual([])
})

test('guards of changes: flags, interfaces and relations follow the state', async () => {
  const { uuid } = await create({ resource_class: 'a' })
  const patch = async (path: string, value: unknown) =>
    (await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'replace', path, value }])).status
  expect(await patch('/protected', true)).toBe(409)
  expect(await patch('/protected_reason', 'x')).toBe(400)
  expect(await patch('/deploy_interface', 'anaconda')).toBe(400)
  expect(await patch('/rescue_interface', 'no-rescue')).toBe(200)
  expect(await patch('/chassis_uuid', '00000000-0000-4000-8000-0000000000ff')).toBe(400)
  expect(await patch('/parent_node', uuid)).toBe(400)
  await drive(uuid, 'manage', 'provide')
  expect(await patch('/retired', true)).toBe(409)
  await drive(uuid, 'active')
  expect(await patch('/resource_class', 'b')).toBe(409)
  expect(await patch('/protected', true)).toBe(200)
  expect((await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'deleted' })).status).toBe(403)
  expect((await call('DELETE', `/v1/nodes/${uuid}`)).status).toBe(403)
  expect(await patch('/protected', false)).toBe(200)
  expect(await patch('/retired', true)).toBe(200)
  await drive(uuid, ['deleted', 'manageable'])
  expect((await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'provide' })).status).toBe(400)
})

test('reset_interfaces comes with a new driver; escapes in patches come with 1.98', async () => {
  const { uuid } = await create({ deploy_interface: 'fake', driver_info: { ipmi_address: '127.0.0.1' } })
  expect(
    (await call('PATCH', `/v1/nodes/${uuid}?reset_interfaces=true`, [{ op: 'add', path: '/extra/a', value: 1 }]))
      .status,
  ).toBe(400)
  expect((await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'replace', path: '/driver', value: 'ipmi' }])).status).toBe(
    400,
  )
  const changed = await call('PATCH', `/v1/nodes/${uuid}?reset_interfaces=true`, [
    { op: 'replace', path: '/driver', value: 'ipmi' },
  ])
  expect(changed.body).toMatchObject({ driver: 'ipmi', deploy_interface: 'direct' })
  const escaped = [{ op: 'add', path: '/extra/a~1b', value: 1 }]
  expect((await at(97, 'PATCH', `/v1/nodes/${uuid}`, escaped)).status).toBe(400)
  expect((await at(98, 'PATCH', `/v1/nodes/${uuid}`, escaped)).body.extra).toEqual({ 'a/b': 1 })
})

test('the name of an instance stands in two places and is one', async () => {
  const { uuid } = await create()
  const patch = (path: string, value: unknown) => call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path, value }])
  expect((await patch('/instance_name', 'web')).body).toMatchObject({
    instance_name: 'web',
    instance_info: { display_name: 'web' },
  })
  expect((await patch('/instance_info/display_name', 'db')).body).toMatchObject({ instance_name: 'db' })
})
