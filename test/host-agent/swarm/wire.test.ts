/** Nodes that write one image over real sockets: what they fetch from each other, and what becomes of it when peers
 *  lie, the tracker or the image server dies, or a node comes late. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Tracker } from '../../../conductor/agents/swarm/tracker.ts'
import { until } from '../../../kit/clock.ts'
import { SwarmRig, uuid } from './rig.ts'

const PIECES = 14
/** All but the boot sector, which is never passed on, and the zeros. */
const PASSED_ON = PIECES - 2

let rig: SwarmRig
beforeAll(async () => {
  rig = await SwarmRig.make(PIECES)
}, 60_000)
afterAll(() => rig.close())
afterEach(() => {
  rig.tracker = new Tracker({ fromNodes: 3, members: 100 }, Math.random)
  rig.seedBytes = 0
  rig.written.clear()
  rig.seedMs = 0
  rig.isSeedDead = false
  rig.isTrackerDead = false
  rig.calls = []
})

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1)
/** Members that are there before anybody begins: the swarm is on from the first call. */
const expectMembers = (count: number) => {
  for (const number of numbers(count))
    rig.tracker.call(
      {
        nodeUuid: uuid(200 + number),
        imageId: rig.index.id,
        generation: 1,
        ip: '127.0.9.250',
        port: 0,
        rack: 'r',
        bad: [],
        unreachable: [],
      },
      () => Buffer.alloc(32),
      Date.now(),
    )
}

test('five nodes get the image right, and most of it from each other', async () => {
  rig.seedMs = 100
  expectMembers(3)
  const written = await Promise.all(numbers(5).map((number) => rig.write(number)))
  expect(written.map(({ isRight }) => isRight)).toEqual([true, true, true, true, true])
  const fromPeers = written.reduce((sum, { came }) => sum + came.peers, 0)
  expect(fromPeers).toBeGreaterThan(rig.index.dataBytes)
  expect(rig.seedBytes).toBeLessThan(4 * rig.index.dataBytes)
}, 60_000)

test('one node, or two, fetch from the image server alone, and nothing listens', async () => {
  const written = await Promise.all(numbers(2).map((number) => rig.write(number)))
  expect(written.every(({ isRight, came }) => isRight && came.peers === 0)).toBe(true)
  expect(rig.calls.every(({ port }) => port === 0)).toBe(true)
  expect(rig.seedBytes).toBeGreaterThanOrEqual(2 * rig.index.dataBytes)
}, 60_000)

test('pieces that memory has no room for are served from the disk', async () => {
  rig.seedMs = 100
  expectMembers(3)
  const written = await Promise.all(numbers(4).map((number) => rig.write(number, { memoryBytes: 0 })))
  expect(written.every(({ isRight }) => isRight)).toBe(true)
  expect(written.reduce((sum, { came }) => sum + came.peers, 0)).toBeGreaterThan(0)
}, 60_000)

test('no tracker: unicast, and right', async () => {
  rig.isTrackerDead = true
  const written = await rig.write(1)
  expect(written).toMatchObject({ isRight: true, came: { peers: 0 } })
}, 60_000)

test('a door that never opens keeps a node neither from the tracker nor from the image', async () => {
  rig.seedMs = 2_000
  let isOpening = false
  const listen = () => {
    isOpening = true
    return new Promise<never>(() => undefined)
  }
  const close = async () => undefined
  const still = { isOpen: false, sentBytes: 0, listen, tell: () => undefined, renew: () => undefined, close }
  const writing = rig.write(1, { door: () => still })
  // The swarm begins while it writes.
  await until(() => rig.calls.length > 0, { what: 'a call', timeoutMs: 20_000, everyMs: 5 })
  expectMembers(3)
  await until(() => isOpening, { what: 'the door', timeoutMs: 20_000, everyMs: 5 })
  const before = rig.calls.length
  await until(() => rig.calls.length >= before + 3, { what: 'more calls', timeoutMs: 20_000, everyMs: 20 })
  expect(await writing).toMatchObject({ isRight: true })
}, 60_000)

test('the tracker dies in the middle: those who know each other go on', async () => {
  rig.seedMs = 200
  expectMembers(3)
  const writing = Promise.all(numbers(4).map((number) => rig.write(number)))
  await until(() => rig.calls.some(({ have }) => have >= 2), { what: 'the middle', timeoutMs: 30_000, everyMs: 10 })
  rig.isTrackerDead = true
  expect((await writing).every(({ isRight }) => isRight)).toBe(true)
}, 60_000)

test('a node whose pieces are poisoned is dropped by each neighbour and named to the tracker; every disk is right', async () => {
  rig.seedMs = 100
  expectMembers(3)
  const written = await Promise.all(numbers(5).map((number) => rig.write(number, { isPoisoned: number === 3 })))
  expect(written.map(({ isRight }) => isRight)).toEqual([true, true, true, true, true])
  expect(new Set(rig.calls.flatMap(({ bad }) => bad))).toEqual(new Set([uuid(3)]))
}, 60_000)

test.each([
  ['cannot listen nor connect', '203.0.113.77', undefined],
  ['breaks in the middle', 'no address', 'from the image server alone: the swarm failed'],
])(
  'a node whose swarm %s gets all of it from the image server',
  async (_, ip, said) => {
    rig.seedMs = 50
    expectMembers(3)
    const others = Promise.all(numbers(3).map((number) => rig.write(number)))
    const alone = await rig.write(4, { ip })
    expect(alone).toMatchObject({ isRight: true, came: { peers: 0 } })
    if (said) expect(alone.said).toBe(said)
    // It says so, instead of nothing more.
    else expect(rig.calls.filter(({ number, port }) => number === 4 && port === 0).length).toBeGreaterThan(1)
    expect((await others).every(({ isRight }) => isRight)).toBe(true)
  },
  60_000,
)

test('the image server dies when the nodes hold the image among them: they finish but for the boot sector, which it sends', async () => {
  rig.seedMs = 50
  expectMembers(3)
  const writing = Promise.all(numbers(4).map((number) => rig.write(number)))
  // Which pieces are fetched first is chance: each of them must be with one node at least.
  const isAmongThem = () => [...rig.written].filter((piece) => piece > 0).length >= PASSED_ON
  await until(isAmongThem, { what: 'a copy of each piece', timeoutMs: 30_000, everyMs: 5 })
  rig.isSeedDead = true
  await until(() => rig.calls.some(({ have }) => have >= PASSED_ON - 2), {
    what: 'the rest',
    timeoutMs: 30_000,
    everyMs: 20,
  })
  rig.isSeedDead = false
  expect((await writing).every(({ isRight }) => isRight)).toBe(true)
}, 60_000)

test('a node that joins when the others are nearly done gets all of it', async () => {
  rig.seedMs = 100
  expectMembers(3)
  const writing = Promise.all(numbers(4).map((number) => rig.write(number)))
  await until(() => rig.calls.some(({ have }) => have >= PASSED_ON - 3), {
    what: 'nearly done',
    timeoutMs: 30_000,
    everyMs: 10,
  })
  const late = await rig.write(9)
  expect(late.isRight).toBe(true)
  expect((await writing).every(({ isRight }) => isRight)).toBe(true)
}, 60_000)

test('a node whose disk stands still holds up nobody, and goes on when its disk does', async () => {
  rig.seedMs = 50
  expectMembers(3)
  let go = () => undefined as void
  const still = new Promise<void>((resolve) => (go = resolve))
  // What it gives away comes from the disk too.
  const stuck = rig.write(5, { memoryBytes: 0, still })
  const others = await Promise.all(numbers(4).map((number) => rig.write(number)))
  expect(others.map(({ isRight }) => isRight)).toEqual([true, true, true, true])
  go()
  expect((await stuck).isRight).toBe(true)
}, 120_000)
