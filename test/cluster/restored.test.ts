/** Conductors on a PostgreSQL that was restored from a dump: they have seen more themselves, or a boot room was told
 *  more, than the dump has, and none of them acts until an operator says so, at any of them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DoubtView } from '../../conductor/api/store-schemas.ts'
import type { BundleView } from '../../conductor/api/rooms.ts'
import { BootRoom } from '../../conductor/boot/rooms/room.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { Postgres } from '../conductor/postgres.ts'
import { RmcpBmc } from '../fake/rmcp-bmc.ts'
import { freePort } from '../kit/free-port.ts'
import type { Victim } from '../security/victim.ts'
import { allNodes, Cluster, create, verb, type NodeNow } from './rig.ts'

const WAIT = { timeoutMs: 90_000, everyMs: 200 }
const NODES = 6
/** Several polls of every BMC, and tries of what is owed. */
const QUIET_MS = 6_000

let server: Postgres
let cluster: Cluster
let dir: string
let room: BootRoom | undefined
let bmcs: RmcpBmc[] = []
const victims = new Map<string, Victim>()
const urls: URL[] = []

beforeEach(async () => {
  urls.length = 0
  server = await Postgres.start({ max_connections: '100' })
  cluster = await Cluster.make(server)
  dir = await mkdtemp(join(tmpdir(), 'rackward-restored-'))
  for (const name of ['kernel', 'initrd', ...LOADERS]) await writeFile(join(dir, name), name)
  bmcs = await Promise.all(Array.from({ length: NODES }, () => RmcpBmc.start()))
}, 60_000)
afterEach(async () => {
  await room?.stop()
  room = undefined
  await cluster.stop()
  for (const bmc of bmcs) await bmc.stop()
  await server.stop()
  await rm(dir, { recursive: true, force: true })
}, 60_000)

async function start(hostname: string): Promise<Victim> {
  // Each has a port 69, and so may tests that run beside this one.
  const address = `127.${20 + (process.pid % 200)}.9.${urls.length + 1}`
  const port = await freePort(address)
  urls.push(new URL(`https://${address}:${port}`))
  const segments = [{ name: 'rack1', cidr: '10.9.0.0/24', first: '10.9.0.100', last: '10.9.0.200' }]
  const victim = await cluster.start(hostname, {
    powerSync: { everySeconds: 1 },
    agent: { address, port: await freePort(address) },
    boot: {
      interfaces: [],
      subnets: [],
      http: { address, port: await freePort(address) },
      tftp: address,
      kernel: join(dir, 'kernel'),
      initrd: join(dir, 'initrd'),
    },
    rooms: { listen: { address, port }, segments },
  })
  victims.set(hostname, victim)
  return victim
}

async function openRoom(bundle: BundleView): Promise<BootRoom> {
  const data = join(dir, 'room')
  await mkdir(data, { mode: 0o700 })
  const made = new BootRoom({
    bundle: { ...bundle, expiresAt: bundle.expires_at },
    conductors: urls,
    data,
    interfaces: [],
    address: '127.0.9.7',
    httpPort: await freePort('127.0.9.7'),
    loaders: dir,
    cacheBytes: 1024 ** 2,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
  await made.start()
  return made
}

const doubt = async (at: Victim) => (await at.call('GET', '/rackward/v1/store/doubt')).body as DoubtView
const isReady = async (at: Victim) => (await at.call('GET', '/readyz')).status === 200
const resting = (state: string) => (node: NodeNow) => node.provision_state === state && node.reservation === null

test.each(['stopped', 'running'])(
  'both act on nothing after a restore under %s conductors, and both go on once it is accepted at one of them',
  async (how) => {
    const [a, b] = [await start('a'), await start('b')]
    const { body } = await a.call('POST', '/rackward/v1/rooms', { name: 'r1', segments: ['rack1'] })
    room = await openRoom(body as BundleView)
    const made = room
    const connected = () => made.look().conductors.filter((one) => one.connected).length
    await until(() => connected() === 2, { ...WAIT, what: 'the room at both' })

    const uuids: string[] = []
    for (const [n, bmc] of bmcs.entries()) {
      const uuid = await create(a, { name: `n${n}`, driver: 'ipmi', driver_info: bmc.driverInfo() })
      const port = { node_uuid: uuid, address: `52:54:00:aa:dd:0${n}`, physical_network: 'rack1' }
      expect((await a.call('POST', '/v1/ports', port)).status).toBe(201)
      uuids.push(uuid)
    }
    for (const uuid of uuids.slice(1)) await verb(a, uuid, 'manage')
    await allNodes(a, { what: 'the nodes to be managed', timeoutMs: 60_000 }, (node) =>
      resting(node.name === 'n0' ? 'enroll' : 'manageable')(node),
    )
    await until(() => made.holds().length === NODES, { ...WAIT, what: 'the orders' })

    const dump = await server.dump(cluster.database)
    const lost = uuids.slice(0, 3)
    await verb(b, lost[0] as string, 'manage')
    for (const uuid of lost) {
      const patch = [{ op: 'add', path: '/extra/tag', value: 'lost' }]
      await until(async () => (await b.call('PATCH', `/v1/nodes/${uuid}`, patch)).status === 200, {
        ...WAIT,
        what: 'the change',
      })
    }
    await allNodes(a, { what: 'all nodes to be managed', timeoutMs: 60_000 }, resting('manageable'))
    const versions = () => new Map(made.holds().map(({ nodeUuid, version }) => [nodeUuid, version?.[3] ?? 0]))
    await until(
      async () => {
        const rows = await cluster.sql('SELECT uuid, version FROM nodes')
        return rows.every((row) => versions().get(String(row.uuid)) === Number(row.version))
      },
      { ...WAIT, what: 'the room to know all' },
    )

    const isRunning = how === 'running'
    for (const victim of isRunning ? [] : [a, b]) await victim.end('SIGKILL')
    await until(() => isRunning || connected() === 0, { ...WAIT, what: 'the room to be alone' })
    await server.replace(cluster.database, dump)
    let before = bmcs.map((bmc) => bmc.datagrams)
    if (!isRunning) await Promise.all([a.restart(), b.restart()])
    for (const victim of [a, b]) {
      const said = async () => {
        const now = await doubt(victim)
        return now.rooms.some(({ who }) => who === 'room') ? now : undefined
      }
      const seen = await until(said, { ...WAIT, what: 'the doubt' })
      // Conductors that ran know it themselves: the first that comes back at least.
      expect(seen.rooms.filter(({ who }) => who === 'room').map((one) => one.room)).toEqual(['r1'])
      expect(seen.rooms.some(({ who }) => who === 'conductor')).toBe(isRunning)
      expect(seen.nodes.map(({ uuid }) => uuid).sort()).toEqual([...lost].sort())
      expect(await isReady(victim)).toBe(false)
    }
    // Until their leases ended without a database, they read the power.
    if (isRunning) before = bmcs.map((bmc) => bmc.datagrams)
    await systemClock.sleep(QUIET_MS)
    expect(bmcs.map((bmc) => bmc.datagrams)).toEqual(before)
    for (const victim of [a, b]) {
      const refused = await victim.call('PUT', `/v1/nodes/${uuids[1]}/states/power`, { target: 'power on' })
      expect([refused.status, refused.headers['x-rackward-fault']]).toEqual([503, 'store.doubt'])
    }

    const { revision } = await doubt(a)
    const accepted = await b.call('POST', '/rackward/v1/store/doubt/accept', { revision })
    expect(accepted.status).toBe(200)
    for (const victim of [a, b]) await until(() => isReady(victim), { ...WAIT, what: 'both to work' })
    expect([(await doubt(a)).epoch, (await doubt(b)).epoch]).toEqual([2, 2])
    await verb(a, uuids[0] as string, 'manage')
    await allNodes(b, { what: 'the restored nodes to be worked on', timeoutMs: 60_000 }, resting('manageable'))
    await until(() => bmcs.every((bmc, n) => bmc.datagrams > (before[n] ?? 0)), { ...WAIT, what: 'polls of all' })
    await until(() => made.holds().every(({ version }) => version?.[0] === 2), { ...WAIT, what: 'the new incarnation' })

    // One that starts beside another one waits for no room.
    await made.stop()
    await a.end('SIGTERM')
    await a.restart()
    await until(() => isReady(a), { ...WAIT, what: 'the restarted one' })
    expect(await a.log()).not.toContain('waited for no longer')
  },
  400_000,
)

test.each([
  ['one', ['a']],
  ['several', ['a', 'b']],
])(
  'without boot rooms, running conductors (%s) know themselves that the database is older',
  async (conductors, hostnames) => {
    const { postgres } = cluster.storeAt(server.urlOf(cluster.database)).store
    const victims: Victim[] = []
    for (const hostname of hostnames)
      victims.push(
        await cluster.start(hostname, {
          store: { postgres: { ...postgres, conductors } },
          powerSync: { everySeconds: 1 },
        }),
      )
    const a = victims[0] as Victim
    const [bmc] = bmcs as [RmcpBmc]
    const uuid = await create(a, { name: 'n0', driver: 'ipmi', driver_info: bmc.driverInfo() })
    await verb(a, uuid, 'manage')
    await allNodes(a, { what: 'the node', timeoutMs: 60_000 }, resting('manageable'))

    const dump = await server.dump(cluster.database)
    const patch = [{ op: 'add', path: '/extra/tag', value: 'lost' }]
    await until(async () => (await a.call('PATCH', `/v1/nodes/${uuid}`, patch)).status === 200, {
      ...WAIT,
      what: 'the change',
    })
    await server.replace(cluster.database, dump)
    for (const victim of victims)
      await until(async () => (await doubt(victim)).in_doubt, { ...WAIT, what: 'the doubt' })
    // What the first that comes back writes hides it from the other, which is told.
    for (const { who, room } of (await doubt(a)).rooms)
      expect([who, hostnames.includes(room)]).toEqual(['conductor', true])
    const before = bmc.datagrams
    await systemClock.sleep(QUIET_MS)
    expect(bmc.datagrams).toBe(before)
    for (const victim of victims) {
      const refused = await victim.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power on' })
      expect([refused.status, refused.headers['x-rackward-fault']]).toEqual([503, 'store.doubt'])
    }

    const { revision } = await doubt(a)
    expect((await a.call('POST', '/rackward/v1/store/doubt/accept', { revision })).status).toBe(200)
    for (const victim of victims) await until(() => isReady(victim), { ...WAIT, what: 'work' })
    await until(() => bmc.datagrams > before, { ...WAIT, what: 'a poll of the BMC' })
    // Nothing of it is left.
    await systemClock.sleep(QUIET_MS)
    for (const victim of victims) expect([await isReady(victim), (await doubt(victim)).in_doubt]).toEqual([true, false])
  },
  200_000,
)
