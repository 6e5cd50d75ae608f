/** What hangs on a node on a live conductor: traits, VIFs, history, and the guards of its changes; and drivers,
 *  conductors and shards. */
import { describe, expect, test } from 'vitest'
import { at, call, create, drive, faultOf } from './api-bench.ts'

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
  expect(drivers.map((one: { name: string }) => one.name)).toEqual(['ipmi', 'redfish', 'idrac', 'fake-hardware'])
  expect(drivers[0]).toMatchObject({
    default_deploy_interface: 'direct',
    enabled_raid_interfaces: ['no-raid', 'agent'],
    type: 'dynamic',
  })
  expect((await call('GET', '/v1/drivers/ipmi/properties')).body.ipmi_address).toContain('Required')
  const [conductor] = (await call('GET', '/v1/conductors?detail=true')).body.conductors
  expect(conductor).toMatchObject({ alive: true, drivers: ['ipmi', 'redfish', 'idrac', 'fake-hardware'] })
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
