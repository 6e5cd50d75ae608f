/** Several conductor processes on one PostgreSQL: killed, stopped and gone on, ended in order, joined, in groups. What
 *  a node was in the middle of goes on with another conductor, and nobody acts on a BMC that is no longer its own. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'
import { allNodes, Cluster, create, nodesOf, verb, type NodeNow } from './rig.ts'

/** A lease of 12 s, a quiet time of 5 s, a look each second; and a busy machine. */
const TAKEN_OVER_MS = 20_000
const WORK_MS = 60_000

let server: Postgres
let cluster: Cluster
let bmcs: VirtualBmc[] = []
beforeAll(async () => {
  server = await Postgres.start({ max_connections: '100' })
}, 60_000)
afterAll(() => server.stop())
beforeEach(async () => {
  cluster = await Cluster.make(server)
})
afterEach(async () => {
  await cluster.stop()
  for (const bmc of bmcs) await bmc.stop()
  bmcs = []
})

const names = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`)
const resting = (state: string) => (node: NodeNow) => node.provision_state === state && node.reservation === null
const of = (nodes: readonly NodeNow[], conductor: string) => nodes.filter((node) => node.conductor === conductor)
/** What changes a machine: everything that is no reading and no login. */
const actsOf = (bmc: VirtualBmc) =>
  bmc.heard.filter(({ method, path }) => method !== 'GET' && !path.includes('SessionService'))

test('conductors are listed as they are, and share the nodes; a third one joins, and one that ends is replaced at once', async () => {
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  for (const name of names(40)) await create(a, { name, driver: 'fake-hardware' })
  const shared = async (by: typeof a, among: readonly string[]) =>
    until(
      async () => {
        const nodes = await nodesOf(by)
        const counts = among.map((name) => of(nodes, name).length)
        return Math.min(...counts) > 0 && counts.reduce((sum, one) => sum + one, 0) === 40
      },
      { what: `shares of ${among.join()}`, timeoutMs: TAKEN_OVER_MS, everyMs: 200 },
    )
  await shared(a, ['a', 'b'])
  await shared(b, ['a', 'b'])
  const c = await cluster.start('c')
  await shared(b, ['a', 'b', 'c'])
  const alive = async () =>
    ((await a.call('GET', '/v1/conductors')).body.conductors as { hostname: string; alive: boolean }[]).flatMap(
      (one) => (one.alive ? [one.hostname] : []),
    )
  expect(await alive()).toEqual(['a', 'b', 'c'])

  const endedAtMs = systemClock.now()
  await b.end('SIGTERM')
  await shared(a, ['a', 'c'])
  // A lease and its quiet time would be 17 s.
  expect(systemClock.now() - endedAtMs).toBeLessThan(12_000)
  expect(await alive()).toEqual(['a', 'c'])
  expect((await c.call('GET', '/v1/conductors/b')).body).toMatchObject({ alive: false })
})

test('a conductor is killed in the middle of deploys: they go on with another one, each step of each node once', async () => {
  const [a, b] = [
    await cluster.start('a', { fake: { delaySeconds: 0.05 } }),
    await cluster.start('b', { fake: { delaySeconds: 0.5 } }),
  ]
  const uuids: string[] = []
  for (const name of names(16)) uuids.push(await create(b, { name, driver: 'fake-hardware' }))
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    for (const uuid of uuids) await verb(b, uuid, target)
    await allNodes(b, { what: state, timeoutMs: WORK_MS }, resting(state))
  }
  await until(async () => of(await nodesOf(b), 'a').length > 3, { what: 'a share', timeoutMs: TAKEN_OVER_MS })
  // Whoever is asked.
  for (const [n, uuid] of uuids.entries()) await verb(n % 2 === 0 ? a : b, uuid, 'active')
  await a.end('SIGKILL')
  const killedAtMs = systemClock.now()
  const busy = (await nodesOf(b)).filter((node) => !resting('active')(node))
  expect(busy.length).toBeGreaterThan(0)
  await until(async () => (await nodesOf(b)).every(({ conductor }) => conductor === 'b'), {
    what: 'b to have all nodes',
    timeoutMs: TAKEN_OVER_MS + 5_000,
    everyMs: 100,
  })
  expect(systemClock.now() - killedAtMs).toBeLessThan(TAKEN_OVER_MS + 3_000)
  await allNodes(b, { what: 'active', timeoutMs: WORK_MS }, resting('active'))
  const arrows = await cluster.sql(
    "SELECT node_uuid FROM events WHERE kind = 'state' AND detail::json->>'to' = 'active' GROUP BY 1 HAVING count(*) > 1",
  )
  expect(arrows).toEqual([])
})

test('a conductor that stands still past its lease and goes on sends nothing more to BMCs, and changes no node', async () => {
  bmcs = await Promise.all(names(10).map(() => VirtualBmc.start()))
  const a = await cluster.start('a')
  const b = await cluster.start('b')
  for (const [n, bmc] of bmcs.entries())
    await verb(b, await create(b, { name: `n${n}`, driver: 'redfish', driver_info: bmc.driverInfo() }), 'manage')
  await allNodes(b, { what: 'manageable', timeoutMs: WORK_MS }, resting('manageable'))
  const nodes = await nodesOf(b)
  const ofA = of(nodes, 'a')
  expect(ofA.length).toBeGreaterThan(0)

  // Its reading before the command takes so long that it is stopped in the middle of the act.
  for (const bmc of bmcs) bmc.rules.push({ method: 'GET', latencyMs: 500 })
  for (const { uuid } of nodes)
    expect((await b.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })).status).toBe(202)
  await until(async () => (await nodesOf(b)).filter(({ reservation }) => reservation !== null).length > 0, {
    what: 'acts under way',
    timeoutMs: 10_000,
  })
  process.kill(a.pid, 'SIGSTOP')
  for (const bmc of bmcs) bmc.rules.length = 0
  await allNodes(b, { what: 'power on by b', timeoutMs: TAKEN_OVER_MS + WORK_MS }, (node) => {
    return node.power_state === 'power on' && node.reservation === null && node.conductor === 'b'
  })
  for (const { machine } of bmcs) expect(machine.power).toBe('On')
  const acts = bmcs.map((bmc) => actsOf(bmc).length)
  const [last] = await cluster.sql('SELECT max(raw)::int AS raw FROM events')

  process.kill(a.pid, 'SIGCONT')
  // It takes part again, with new slots.
  await until(async () => of(await nodesOf(b), 'a').length > 0, { what: 'a to be back', timeoutMs: TAKEN_OVER_MS })
  await allNodes(a, { what: 'rest', timeoutMs: WORK_MS }, ({ reservation }) => reservation === null)
  expect(bmcs.map((bmc) => actsOf(bmc).length)).toEqual(acts)
  const told = await cluster.sql("SELECT * FROM events WHERE raw > $1 AND kind IN ('state', 'power', 'error')", [
    last?.raw,
  ])
  expect(told).toEqual([])
})

test('nodes of another group are left to it, and explain says when none of it runs', async () => {
  const a = await cluster.start('a', { conductorGroup: 'row-1' })
  const ours = await create(a, { driver: 'fake-hardware', conductor_group: 'row-1' })
  const theirs = await create(a, { driver: 'fake-hardware', conductor_group: 'Row-2' })
  for (const uuid of [ours, theirs]) await verb(a, uuid, 'manage')
  const state = async (uuid: string) => (await a.call('GET', `/v1/nodes/${uuid}`)).body.provision_state
  await until(async () => (await state(ours)) === 'manageable', { what: 'ours', timeoutMs: WORK_MS })
  const { causes } = (await a.call('GET', `/rackward/v1/nodes/${theirs}/explain`)).body
  expect(causes).toContainEqual(
    expect.objectContaining({ cause: 'no conductor of the group "row-2" runs: nobody works on this node' }),
  )
  expect(await state(theirs)).not.toBe('manageable')
  const device = () => a.call('GET', `/v1/nodes/${theirs}/management/boot_device`)
  expect(await device()).toMatchObject({
    status: 503,
    body: { error_message: expect.stringContaining('of which no conductor runs') as string },
  })
  expect((await a.call('GET', `/v1/nodes/${ours}/management/boot_device`)).status).toBe(200)

  const b = await cluster.start('b', { conductorGroup: 'row-2' })
  await until(async () => (await state(theirs)) === 'manageable', { what: 'theirs', timeoutMs: WORK_MS })
  expect((await b.call('GET', `/v1/nodes/${theirs}`)).body).toMatchObject({ conductor: 'b', conductor_group: 'row-2' })
  expect((await b.call('GET', '/v1/conductors?detail=true')).body.conductors).toMatchObject([
    { hostname: 'a', conductor_group: 'row-1', alive: true },
    { hostname: 'b', conductor_group: 'row-2', alive: true },
  ])
  // Who asks is told whom to ask, and an act that is not done is not recorded as one.
  expect(await device()).toMatchObject({
    status: 503,
    body: { error_message: expect.stringContaining('whose conductors are b') as string },
  })
  const raised = await a.call('PUT', `/v1/nodes/${theirs}/management/inject_nmi`, {})
  expect([raised.status, await cluster.sql("SELECT 1 FROM events WHERE kind = 'bmc-act'")]).toEqual([503, []])

  const listed = async (conductor: string) =>
    ((await b.call('GET', `/v1/nodes?conductor=${conductor}`)).body.nodes as NodeNow[]).map((node) => node.uuid)
  expect([await listed('a'), await listed('b'), await listed('c')]).toEqual([[ours], [theirs], []])
})
