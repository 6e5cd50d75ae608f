/** Chassis, portgroups, volumes, templates, runbooks and rules on a live conductor: what is created is shown, listed,
 *  changed, guarded and deleted. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { base, call, create, dir, faultOf, power, stored } from './api-bench.ts'

const uuidOf = async (path: string, body: unknown): Promise<string> => {
  const made = await call('POST', path, body)
  if (made.status !== 201) throw new Error(JSON.stringify(made.body))
  expect(made.headers.location).toBe(`${base}${path}/${made.body.uuid}`)
  return String(made.body.uuid)
}
const says = (answer: Awaited<ReturnType<typeof call>>) => [answer.status, faultOf(answer).faultstring] as const

/** What the database holds, secrets included. */
async function storedProperties(uuid: string): Promise<unknown> {
  const row = await stored('objects', uuid)
  const seal = await loadSeal(join(dir, 'secret.key'), systemRandom)
  const { properties } = JSON.parse(row.body) as { properties: unknown }
  return seal.restore({ properties }, JSON.parse(row.sealed) as Record<string, string>, `volume target ${uuid}`)
    .properties
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
      timeoutMs: 30_000,
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
