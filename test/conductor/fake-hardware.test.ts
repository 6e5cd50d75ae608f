/** Fake hardware is a model: what verbs and steps do to its BIOS, disks, firmware, console, lamps, media and vendor
 *  methods is seen afterwards, and its no-* interfaces refuse. */
import { describe, expect, test } from 'vitest'
import { at, call, create, drive, faultOf, power, type Answer } from './api-bench.ts'

const says = (answer: Answer) => [answer.status, faultOf(answer).faultstring] as const
const managed = async (more: Record<string, unknown> = {}) => {
  const { uuid } = await create(more)
  await drive(uuid, 'manage')
  return String(uuid)
}
const get = async (uuid: string, path: string) => (await call('GET', `/v1/nodes/${uuid}/${path}`)).body
const clean = (uuid: string, ...steps: [name: string, args?: Record<string, unknown>][]) =>
  drive(uuid, ['clean', 'manageable', { clean_steps: steps.map(([name, args = {}]) => stepOf(name, args)) }])
const stepOf = (name: string, args: Record<string, unknown>) => ({
  interface: name.split('.')[0],
  step: name.split('.')[1],
  args,
})
const RAID = {
  logical_disks: [
    { size_gb: 100, raid_level: '1', is_root_volume: true },
    { size_gb: 'MAX', raid_level: '5' },
  ],
}

test('BIOS settings are read at the first look, applied, shown one by one with their registry, and reset', async () => {
  const fresh = await create()
  expect(await get(fresh.uuid, 'bios')).toEqual({ bios: [] })
  const uuid = await managed()
  const names = (await get(uuid, 'bios')).bios.map((one: { name: string }) => one.name)
  expect(names).toContain('LogicalProc')
  await clean(uuid, [
    'bios.apply_configuration',
    {
      settings: [
        { name: 'LogicalProc', value: 'Disabled' },
        { name: 'NumaNodesPerSocket', value: 2 },
      ],
    },
  ])
  expect(await get(uuid, 'bios/LogicalProc')).toMatchObject({
    LogicalProc: {
      name: 'LogicalProc',
      value: 'Disabled',
      attribute_type: 'Enumeration',
      allowable_values: ['Enabled', 'Disabled'],
    },
  })
  expect((await at(73, 'GET', `/v1/nodes/${uuid}/bios/NumaNodesPerSocket`)).body.NumaNodesPerSocket).not.toHaveProperty(
    'lower_bound',
  )
  expect((await call('GET', `/v1/nodes/${uuid}/bios?detail=True`)).body.bios[0]).toHaveProperty('read_only')
  await clean(uuid, ['bios.factory_reset'])
  expect((await get(uuid, 'bios/LogicalProc')).LogicalProc.value).toBe('Enabled')
  expect((await call('GET', `/v1/nodes/${uuid}/bios/no`)).status).toBe(404)
})

test('the rescue system runs on a server that is on, also where it was off before', async () => {
  const { uuid } = await create()
  await drive(uuid, 'manage', 'provide', ['active', 'active'])
  await power(String(uuid), 'off')
  await drive(uuid, ['rescue', 'rescue', { rescue_password: 'x' }])
  expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({
    provision_state: 'rescue',
    power_state: 'power on',
  })
})

test('the target RAID configuration is checked and kept, becomes real by a step, and is taken away', async () => {
  const uuid = await managed()
  const put = (body: unknown) => call('PUT', `/v1/nodes/${uuid}/states/raid`, body)
  expect((await put({ logical_disks: [{ size_gb: 1 }] })).status).toBe(400)
  expect((await put({ logical_disks: [{ size_gb: 1, raid_level: '1', physical_disks: ['a'] }] })).status).toBe(400)
  expect((await put(RAID)).status).toBe(204)
  expect(await get(uuid, 'states')).toMatchObject({ target_raid_config: RAID, raid_config: {} })
  await clean(uuid, ['raid.delete_configuration'], ['raid.create_configuration'])
  const { raid_config: made, properties } = (await call('GET', `/v1/nodes/${uuid}`)).body
  expect(made.logical_disks).toMatchObject([
    { size_gb: 100, raid_level: '1', is_root_volume: true, physical_disks: ['disk-0', 'disk-1'] },
    { size_gb: 2000, raid_level: '5', physical_disks: ['disk-2', 'disk-3', 'disk-4'] },
  ])
  expect(properties).toMatchObject({ local_gb: 99, root_device: made.logical_disks[0].root_device_hint })
  await clean(uuid, ['raid.delete_configuration'])
  expect((await get(uuid, 'states')).raid_config.logical_disks).toEqual([])
  expect((await put({})).status).toBe(204)
  expect((await get(uuid, 'states')).target_raid_config).toEqual({})
})

test('firmware is listed, and updated by a step', async () => {
  const uuid = await managed()
  await clean(uuid, ['firmware.update', { settings: [{ component: 'bmc', url: 'http://192.0.2.1/bmc-2.4.1.bin' }] }])
  expect((await get(uuid, 'firmware')).firmware).toContainEqual(
    expect.objectContaining({
      component: 'bmc',
      initial_version: '1.0.0',
      current_version: '2.4.1',
      last_version_flashed: '2.4.1',
    }),
  )
  expect((await at(85, 'GET', `/v1/nodes/${uuid}/firmware`)).status).toBe(404)
})

test.each<[string, Record<string, unknown>, string]>([
  ['bios.apply_configuration', { settings: [{ name: 'NoSuch', value: 'x' }] }, 'NoSuch'],
  ['bios.apply_configuration', { settings: [{ name: 'LogicalProc', value: 'Perhaps' }] }, 'LogicalProc'],
  ['bios.apply_configuration', { settings: [{ name: 'SystemModelName', value: 'x' }] }, 'can only be read'],
  ['bios.apply_configuration', {}, 'settings is missing'],
  ['firmware.update', { settings: [{ component: 'toaster', url: 'http://x/y' }] }, 'toaster'],
  ['raid.create_configuration', {}, 'target_raid_config'],
  ['raid.no_such', {}, 'there is no clean step raid.no_such'],
])('%s with %j is refused before anything is touched', async (name, args, what) => {
  const uuid = await managed()
  const before = (await call('GET', `/v1/nodes/${uuid}`)).body
  const good = stepOf('bios.apply_configuration', { settings: [{ name: 'LogicalProc', value: 'Disabled' }] })
  const answer = await call('PUT', `/v1/nodes/${uuid}/states/provision`, {
    target: 'clean',
    clean_steps: [good, stepOf(name, args)],
  })
  expect(says(answer)).toEqual([400, expect.stringContaining(what)])
  expect((await call('GET', `/v1/nodes/${uuid}`)).body).toEqual(before)
  expect((await get(uuid, 'bios/LogicalProc')).LogicalProc.value).toBe('Enabled')
})

test('the console is switched on, shows where it is reached, and keeps the driver from being changed', async () => {
  const { uuid } = await create()
  expect(await get(uuid, 'states/console')).toEqual({ console_enabled: false, console_info: null })
  expect((await call('PUT', `/v1/nodes/${uuid}/states/console`, { enabled: true })).status).toBe(202)
  expect(await get(uuid, 'states/console')).toMatchObject({
    console_enabled: true,
    console_info: { url: expect.stringContaining(`/nodes/${uuid}/console`) },
  })
  expect((await get(uuid, 'states')).console_enabled).toBe(true)
  expect(
    (
      await call('PATCH', `/v1/nodes/${uuid}?reset_interfaces=true`, [
        { op: 'replace', path: '/driver', value: 'ipmi' },
      ])
    ).status,
  ).toBe(409)
  await call('PUT', `/v1/nodes/${uuid}/states/console`, { enabled: false })
  expect(
    (
      await call('PATCH', `/v1/nodes/${uuid}?reset_interfaces=true`, [
        { op: 'replace', path: '/driver', value: 'ipmi' },
      ])
    ).status,
  ).toBe(200)
})

test('lamps are listed and switched; one can only be read', async () => {
  const { uuid } = await create()
  const lamp = (name: string) => `/v1/nodes/${uuid}/management/indicators/${name}`
  expect((await get(uuid, 'management/indicators')).indicators.map((one: { name: string }) => one.name)).toEqual([
    'led-0@chassis',
    'led@system',
  ])
  expect((await call('PUT', lamp('led@system'), { state: 'blinking' })).status).toBe(204)
  expect((await call('GET', lamp('led@system'))).body).toEqual({ state: 'blinking' })
  const statuses = [
    await call('PUT', lamp('led-0@chassis'), { state: 'on' }),
    await call('GET', lamp('led')),
    await call('GET', lamp('no@system')),
  ]
  expect(statuses.map(({ status }) => status)).toEqual([400, 400, 404])
})

test('virtual media are inserted, listed and ejected', async () => {
  const { uuid } = await create()
  const path = `/v1/nodes/${uuid}/vmedia`
  expect((await call('POST', path, { device_type: 'cdrom', image_url: 'file:///etc/passwd' })).status).toBe(400)
  expect((await call('POST', path, { device_type: 'cdrom', image_url: 'http://192.0.2.1/x.iso' })).status).toBe(204)
  expect((await call('POST', path, { device_type: 'cdrom', image_url: 'http://192.0.2.1/y.iso' })).status).toBe(409)
  expect((await call('GET', path)).body).toContainEqual({
    media_types: ['CD', 'DVD'],
    inserted: true,
    image: 'http://192.0.2.1/x.iso',
  })
  expect((await call('DELETE', `${path}?device_types=tape`)).status).toBe(400)
  expect((await call('DELETE', path)).status).toBe(204)
  expect((await call('GET', path)).body).toContainEqual({ media_types: ['CD', 'DVD'], inserted: false, image: '' })
})

test('vendor methods answer as Ironic’s fake ones', async () => {
  const { uuid } = await create()
  const path = `/v1/nodes/${uuid}/vendor_passthru`
  expect(Object.keys((await call('GET', `${path}/methods`)).body)).toContain('third_method_sync')
  expect(await call('POST', `${path}?method=third_method_sync`, { bar: 'meow' })).toMatchObject({
    status: 200,
    body: true,
  })
  expect(await call('POST', `${path}/third_method_sync`, { bar: 'woof' })).toMatchObject({ status: 200, body: false })
  expect((await call('POST', `${path}/first_method`, { bar: 'baz' })).status).toBe(202)
  expect(says(await call('POST', `${path}/first_method`, {}))).toEqual([
    400,
    expect.stringContaining("Parameter 'bar' not passed to method 'first_method'"),
  ])
  expect(says(await call('GET', `${path}?method=first_method`))).toEqual([
    400,
    expect.stringContaining('does not support HTTP GET'),
  ])
  expect(says(await call('POST', `${path}/no_such`, {}))).toEqual([
    400,
    expect.stringContaining('No handler for method no_such'),
  ])
})

test('inspection finds an inventory with the cards that are the node’s ports', async () => {
  const uuid = await managed()
  await call('POST', '/v1/ports', { node_uuid: uuid, address: '52:54:00:fa:ce:01' })
  await drive(uuid, 'inspect')
  expect((await get(uuid, 'inventory')).inventory).toMatchObject({
    interfaces: [{ mac_address: '52:54:00:fa:ce:01' }],
    cpu: { count: 16 },
  })
  expect((await call('GET', `/v1/nodes/${uuid}`)).body).toMatchObject({
    properties: { cpus: 16 },
    inspection_finished_at: expect.any(String) as string,
  })
})

test('raid_interface agent takes what its steps can make, and refuses the rest; no-raid refuses all', async () => {
  const { uuid } = await create({ driver: 'ipmi', raid_interface: 'agent', driver_info: { ipmi_address: '192.0.2.1' } })
  const put = (node: unknown, config: unknown) => call('PUT', `/v1/nodes/${String(node)}/states/raid`, config)
  const software = {
    logical_disks: [{ controller: 'software', raid_level: '1', size_gb: 'MAX', is_root_volume: true }],
  }
  expect((await put(uuid, software)).status).toBe(204)
  expect((await get(String(uuid), 'states')).target_raid_config).toEqual(software)
  expect((await get(String(uuid), 'validate')).raid).toEqual({ result: true })
  const refused = await put(uuid, RAID)
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([
    400,
    expect.stringContaining('logical_disks/0/controller') as string,
  ])
  const plain = await create({ driver: 'ipmi', driver_info: { ipmi_address: '192.0.2.1' } })
  expect((await put(plain.uuid, RAID)).status).toBe(404)
})

describe('interfaces', () => {
  const OPTIONAL = ['bios', 'console', 'firmware', 'inspect', 'raid', 'vendor', 'rescue']
  const patch = (uuid: string, ops: object[], query = '') => call('PATCH', `/v1/nodes/${uuid}${query}`, ops)

  test.each(['boot', 'deploy', 'management', 'power', ...OPTIONAL])(
    '%s_interface is set, and removing it brings the default back',
    async (name) => {
      const { uuid } = await create(OPTIONAL.includes(name) ? { [`${name}_interface`]: `no-${name}` } : {})
      const path = `/${name}_interface`
      expect((await patch(uuid, [{ op: 'add', path, value: 'fake' }])).body[`${name}_interface`]).toBe('fake')
      expect((await patch(uuid, [{ op: 'remove', path }])).body[`${name}_interface`]).toBe('fake')
    },
  )

  test('a new driver keeps the interfaces, which it must have, or resets them when that is asked for', async () => {
    const { uuid } = await create()
    const replace = [{ op: 'replace', path: '/driver', value: 'ipmi' }]
    expect((await patch(uuid, replace)).status).toBe(400)
    const { body } = await patch(uuid, replace, '?reset_interfaces=True')
    expect([body.driver, body.power_interface, body.raid_interface]).toEqual(['ipmi', 'ipmitool', 'no-raid'])
  })

  test('what cannot do it answers as Ironic’s no-* interfaces', async () => {
    const none = Object.fromEntries(OPTIONAL.map((name) => [`${name}_interface`, `no-${name}`]))
    const uuid = await managed(none)
    const asked = [
      await call('PUT', `/v1/nodes/${uuid}/states/raid`, RAID),
      await call('PUT', `/v1/nodes/${uuid}/states/console`, { enabled: true }),
      await call('POST', `/v1/nodes/${uuid}/vendor_passthru/first_method`, { bar: 'baz' }),
      await call('PUT', `/v1/nodes/${uuid}/states/provision`, {
        target: 'clean',
        clean_steps: [stepOf('bios.factory_reset', {})],
      }),
    ]
    expect(asked.map(({ status }) => status)).toEqual([404, 400, 400, 400])
    expect((await get(uuid, 'validate')).bios.result).toBeNull()
  })
})

test('drivers explain the keys of driver_info, and those of a logical disk where they have RAID', async () => {
  expect(Object.keys((await call('GET', '/v1/drivers/fake-hardware/properties')).body).length).toBeGreaterThan(0)
  expect(Object.keys((await call('GET', '/v1/drivers/fake-hardware/raid/logical_disk_properties')).body)).toContain(
    'raid_level',
  )
  expect((await call('GET', '/v1/drivers/ipmi/raid/logical_disk_properties')).status).toBe(404)
})
