/** Masakari's API on the mesh: what real clients send, what real Masakari refuses with, and that a notification proves
 *  nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { monotonicClock, until } from '../../kit/clock.ts'
import { KEYS } from '../../host-agent/protocol/records.ts'
import { Bench, BASE } from './bench.ts'
import { call as plain } from '../conductor/client.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start()
}, 60_000)
afterAll(() => bench.stop())

const segments = async () => (await bench.call('GET', '/segments')).body.segments as Record<string, any>[]
const meshSegment = async () => (await segments()).find(({ name }) => name === 'mesh') as Record<string, any>
const hostsOf = async (segment: string) =>
  (await bench.call('GET', `/segments/${segment}/hosts`)).body.hosts as Record<string, any>[]
const refusal = ({ status, body }: { status: number; body: any }) => {
  const [key] = Object.keys(body)
  return [status, key, body[key as string].message]
}

test('the documents of discovery need no login, and everything else does', async () => {
  const root = await plain('GET', '/instance-ha/', undefined, {}, bench.base)
  expect(root.body.versions).toMatchObject([{ id: 'v1.0', status: 'CURRENT', min_version: '1.0', version: '1.3' }])
  const one = await plain('GET', `${BASE}/`, undefined, {}, bench.base)
  expect(one.body.version.links).toEqual([{ rel: 'self', href: `${bench.base}${BASE}/` }])
  expect((await bench.call('GET', '/segments', undefined, { user: '' })).status).toBe(401)
})

test('versions: none is 1.0, newer ones bring fields and paths, others are refused', async () => {
  const old = await bench.call('GET', '/segments', undefined, { version: '' })
  expect(old.headers['openstack-api-version']).toBe('instance-ha 1.0')
  expect(old.body.segments[0]).not.toHaveProperty('enabled')
  const latest = await bench.call('GET', '/segments', undefined, { version: 'latest' })
  expect(latest.headers['openstack-api-version']).toBe('instance-ha 1.3')
  expect(latest.body.segments[0].enabled).toBe(true)
  expect(refusal(await bench.call('GET', '/segments', undefined, { version: '1.9' }))).toEqual([
    406,
    'notAcceptable',
    'Version 1.9 is not supported by the API. Minimum is 1.0 and maximum is 1.3.',
  ])
  expect((await bench.call('GET', '/segments', undefined, { version: 'x' })).status).toBe(400)
})

test('a segment from its creation to its end; its hosts are members of the mesh and stay that', async () => {
  const made = await bench.call('POST', '/segments', {
    segment: { name: 's1', recovery_method: 'auto', service_type: 'COMPUTE' },
  })
  expect(made.status).toBe(201)
  const { uuid } = made.body.segment
  expect((await bench.call('GET', `/segments/${uuid}`)).body).toEqual(made.body)
  expect((await hostsOf((await meshSegment()).uuid)).map(({ name }) => name).sort()).toEqual(['h1', 'h2', 'h3'])

  const host = { name: 'h1', type: 'COMPUTE', control_attributes: 'SSH' }
  const placed = await bench.call('POST', `/segments/${uuid}/hosts`, { host })
  expect([placed.status, placed.body.host]).toEqual([
    201,
    expect.objectContaining({ ...host, failover_segment_id: uuid, on_maintenance: false, reserved: false }),
  ])
  expect((await hostsOf((await meshSegment()).uuid)).map(({ name }) => name).sort()).toEqual(['h2', 'h3'])
  expect(refusal(await bench.call('POST', `/segments/${uuid}/hosts`, { host }))).toEqual([
    409,
    'conflictingRequest',
    'Host with name h1 already exists.',
  ])

  const changed = await bench.call('PUT', `/segments/${uuid}`, { segment: { description: 'row 1' } })
  expect(changed.body.segment).toMatchObject({ name: 's1', description: 'row 1', recovery_method: 'auto' })
  expect((await bench.call('DELETE', `/segments/${uuid}`)).status).toBe(204)
  expect(refusal(await bench.call('GET', `/segments/${uuid}`))).toEqual([
    404,
    'itemNotFound',
    `No failover segment with id ${uuid}.`,
  ])
  expect((await hostsOf((await meshSegment()).uuid)).map(({ name }) => name).sort()).toEqual(['h1', 'h2', 'h3'])
  expect(bench.mesh.core.cluster.hosts.map(({ name }) => name).sort()).toEqual(['h1', 'h2', 'h3'])
})

test.each([
  [{ name: 'x', recovery_method: 'auto' }, "'service_type' is a required property"],
  [{ name: 'x', recovery_method: 'reserved_host', service_type: 'COMPUTE' }, "is not one of ['auto', 'auto_priority']"],
  [{ name: 'x', recovery_method: 'auto', service_type: 'STORAGE' }, "is not one of ['COMPUTE']"],
  [
    { name: 'x', recovery_method: 'auto', service_type: 'COMPUTE', color: 1 },
    "Additional properties are not allowed ('color' was unexpected)",
  ],
  [{ name: '', recovery_method: 'auto', service_type: 'COMPUTE' }, 'Invalid input for field/attribute name.'],
])('segment %j is refused', async (segment, phrase) => {
  const before = await segments()
  expect(refusal(await bench.call('POST', '/segments', { segment }))).toEqual([
    400,
    'badRequest',
    expect.stringContaining(phrase),
  ])
  expect(await segments()).toEqual(before)
})

test('what the mesh decides itself is refused in words that say so', async () => {
  const { uuid } = await meshSegment()
  expect((await bench.call('DELETE', `/segments/${uuid}`)).status).toBe(409)
  const made = await bench.call('POST', '/segments', {
    segment: { name: 's2', recovery_method: 'auto', service_type: 'COMPUTE' },
  })
  const hosts = `/segments/${made.body.segment.uuid}/hosts`
  const stranger = { name: 'h9', type: 'COMPUTE', control_attributes: 'SSH' }
  expect(refusal(await bench.call('POST', hosts, { host: stranger }))).toEqual([
    400,
    'badRequest',
    'Compute service with name h9 could not be found.',
  ])
  const reserved = { ...stranger, name: 'h2', reserved: 'True' }
  expect(refusal(await bench.call('POST', hosts, { host: reserved }))[2]).toContain('configuration of its agent')
  expect(await hostsOf(made.body.segment.uuid)).toEqual([])
  await bench.call('DELETE', `/segments/${made.body.segment.uuid}`)
})

test('maintenance is a hold of the mesh; one of somebody else is not ended', async () => {
  const { uuid } = await meshSegment()
  const h3 = (await hostsOf(uuid)).find(({ name }) => name === 'h3')
  const path = `/segments/${uuid}/hosts/${h3?.uuid}`
  const set = (on: string) => bench.call('PUT', path, { host: { on_maintenance: on } }, { user: 'monitor' })
  expect((await set('True')).body.host.on_maintenance).toBe(true)
  const hold = () => bench.mesh.core.cluster.holds.get('h3')?.value
  expect(hold()).toMatchObject({ kind: 'maintenance', seconds: null })
  expect(refusal(await bench.notify('h3'))).toEqual([
    409,
    'conflictingRequest',
    "Notification received from host h3 of type 'COMPUTE_HOST' is ignored as the host is already under maintenance.",
  ])
  expect((await set('False')).body.host.on_maintenance).toBe(false)
  expect(hold()).toBeUndefined()

  bench.mesh.set(`${KEYS.holds}h3`, { kind: 'maintenance', why: 'a new fan', by: 'eva', seconds: null })
  expect(refusal(await set('no'))[2]).toContain('held in the mesh by eva (maintenance): a new fan')
  expect(hold()).toMatchObject({ by: 'eva' })
  bench.mesh.drop(`${KEYS.holds}h3`)
})

test('roles: who may only look changes nothing, and a monitor makes no segments', async () => {
  const segment = { name: 's3', recovery_method: 'auto', service_type: 'COMPUTE' }
  expect((await bench.call('POST', '/segments', { segment }, { user: 'monitor' })).status).toBe(403)
  const looking = await bench.call('POST', '/notifications', { notification: {} }, { user: 'looker' })
  expect(refusal(looking).slice(0, 2)).toEqual([403, 'forbidden'])
})

test('a notification about a host that is not proven dead makes the mesh look, is not taken twice, and ends ignored', async () => {
  const taken = await bench.notify('h1')
  expect([taken.status, taken.body.notification]).toEqual([
    202,
    expect.objectContaining({ status: 'new', type: 'COMPUTE_HOST', generated_time: '2026-11-21T10:00:00.123000' }),
  ])
  await until(() => bench.mesh.core.memory.of('h1').hintedMs !== undefined, { what: 'a look', timeoutMs: 20_000 })
  expect(refusal(await bench.notify('h1'))).toEqual([
    409,
    'conflictingRequest',
    "Notification received from host h1 of  type 'COMPUTE_HOST' is duplicate.",
  ])
  expect(bench.mesh.core.cluster.incidents.size).toBe(0)
  expect(bench.mesh.off.size).toBe(0)
})

test.each([
  ['an unknown host', { hostname: 'h9' }, 'Host with name h9 could not be found.'],
  ['another type', { type: 'DISK' }, "'DISK' is not one of ['COMPUTE_HOST', 'PROCESS', 'VM']"],
  ['no time', { generated_time: 'soon' }, "is not a 'date-time'"],
  ['a payload of another type', { type: 'PROCESS' }, "'process_name' is a required property"],
])('a notification with %s is 400', async (_, more, phrase) => {
  const { hostname = 'h2', ...rest } = more as { hostname?: string }
  expect(refusal(await bench.notify(hostname, rest))).toEqual([400, 'badRequest', expect.stringContaining(phrase)])
})

test('an incident that nobody sent a notification of has one, with its moves; a move is read by its UUID', async () => {
  bench.mesh.living.delete('h2')
  bench.cloud.at.set('5b0f7d3c-2f3c-4d6a-9a52-0123456789ab', 'h2')
  const incident = await bench.mesh.fence('h2', 30_000)
  const found = async () =>
    ((await bench.call('GET', '/notifications?status=finished&type=COMPUTE_HOST')).body.notifications as any[])[0]
  const notification = await until(found, { what: 'a notification', timeoutMs: 30_000, everyMs: 100 })
  const { notification_uuid: uuid } = notification
  const shown = (await bench.call('GET', `/notifications/${uuid}`)).body.notification
  expect(shown.recovery_workflow_details.map(({ name, state }: any) => [name, state])).toEqual([
    ['FenceHostTask', 'SUCCESS'],
    ['EvacuateInstancesTask', 'SUCCESS'],
  ])
  const { vmoves } = (await bench.call('GET', `/notifications/${uuid}/vmoves`)).body
  expect(vmoves).toEqual([
    expect.objectContaining({
      instance_uuid: '5b0f7d3c-2f3c-4d6a-9a52-0123456789ab',
      source_host: 'h2',
      dest_host: 'h3',
      status: 'succeeded',
      type: 'evacuation',
    }),
  ])
  expect((await bench.call('GET', `/notifications/${uuid}/vmoves/${vmoves[0].uuid}`)).body.vmove).toEqual(vmoves[0])
  expect((await bench.call('GET', `/notifications/${uuid}/vmoves`, undefined, { version: '1.2' })).status).toBe(404)
  expect(incident.proof).not.toBeNull()
})

const settled = (uuid: string, wanted: string) =>
  until(async () => (await bench.call('GET', `/notifications/${uuid}`)).body.notification.status === wanted, {
    what: wanted,
    timeoutMs: 20_000,
    everyMs: 100,
  })
const INSTANCE = '6c1f7d3c-2f3c-4d6a-9a52-0123456789ab'
const vm = { event: 'LIFECYCLE', instance_uuid: INSTANCE, vir_domain_event: 'STOPPED_FAILED' }

describe.concurrent('what is done on a living host', () => {
  test('a failed instance is stopped and started where it is; a leader that takes over meanwhile stops it no second time', async () => {
    let leaders = 0
    bench.cloud.onOrder = (order) => {
      // The leader that carries the order out loses its lease before it hears of it.
      if (order !== `start ${INSTANCE} of h1` || leaders > 0) return
      const nowMs = monotonicClock.now()
      leaders += 1
      bench.mesh.core.onLease({ epoch: 100 + leaders, endsMs: nowMs + 10_000, storeOkMs: nowMs }, nowMs)
    }
    const taken = await bench.notify('h1', { type: 'VM', payload: vm })
    expect(taken.status).toBe(202)
    await settled(taken.body.notification.notification_uuid, 'finished')
    const orders = bench.cloud.orders.filter((order) => order.includes(INSTANCE))
    expect(orders).toEqual(['stop', 'start', 'start'].map((step) => `${step} ${INSTANCE} of h1`))
  })

  test('a process that stays down: its host gets no new instances, and is not held', async () => {
    const payload = { event: 'STOPPED', process_name: 'nova-compute' }
    const taken = await bench.notify('h1', { type: 'PROCESS', payload })
    await settled(taken.body.notification.notification_uuid, 'finished')
    // A leader that takes over meanwhile (the other test) may say it once more.
    expect(new Set(bench.cloud.orders.filter((order) => order.startsWith('disable')))).toEqual(new Set(['disable h1']))
    expect(bench.mesh.core.cluster.holds.size).toBe(0)
  })
})

test('events that need nothing are ignored at once; what came back is finished', async () => {
  const other = await bench.notify('h1', { type: 'VM', payload: { ...vm, vir_domain_event: 'SUSPENDED' } })
  expect(other.body.notification.status).toBe('ignored')
  const back = await bench.notify('h1', { payload: { event: 'STARTED', cluster_status: 'ONLINE' } })
  expect(back.body.notification.status).toBe('finished')
})

test('lists: a limit, a marker, an order, and arguments that are refused', async () => {
  const names = ['p1', 'p2', 'p3']
  for (const name of names)
    await bench.call('POST', '/segments', { segment: { name, recovery_method: 'auto', service_type: 'COMPUTE' } })
  const list = async (query: string) => (await bench.call('GET', `/segments?${query}`)).body.segments as any[]
  const [first, second] = await list('sort_key=name&sort_dir=desc&limit=2')
  expect([first.name, second.name]).toEqual(['p3', 'p2'])
  expect((await list(`sort_key=name&sort_dir=desc&marker=${second.uuid}`)).map(({ name }) => name)).toEqual([
    'p1',
    'mesh',
  ])
  for (const query of [
    'limit=x',
    'limit=-1',
    'marker=nobody',
    'sort_key=color',
    'sort_dir=up',
    'enabled=perhaps',
    'x=1',
  ])
    expect([query, (await bench.call('GET', `/segments?${query}`)).status]).toEqual([query, 400])
})

test('hosts of a disabled segment are held until it is enabled', async () => {
  const made = await bench.call('POST', '/segments', {
    segment: { name: 'off', recovery_method: 'auto', service_type: 'COMPUTE', enabled: false },
  })
  const { uuid } = made.body.segment
  await bench.call('POST', `/segments/${uuid}/hosts`, {
    host: { name: 'h3', type: 'COMPUTE', control_attributes: 'SSH' },
  })
  const held = () => bench.mesh.core.cluster.holds.get('h3')?.value.why === 'Masakari: its segment is disabled'
  await until(held, { what: 'the hold', timeoutMs: 30_000 })
  await bench.call('PUT', `/segments/${uuid}`, { segment: { enabled: 'True' } })
  await until(() => !bench.mesh.core.cluster.holds.has('h3'), { what: 'the end of the hold', timeoutMs: 30_000 })
})
