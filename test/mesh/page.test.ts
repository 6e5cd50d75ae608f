/** The page of a mesh of 1,000 hosts tells what the last tick found: no host is judged for it, it takes no longer than
 *  a tick, and no question changes anything. */
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { findingsOfMesh } from '../../cli/doctor-mesh.ts'
import { MeshLink } from '../../conductor/mesh/link.ts'
import { currentSpelling } from '../../conductor/mesh/spelling.ts'
import type { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { FIRST_POLICY, KEYS } from '../../host-agent/protocol/records.ts'
import type { Entry } from '../../host-agent/cluster/store.ts'
import { PLANES } from '../../host-agent/protocol/heartbeat.ts'
import { monotonicClock } from '../../kit/clock.ts'
import { ARBITERS, everybodySpeaks, makeArbiter, serveArbiter } from './arbiter-bench.ts'
import { memberRecord } from './member-record.ts'

const judged = vi.hoisted(() => ({ times: 0 }))
vi.mock('../../host-agent/verdict/assess.ts', async (original) => {
  const real = await original<typeof import('../../host-agent/verdict/assess.ts')>()
  return { ...real, assess: (...of: Parameters<typeof real.assess>) => ((judged.times += 1), real.assess(...of)) }
})

const HOSTS = 1_000
const SILENT = 20
const names = Array.from({ length: HOSTS }, (_, i) => `h${i}`)
let core: Arbiter
let base = ''
let stop: () => Promise<void>
const ticks: number[] = []
/** When everybody was heard, and when the hosts are judged: a machine that is busy in between makes nobody silent. */
let nowMs = 0
/** Stands still between them: pages tell the ages as of then. */
const clock = { ...monotonicClock, now: () => nowMs }

function timed<T>(act: () => T): { tookMs: number; got: T } {
  const sinceMs = performance.now()
  const got = act()
  return { got, tookMs: performance.now() - sinceMs }
}
const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] as number

beforeAll(async () => {
  const entries: Entry[] = [...names, ...ARBITERS].map((name, i) => ({
    key: KEYS.members + name,
    index: i + 2,
    value: memberRecord(name, {
      rack: `r${i % 25}`,
      planes: Object.fromEntries(PLANES.map((plane) => [plane, { address: '127.0.0.1', port: 1 }])),
    }),
  }))
  entries.push({ key: KEYS.policy, value: { ...FIRST_POLICY, why: 'a test' }, index: 1 })
  core = makeArbiter(() => ({ entries, index: 5_000 }))
  const api = await serveArbiter(core, { api: 'http://a1', leader: { name: 'a2', api: 'http://a2' }, clock })
  base = api.addresses[0] as string
  stop = () => api.stop()
})
afterAll(() => stop())
beforeEach(() => {
  nowMs = monotonicClock.now()
  core.onLease({ epoch: 7, endsMs: nowMs + 600_000, storeOkMs: nowMs }, nowMs)
  everybodySpeaks(core, { speakers: [...names.slice(SILENT), ...ARBITERS], seq: Math.round(nowMs * 1_000), nowMs })
  core.tick(nowMs)
  for (let i = 0; i < 5; i += 1) ticks.push(timed(() => core.tick(nowMs)).tookMs)
  judged.times = 0
})

const get = async (path: string) => {
  const response = await fetch(base + path)
  return { leads: response.headers.get('x-rackward-leads'), body: (await response.json()) as any }
}

test('the tick judges the silent hosts alone, and the page judges nobody: it takes no longer than a few ticks', async () => {
  core.tick(nowMs)
  expect(judged.times).toBe(SILENT)
  judged.times = 0
  const { body } = await get('/rackward/v1/mesh')
  expect(body.hosts).toHaveLength(HOSTS)
  expect(body.hosts.filter((host: any) => host.state === 'healthy')).toHaveLength(HOSTS - SILENT)
  expect(body.hosts[0]).toMatchObject({ name: 'h0', state: expect.stringMatching(/suspect|held/) })
  expect(body.judged_seconds_ago).toBeLessThan(30)
  core.tick(nowMs)
  expect((await get('/rackward/v1/mesh')).body.judged_rounds).toBe(body.judged_rounds + 1)
  judged.times = 0
  expect((await get('/readyz')).body.judged_rounds).toBe(body.judged_rounds + 1)
  const times: number[] = []
  for (let i = 0; i < 5; i += 1) {
    const sinceMs = performance.now()
    await get('/rackward/v1/mesh')
    times.push(performance.now() - sinceMs)
  }
  expect(judged.times).toBe(0)
  // It used to take fifty ticks and more; a page is JSON over HTTP as well.
  expect(median(times)).toBeLessThan(Math.max(250, 10 * median(ticks)))
})

test('the doctor names the leader, each silent arbiter, and why the mesh is disarmed', async () => {
  const { body } = await get('/rackward/v1/mesh')
  const disarmed = {
    check: 'mesh',
    level: 'warn',
    says: 'the mesh is disarmed: a test',
    mend: 'rackward mesh arm',
  }
  expect(findingsOfMesh(body)).toEqual([{ check: 'mesh', level: 'ok', says: 'a2 leads' }, disarmed])
  // As an arbiter of version 0.2 spells it, through a conductor.
  const { reason: why, ...older } = body
  expect(findingsOfMesh(currentSpelling({ ...older, why }) as typeof body)).toContainEqual(disarmed)
  const silent = body.arbiters.map((one: object, i: number) => ({ ...one, last_heard_seconds: [0, null, 6][i] }))
  const bad = findingsOfMesh({ ...body, leader: null, armed: true, arbiters: silent })
  expect(bad.map(({ level, says }) => `${level}: ${says}`)).toEqual([
    'bad: the mesh has no leader: no host is fenced',
    'bad: the arbiter a2 sends no heartbeat',
    'bad: the arbiter a3 sends no heartbeat',
  ])
})

test('a question about one host judges that one, and changes nothing', async () => {
  const before = structuredClone({ memory: core.memory.hosts, cut: core.memory.cutAtMs, cluster: core.cluster.index })
  const { body } = await get('/rackward/v1/mesh/hosts/h0/explain')
  expect(body.conditions.find(({ id }: { id: string }) => id === 'C7')).toEqual({
    id: 'C7',
    holds: false,
    message: expect.any(String),
    description: 'fencing it is allowed',
  })
  expect(judged.times).toBe(1)
  await get('/rackward/v1/mesh/hosts/h999/explain')
  expect(structuredClone({ memory: core.memory.hosts, cut: core.memory.cutAtMs, cluster: core.cluster.index })).toEqual(
    before,
  )
})

test('an arbiter that does not lead tells what it found itself, and remembers nothing of being asked', async () => {
  core.onLease(undefined, clock.now())
  core.memory.hosts.clear()
  expect((await get('/rackward/v1/mesh')).body).toMatchObject({ leads: false, leader: 'a2', reported_by: 'a1' })
  await get('/rackward/v1/mesh/hosts/h0/explain')
  expect(core.memory.hosts.size).toBe(0)
  core.tick(clock.now() + 2_000)
  expect((await get('/rackward/v1/mesh')).body.hosts[0].state).toBe('suspect')
})

test('the registry is made and sent when it changed: else a conductor hears that it holds', async () => {
  const made = vi.spyOn(core.cluster.bmcs, 'has')
  const link = await MeshLink.open({ arbiters: [base] }, monotonicClock)
  const first = await link.registry()
  expect(first.hosts).toHaveLength(HOSTS)
  const times = made.mock.calls.length
  expect(times).toBeGreaterThan(0)
  expect(await link.registry()).toBe(first)
  expect(await link.registry()).toBe(first)
  expect(made.mock.calls.length).toBe(times)

  const change = (key: string, value: unknown) => {
    const { holds, bmcs, index } = core.cluster
    const held = [...holds.values(), ...bmcs.values()].find((one) => one.key === key)
    core.cluster.takeOwnWrite([{ key, value, index: held?.index ?? 0 }], index + 1, clock.now())
  }
  const hold = { kind: 'maintenance', why: 'x', by: 'x', seconds: null }
  const heldOf = async () =>
    (await link.registry()).hosts.filter((one) => one.hold || one.bmc_sealed).map((one) => one.name)
  change(`${KEYS.holds}h3`, hold)
  expect(await heldOf()).toEqual(['h3'])
  change(`${KEYS.bmcs}h4`, { sealed: {} })
  expect(await heldOf()).toEqual(['h3', 'h4'])
  change(`${KEYS.holds}h3`, undefined)
  change(`${KEYS.bmcs}h4`, undefined)
  expect(await heldOf()).toEqual([])
  made.mockRestore()
})

test('who leads, and what a conductor looks up, are small', async () => {
  expect(await get('/rackward/v1/mesh/leader')).toEqual({
    leads: 'true',
    body: { name: 'a1', api: 'http://a1', leads: true },
  })
  expect((await get('/rackward/v1/mesh/nodes/h7')).body.hosts).toMatchObject([{ name: 'h7', state: 'suspect' }])
  expect((await get('/rackward/v1/mesh/nodes/nobody')).body.hosts).toEqual([])
  const { body } = await get('/rackward/v1/mesh/registry')
  expect(body.hosts.find(({ name }: { name: string }) => name === 'h3')).toEqual({
    name: 'h3',
    node: null,
    hold: null,
    bmc_sealed: false,
    reserved: false,
  })
  expect(judged.times).toBe(0)
  core.onLease(undefined, clock.now())
  expect(await get('/rackward/v1/mesh/leader')).toEqual({
    leads: 'false',
    body: { name: 'a2', api: 'http://a2', leads: false },
  })
})
