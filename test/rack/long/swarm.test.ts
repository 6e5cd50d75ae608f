/** Three servers of one image: from the third on they give each other its pieces, from the real deploy ramdisk, each by
 *  a process that is nobody's. What came from whom stands in the events and metrics. And the same where the switch
 *  keeps servers apart. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { enroll, provision } from '../../lab/journey.ts'
import { CONDUCTOR_IP } from '../../lab/rack.ts'
import type { Server } from '../../lab/server.ts'
import { sh } from '../../lab/shell.ts'
import { headOf, openBench, useTiny, type Bench } from '../setup.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const SIZES = { dataMib: 160, totalMib: 192 }
let bench: Bench
let nodes: { readonly uuid: string; readonly server: Server }[]
beforeAll(async () => {
  bench = await openBench('swarm', {})
  const servers: Server[] = []
  for (const number of [1, 2, 3])
    servers.push(
      await bench.rack.addServer({
        name: `swarm-${number}`,
        firmware: 'bios',
        card: 'virtio',
        diskKind: 'virtio',
        diskBytes: 5 * GIB,
        memoryMb: 1024,
      }),
    )
  // What nodes send to each other does not pass here. By an uplink without a limit the first one has it all before the
  // third begins.
  const shape = ['tbf', 'rate', '100mbit', 'burst', '256k', 'latency', '100ms']
  await sh(bench.rack.in(['tc', 'qdisc', 'add', 'dev', 'rack0', 'root', ...shape]))
  await bench.conductor.start()
  const { api } = bench.conductor
  nodes = await Promise.all(servers.map(async (server) => ({ server, uuid: await enroll(api, server) })))
  await Promise.all(
    nodes.map(async ({ uuid }) => {
      await provision(api, uuid, { target: 'manage' }, { to: 'manageable' })
      await provision(api, uuid, { target: 'inspect' }, { to: 'manageable' })
      await provision(api, uuid, { target: 'provide' }, { to: 'available' })
    }),
  )
})
afterAll(() => bench?.rack.down())

interface Moved {
  readonly fetchedBytes: number
  readonly shared?: { fromNeighbours: number; toNeighbours: number; neighbours: { node: string; bytes: number }[] }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

const said = new Set<string>()
/** What the events of the last deploy say that each node moved. */
async function deployAll(image: string): Promise<Moved[]> {
  const { api } = bench.conductor
  said.clear()
  let isOver = false
  const listen = (async () => {
    while (!isOver) {
      for (const { uuid } of nodes) {
        const account = await api.ok('GET', `/rackward/v1/nodes/${uuid}/explain`).catch(() => undefined)
        for (const { detail } of (account?.seen ?? []) as { detail: string }[])
          if (detail?.startsWith('write')) said.add(detail.replaceAll(/[\d.]+( MB)?/g, 'N'))
      }
      await systemClock.sleep(200)
    }
  })()
  for (const { uuid } of nodes)
    await api.ok('PATCH', `/v1/nodes/${uuid}`, [{ op: 'add', path: '/instance_info/image_source', value: image }])
  await Promise.all(nodes.map(({ uuid }) => provision(api, uuid, { target: 'active' }, { to: 'active' })))
  isOver = true
  await listen
  return Promise.all(
    nodes.map(async ({ uuid }) => {
      const { events } = (await api.ok(
        'GET',
        `/rackward/v1/events?node=${uuid}&kinds=agent-done&limit=100`,
      )) as unknown as {
        events: { detail: { moved?: Moved } }[]
      }
      const done = events.filter(({ detail }) => detail.moved)
      return done.at(-1)?.detail.moved as Moved
    }),
  )
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)

test('three servers give each other the pieces, and the events say who gave how much', async () => {
  const moved = await deployAll(await useTiny(bench, 'one', SIZES))
  process.stderr.write(`  ${JSON.stringify(moved)}\n  ${[...said].join('\n  ')}\n`)
  const shared = moved.map((one) => one.shared)
  const uuids = nodes.map(({ uuid }) => uuid)
  expect(sum(shared.map((one) => one?.fromNeighbours ?? 0))).toBeGreaterThan(
    0.2 * sum(moved.map((one) => one.fetchedBytes)),
  )
  // Who gave is another of the three, and gave what the others got.
  for (const [i, one] of shared.entries()) {
    expect(sum(one?.neighbours.map(({ bytes }) => bytes) ?? [])).toBe(one?.fromNeighbours)
    for (const { node } of one?.neighbours ?? []) expect(uuids.filter((uuid) => uuid !== uuids[i])).toContain(node)
  }
  expect([...said].some((text) => text.includes('neighbours (N) and the image server (N)'))).toBe(true)
  const metrics = await run(
    bench.rack.in(['curl', '-s', '-u', `admin:${bench.conductor.password}`, `http://${CONDUCTOR_IP}:6385/metrics`]),
    { timeoutMs: 20_000 },
  )
  const ofNeighbours = /rackward_image_bytes_total\{source="neighbours"\} (\d+)/.exec(metrics.stdout)?.[1]
  expect(Number(ofNeighbours)).toBe(sum(shared.map((one) => one?.fromNeighbours ?? 0)))
})

test('each disk holds the image', async () => {
  const disks = await Promise.all(nodes.map(({ server }) => headOf(server.diskFile, SIZES.totalMib * MIB)))
  // Neither the partition table, which is fitted to the disk, nor what stands behind the data.
  const [from, to] = [8 * MIB, (8 + SIZES.dataMib) * MIB]
  for (const disk of disks)
    expect(sha256(disk.subarray(from, to))).toBe(sha256(disks[0]?.subarray(from, to) ?? Buffer.alloc(0)))
})

test('where servers cannot reach each other, each gets all of it from the conductor, and explain says so', async () => {
  for (const { server } of nodes)
    for (const tap of server.taps) await sh(bench.rack.in(['bridge', 'link', 'set', 'dev', tap, 'isolated', 'on']))
  const { api } = bench.conductor
  await Promise.all(nodes.map(({ uuid }) => provision(api, uuid, { target: 'deleted' }, { to: 'available' })))
  // Another one: the disks still hold the first.
  const moved = await deployAll(await useTiny(bench, 'other', SIZES))
  process.stderr.write(`  ${JSON.stringify(moved)}\n  ${[...said].join('\n  ')}\n`)
  expect(sum(moved.map((one) => one.shared?.fromNeighbours ?? 0))).toBe(0)
  expect([...said].some((text) => /none of N neighbours can be reached/.test(text))).toBe(true)
})
