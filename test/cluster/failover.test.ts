/** The primary of PostgreSQL dies in the middle of deploys, and its synchronous standby is promoted; or it is promoted
 *  while the old primary goes on: nothing that was answered is lost, and the old one leads nobody to act. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'
import type { Victim } from '../security/victim.ts'
import { EventReader, NodeWriter } from './followers.ts'
import { allNodes, Cluster, create, nodesOf, verb, type NodeNow } from './rig.ts'

/** After the promotion. */
const GOES_ON_MS = 20_000
const WORK_MS = 90_000
const NODES = 20
/** Which conductor has which node is chance: so many are not all with one. */
const BMCS = 14
/** More than all of the waits of a test. */
const WHOLE_MS = 600_000

let primary: Postgres
let standby: Postgres
let cluster: Cluster
let bmcs: VirtualBmc[] = []
beforeEach(async () => {
  primary = await Postgres.start({ max_connections: '100' })
  cluster = await Cluster.make(primary)
  standby = await primary.standby({ max_connections: '100' })
}, 90_000)
afterEach(async () => {
  await cluster.stop()
  for (const bmc of bmcs) await bmc.stop()
  bmcs = []
  await standby.stop()
  await primary.stop()
}, 60_000)

const resting = (state: string) => (node: NodeNow) => node.provision_state === state && node.reservation === null
const actsOf = (bmc: VirtualBmc) =>
  bmc.heard.filter(({ method, path }) => method !== 'GET' && !path.includes('SessionService')).length

async function deployable(by: Victim): Promise<string[]> {
  const uuids: string[] = []
  for (let n = 0; n < NODES; n += 1) uuids.push(await create(by, { name: `n${n}`, driver: 'fake-hardware' }))
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    for (const uuid of uuids) await verb(by, uuid, target)
    await allNodes(by, { what: state, timeoutMs: WORK_MS }, resting(state))
  }
  return uuids
}

test(
  'the primary is killed in the middle of deploys: they go on after the promotion, and no answer and no event is lost',
  async () => {
    const at = cluster.storeAt(primary.urlOf(cluster.database, standby))
    const [a, b] = [
      await cluster.start('a', { ...at, fake: { delaySeconds: 3 } }),
      await cluster.start('b', { ...at, fake: { delaySeconds: 3 } }),
    ]
    const uuids = await deployable(a)
    await until(async () => new Set((await nodesOf(a)).map(({ conductor }) => conductor)).size === 2, {
      what: 'shares of both',
      timeoutMs: GOES_ON_MS,
    })
    const reader = new EventReader(b)
    const writer = new NodeWriter([a, b])
    try {
      for (const [n, uuid] of uuids.entries()) await verb(n % 2 === 0 ? a : b, uuid, 'active')
      await primary.kill('SIGKILL')
      await until(() => writer.failures() > 0, {
        what: 'a change that is refused without a primary',
        timeoutMs: 30_000,
      })
      await standby.promote()
      const promotedAtMs = systemClock.now()
      const busy = (
        await standby.sql(cluster.database, "SELECT uuid FROM nodes WHERE body::json->>'provisionState' <> 'active'")
      ).map(({ uuid }) => String(uuid))
      const own = busy.filter((uuid) => uuids.includes(uuid))
      expect(own.length).toBeGreaterThan(NODES / 2)
      const moved = `SELECT node_uuid, min(at)::float8 AS at FROM events WHERE node_uuid = ANY($1) AND at > $2 GROUP BY 1`
      const since = await until(
        async () => {
          const rows = await standby.sql(cluster.database, moved, [own, promotedAtMs])
          return rows.length === own.length ? rows : undefined
        },
        { what: 'every node to go on', timeoutMs: GOES_ON_MS, everyMs: 200 },
      )
      for (const { at: atMs } of since) expect(Number(atMs) - promotedAtMs).toBeLessThan(GOES_ON_MS)
      await allNodes(b, { what: 'active', timeoutMs: WORK_MS }, (node) => {
        return !uuids.includes(node.uuid) || resting('active')(node)
      })
    } finally {
      await writer.stop()
      await reader.stop()
    }
    const names = new Set((await nodesOf(a)).map(({ name }) => name))
    expect(writer.answered.length).toBeGreaterThan(3)
    expect(writer.answered.filter((name) => !names.has(name))).toEqual([])
    const table = await standby.sql(
      cluster.database,
      'SELECT seq::int AS seq FROM events WHERE seq <= $1 ORDER BY seq',
      [reader.seen.at(-1)],
    )
    expect(reader.seen).toEqual(table.map(({ seq }) => seq))
    const arrows = await standby.sql(
      cluster.database,
      "SELECT node_uuid FROM events WHERE kind = 'state' AND detail::json->>'to' = 'active' GROUP BY 1 HAVING count(*) > 1",
    )
    expect(arrows).toEqual([])
  },
  WHOLE_MS,
)

test(
  'a conductor that stays with the old primary acts on nothing more, while another one goes on with the new one',
  async () => {
    bmcs = await Promise.all(Array.from({ length: BMCS }, () => VirtualBmc.start()))
    const old = await cluster.start('old')
    const b = await cluster.start('b', cluster.storeAt(primary.urlOf(cluster.database, standby)))
    for (const [n, bmc] of bmcs.entries())
      await verb(b, await create(b, { name: `n${n}`, driver: 'redfish', driver_info: bmc.driverInfo() }), 'manage')
    await allNodes(b, { what: 'manageable', timeoutMs: WORK_MS }, resting('manageable'))
    await until(async () => (await nodesOf(b)).some(({ conductor }) => conductor === 'old'), {
      what: 'a share of the one with the old primary',
      timeoutMs: GOES_ON_MS,
    })
    for (const bmc of bmcs) bmc.rules.push({ method: 'GET', latencyMs: 500 })
    const nodes = await nodesOf(b)
    for (const { uuid } of nodes)
      expect((await b.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })).status).toBe(202)
    // The old primary runs on, and no commit of it can end any more.
    await standby.promote()
    for (const bmc of bmcs) bmc.rules.length = 0
    await until(
      async () => (await nodesOf(b)).every((node) => node.conductor === 'b' && node.power_state === 'power on'),
      { what: 'power on, by b with the new primary', timeoutMs: WORK_MS, everyMs: 500 },
    )
    const acts = bmcs.map(actsOf)
    const asked = await Promise.all(
      nodes.map(({ uuid }) => old.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power off' })),
    )
    // 409: as its own database has it, the change before is still under way.
    for (const { status } of asked) expect([409, 503]).toContain(status)
    expect((await old.call('GET', '/readyz')).status).toBe(503)
    expect(bmcs.map(actsOf)).toEqual(acts)
    for (const { machine } of bmcs) expect(machine.power).toBe('On')
    const last = await standby.sql(
      cluster.database,
      "SELECT DISTINCT owner FROM slots WHERE grp = '' AND owner LIKE 'old%'",
    )
    expect(last).toEqual([])
  },
  WHOLE_MS,
)
