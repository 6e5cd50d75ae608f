/** Requests of OpenStack's own tests (tempest's API tests, python-ironicclient, openstacksdk) that clients depend on:
 *  status, and the phrase that they look for. */
import { describe, expect, test } from 'vitest'
import { at, call, create, drive, faultOf, power } from './api-bench.ts'

const UNKNOWN = '5c9dcd04-2073-49bc-9618-99ae634d8971'
const STEP = { interface: 'bios', step: 'apply_configuration', args: {}, priority: 10 }
const long = 'x'.repeat(81)

/** [what, minor version, method, path, body, status, phrase] */
type Row = readonly [
  what: string,
  minor: number,
  method: string,
  path: string,
  body: unknown,
  status: number,
  says?: string,
]

const REFUSALS: readonly Row[] = [
  [
    'an allocation with a malformed UUID',
    110,
    'POST',
    '/v1/allocations',
    { resource_class: 'c', uuid: '!@#$^*&%^' },
    400,
    'Expected UUID for uuid',
  ],
  [
    'an allocation with a slash in its name',
    110,
    'POST',
    '/v1/allocations',
    { resource_class: 'c', name: 'not/a/name' },
    400,
    'invalid name',
  ],
  ['an allocation with a long class', 110, 'POST', '/v1/allocations', { resource_class: long }, 400, 'is too long'],
  [
    'an allocation with what is no trait',
    110,
    'POST',
    '/v1/allocations',
    { resource_class: 'c', traits: ['foo'] },
    400,
    'does not match',
  ],
  [
    'candidates that are not there',
    110,
    'POST',
    '/v1/allocations',
    { resource_class: 'c', candidate_nodes: ['banana?'] },
    400,
    'Nodes cannot be found: banana?',
  ],
  [
    'a template with a malformed UUID',
    110,
    'POST',
    '/v1/deploy_templates',
    { name: 'CUSTOM_A', steps: [STEP], uuid: '!@#' },
    400,
    'Expected UUID for uuid',
  ],
  [
    'a template whose name is no trait',
    110,
    'POST',
    '/v1/deploy_templates',
    { name: 'foo', steps: [STEP] },
    400,
    'does not match',
  ],
  [
    'a template without steps',
    110,
    'POST',
    '/v1/deploy_templates',
    { name: 'CUSTOM_A', steps: [] },
    400,
    'is too short',
  ],
  [
    'a node with a malformed UUID',
    110,
    'POST',
    '/v1/nodes',
    { driver: 'fake-hardware', uuid: '!@#' },
    400,
    'Expected UUID for uuid',
  ],
  [
    'a node of an unknown driver',
    110,
    'POST',
    '/v1/nodes',
    { driver: 'wrongdriver' },
    400,
    'No valid host was found. Reason: No conductor service registered which supports driver wrongdriver',
  ],
  ['a port by its address', 34, 'GET', '/v1/ports/52:54:00:12:34:56', undefined, 400, 'Expected UUID or name'],
  ['a port by a malformed UUID', 1, 'GET', '/v1/ports/malformed:uuid', undefined, 400],
  [
    'a change of a port by its address',
    1,
    'PATCH',
    '/v1/ports/52:54:00:12:34:56',
    [{ op: 'add', path: '/extra/a', value: 1 }],
    400,
  ],
  ['the removal of a port by its address', 1, 'DELETE', '/v1/ports/52:54:00:12:34:56', undefined, 400],
  ['a port that is not there', 1, 'GET', `/v1/ports/${UNKNOWN}`, undefined, 404],
]

for (const [what, minor, method, path, body, status, says] of REFUSALS) {
  test(`${what} is refused (1.${minor} ${method} ${path})`, async () => {
    const answer = await at(minor, method, path, body)
    expect(answer.status).toBe(status)
    if (says !== undefined) expect(faultOf(answer).faultstring).toContain(says)
  })
}

test('the states of a node are those that its version knows; its console is found under the path of the first clients, too', async () => {
  const { uuid } = (await at(1, 'POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  expect((await at(1, 'GET', `/v1/nodes/${uuid}/states`)).body.provision_state).toBeNull()
  expect((await at(1, 'GET', `/v1/nodes/states/console/${uuid}`)).body).toEqual({
    console_enabled: false,
    console_info: null,
  })
})

describe('nodes', () => {
  test.each<[minor: number, state: string | null]>([
    [1, null],
    [2, 'available'],
    [10, 'available'],
    [11, 'enroll'],
  ])('one that is created at 1.%i is in state %s', async (minor, state) => {
    const made = await at(minor, 'POST', '/v1/nodes', { driver: 'fake-hardware' })
    expect([made.status, made.body.provision_state]).toEqual([201, state])
  })

  test('one that was never switched has no power state; it is read as given', async () => {
    const { uuid } = await create()
    await drive(uuid, 'manage', 'provide')
    expect((await call('GET', `/v1/nodes/${uuid}`)).body.power_state).toBeNull()
    await power(uuid, 'on')
    expect((await call('GET', `/v1/nodes/${uuid}`)).body.power_state).toBe('power on')
  })

  test('traits are 406, 405 and 404 before 1.37', async () => {
    const { uuid } = await create()
    const path = `/v1/nodes/${uuid}/traits`
    const statuses = [
      await at(36, 'GET', path),
      await at(36, 'PUT', path, { traits: [] }),
      await at(36, 'DELETE', path),
    ].map(({ status }) => status)
    expect(statuses).toEqual([406, 405, 404])
  })

  test.each(['protected', 'retired'])(
    '%s that is taken away takes its reason along; a reason alone is refused',
    async (flag) => {
      const { uuid } = await create()
      await drive(
        uuid,
        'manage',
        'provide',
        ...(flag === 'protected' ? ['active'] : [['manage', 'manageable'] as [string, string]]),
      )
      const patch = (...ops: [op: string, path: string, value?: unknown][]) =>
        call(
          'PATCH',
          `/v1/nodes/${uuid}`,
          ops.map(([op, path, value]) => ({ op, path: `/${path}`, ...(value === undefined ? {} : { value }) })),
        )
      expect((await patch(['add', `${flag}_reason`, 'r'])).status).toBe(400)
      const set = await patch(['add', flag, true], ['add', `${flag}_reason`, 'r'])
      expect(set.body).toMatchObject({ [flag]: true, [`${flag}_reason`]: 'r' })
      expect((await patch(['replace', flag, false], ['replace', `${flag}_reason`, 's'])).status).toBe(400)
      expect((await patch(['remove', flag])).body).toMatchObject({ [flag]: false, [`${flag}_reason`]: null })
    },
  )

  test('a key that is not there cannot be removed', async () => {
    const { uuid } = await create()
    const answer = await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'remove', path: '/properties/prop' }])
    expect([answer.status, faultOf(answer).faultstring]).toEqual([
      400,
      expect.stringContaining("Reason: can't remove a non-existent object 'prop'"),
    ])
  })

  test('one that is deployed without an instance gets none; an allocation that is made afterwards takes the name of the instance', async () => {
    const { uuid } = await create({ resource_class: 'late' })
    await drive(uuid, 'manage', 'provide', 'active')
    expect((await call('GET', `/v1/nodes/${uuid}`)).body.instance_uuid).toBeNull()
    await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/instance_uuid', value: UNKNOWN }])
    const made = await at(58, 'POST', '/v1/allocations', { node: uuid, resource_class: null })
    expect([made.status, made.body]).toMatchObject([
      201,
      { uuid: UNKNOWN, state: 'active', resource_class: 'late', last_error: null },
    ])
  })

  test('a boot device is a text, before one was set', async () => {
    const { uuid } = await create()
    expect((await call('GET', `/v1/nodes/${uuid}/management/boot_device`)).body).toEqual({
      boot_device: 'pxe',
      persistent: false,
    })
  })
})

describe('ports, portgroups and volumes', () => {
  const group = async () => {
    const { uuid: node_uuid } = await create()
    return { node_uuid, portgroup_uuid: String((await call('POST', '/v1/portgroups', { node_uuid })).body.uuid) }
  }
  const mac = (n: number) => `52:54:00:aa:00:${n.toString(16).padStart(2, '0')}`

  test('the ports of a portgroup are on one network: 409 for another, at creation and at each change', async () => {
    const { node_uuid, portgroup_uuid } = await group()
    const add = (n: number, more: object) => at(34, 'POST', '/v1/ports', { node_uuid, address: mac(n), ...more })
    expect((await add(1, { portgroup_uuid, physical_network: 'physnet1' })).status).toBe(201)
    expect((await add(2, { portgroup_uuid, physical_network: 'physnet2' })).status).toBe(409)
    const alone = (await add(3, { physical_network: 'physnet2' })).body.uuid as string
    expect(
      (await at(34, 'PATCH', `/v1/ports/${alone}`, [{ op: 'replace', path: '/portgroup_uuid', value: portgroup_uuid }]))
        .status,
    ).toBe(409)
    const second = (await add(4, { portgroup_uuid, physical_network: 'physnet1' })).body.uuid as string
    expect(
      (await at(34, 'PATCH', `/v1/ports/${second}`, [{ op: 'replace', path: '/physical_network', value: 'physnet2' }]))
        .status,
    ).toBe(409)
  })

  test('a key of a portgroup’s properties may be added before 1.26, the field itself may not', async () => {
    const { portgroup_uuid } = await group()
    expect(
      (await at(25, 'PATCH', `/v1/portgroups/${portgroup_uuid}`, [{ op: 'add', path: '/properties/key1', value: 'v' }]))
        .status,
    ).toBe(200)
    expect(
      (await at(25, 'PATCH', `/v1/portgroups/${portgroup_uuid}`, [{ op: 'add', path: '/properties', value: {} }]))
        .status,
    ).toBe(406)
    expect((await at(25, 'GET', `/v1/portgroups/${portgroup_uuid}`)).body.properties).toEqual({ key1: 'v' })
  })

  test.each([
    [
      'connector',
      { type: 'iqn', connector_id: 'iqn.2017-05.org.x:9' },
      'A volume connector with type iqn and connector ID iqn.2017-05.org.x:9 already exists',
    ],
    [
      'target',
      { volume_type: 'iscsi', boot_index: 0, volume_id: 'v' },
      "A volume target with boot index '0' for the same node already exists",
    ],
  ])('volume %s: the refusals of Ironic, in its words; details are listed at 1.32', async (kind, body, taken) => {
    const { uuid: node_uuid } = await create()
    const path = `/v1/volume/${kind}s`
    const made = (await call('POST', path, { node_uuid, ...body })).body.uuid as string
    const again = await call('POST', path, { node_uuid, ...body })
    expect([again.status, faultOf(again).faultstring]).toEqual([409, expect.stringContaining(taken)])
    await power(node_uuid, 'on')
    const gone = await call('DELETE', `${path}/${made}`)
    const says = `The requested action "volume ${kind} deletion" can not be performed on node "${node_uuid}" while it is in state "power on"`
    expect([gone.status, faultOf(gone).faultstring]).toEqual([400, expect.stringContaining(says)])
    expect((await at(32, 'GET', `${path}?detail=True&node=${node_uuid}`)).body[`${kind}s`]).toMatchObject([body])
  })

  test('a template may name a step that no node has; a deploy that would use it is refused before anything is touched', async () => {
    const made = await call('POST', '/v1/deploy_templates', {
      name: 'CUSTOM_LATER',
      steps: [{ ...STEP, step: 'no_such_step' }],
    })
    expect(made.status).toBe(201)
    const { uuid } = await create()
    await drive(uuid, 'manage', 'provide')
    await call('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/instance_info/traits', value: ['CUSTOM_LATER'] }])
    const before = (await call('GET', `/v1/nodes/${uuid}`)).body
    const answer = await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' })
    expect([answer.status, faultOf(answer).faultstring]).toEqual([400, expect.stringContaining('bios.no_such_step')])
    expect((await call('GET', `/v1/nodes/${uuid}`)).body).toEqual(before)
  })
})
