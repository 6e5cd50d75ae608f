/** The board of all servers, the phases of one, and the images: over a live conductor with fake hardware. */
import { describe, expect, test } from 'vitest'
import { Board, ImageList, Phases } from '../../conductor/api/board-schemas.ts'
import { boardNode, phaseOf, placeOf, racksOf } from '../../conductor/node/query/board.ts'
import { newNode } from '../../conductor/node/record.ts'
import { until } from '../../kit/clock.ts'
import { call, create, drive } from './api-bench.ts'
import { NO_PAST } from '../../conductor/node/policy/usual-time.ts'

const board = async (headers = {}) => call('GET', '/rackward/v1/board', undefined, headers)
/** A board is the same one for half a second: until one has all that happened. */
const fresh = () =>
  until(
    async () => {
      const { seq } = (await board()).body
      return (await call('GET', `/rackward/v1/events?after=${seq}`)).body.events.length === 0
    },
    { what: 'a board with all that happened', timeoutMs: 30_000 },
  )

describe('the board', () => {
  test('has every server with its place, and the sequence number that the stream goes on from', async () => {
    const extra = { rackward: { rack: 'r1', u: 7, height: 2 } }
    const { uuid } = await create({ name: 'r1-u07', extra })
    await create({ name: 'nowhere' })
    await fresh()
    const answer = await board()
    const read = Board.parse(answer.body)
    expect(read.nodes.find((node) => node.uuid === uuid)).toMatchObject({
      name: 'r1-u07',
      rack: 'r1',
      u: 7,
      height: 2,
      state: 'enroll',
      kind: 'stable',
      usual: null,
      unusual: false,
    })
    expect(read.racks).toEqual([{ name: 'r1', height: 42 }])
    const { events } = (await call('GET', `/rackward/v1/events?after=${read.seq}`)).body
    expect(events).toEqual([])
    expect((await call('GET', `/rackward/v1/events?after=${read.seq - 1}`)).body.events).toHaveLength(1)
  })

  test('is compressed for who takes gzip', async () => {
    await fresh()
    const plain = await board()
    const { body, headers } = await board({ 'accept-encoding': 'gzip' })
    expect([headers['content-encoding'], plain.headers['content-encoding']]).toEqual(['gzip', undefined])
    expect(headers.vary).toContain('Accept-Encoding')
    expect(headers.etag).toBe(plain.headers.etag)
    const refused = await board({ 'accept-encoding': 'gzip;q=0, identity' })
    expect(refused.headers['content-encoding']).toBeUndefined()
    expect(Board.parse(body).nodes).toEqual(plain.body.nodes)
  })

  test('has a tag: who has it already gets nothing, until something changes', async () => {
    await fresh()
    const { headers } = await board()
    const tag = String(headers.etag)
    const same = await board({ 'if-none-match': tag })
    expect([same.status, same.body]).toEqual([304, undefined])
    await create({ name: 'another' })
    await fresh()
    const other = await board({ 'if-none-match': tag })
    expect(other.status).toBe(200)
    expect(other.headers.etag).not.toBe(tag)
  })
})

test('the phases of a node are what it went through, and how long nodes of its model usually needed', async () => {
  for (const name of ['p1', 'p2', 'p3']) {
    await create({ name })
    await drive(name, 'manage', 'provide')
  }
  const { phases } = Phases.parse((await call('GET', '/rackward/v1/nodes/p3/phases')).body)
  expect(phases.map(({ state }) => state)).toEqual(
    expect.arrayContaining(['enroll', 'verifying', 'manageable', 'cleaning', 'available']),
  )
  for (const [i, { ended }] of phases.entries()) expect(ended === null).toBe(i === phases.length - 1)
  expect(phases.find(({ state }) => state === 'verifying')?.usual?.samples).toBe(3)
  expect(phases.find(({ state }) => state === 'manageable')?.usual).toBeNull()
})

test('the newest events of a node can be asked for, however many came before', async () => {
  await create({ name: 'busy' })
  await drive('busy', 'manage', 'provide')
  const all = (await call('GET', '/rackward/v1/events?node=busy&limit=1000')).body
  const two = (await call('GET', '/rackward/v1/events?node=busy&newest=true&limit=2')).body
  expect(two.events).toEqual(all.events.slice(-2))
  const states = (await call('GET', '/rackward/v1/events?node=busy&newest=true&limit=1&kinds=state')).body
  expect(states.events).toMatchObject([{ kind: 'state', detail: { to: 'available' } }])
  expect((await call('GET', '/rackward/v1/events?newest=true')).status).toBe(400)
  expect((await call('GET', '/rackward/v1/events?newest=true&node=busy&after=1')).status).toBe(400)
})

test('an empty image store is an empty list', async () => {
  expect(ImageList.parse((await call('GET', '/rackward/v1/images')).body)).toEqual({ images: [], broken: [] })
})

test.each([
  [
    { rack: 'r1', u: 7 },
    { rack: 'r1', u: 7, height: 1 },
  ],
  [
    { rack: 'r1', u: 0, height: 1000 },
    { rack: 'r1', u: null, height: 1 },
  ],
  [
    { rack: 'r1', u: '7' },
    { rack: 'r1', u: null, height: 1 },
  ],
  [{ u: 7 }, null],
  [{ rack: 'r'.repeat(65), u: 7 }, null],
  [null, null],
  ['r1', null],
  [['r1', 7], null],
])('extra.rackward %j is the place %j', (rackward, place) => {
  expect(placeOf({ extra: { rackward } })).toEqual(place)
})

test('a rack is as high as its highest server needs', () => {
  const live = {
    seen: new Map(),
    signs: new Map(),
    bootedAtMs: 0,
    agentAtMs: 0,
    progress: null,
    waiting: null,
    timings: {},
  }
  const at = (u: number, height: number) =>
    boardNode(newNode({ uuid: 'x', driver: 'ipmi', extra: { rackward: { rack: 'tall', u, height } } }, 1), {
      live,
      nowMs: 1,
      past: NO_PAST,
    })
  expect(racksOf([at(1, 1), at(46, 2)])).toEqual([{ name: 'tall', height: 47 }])
})

test('a phase at rest has no usual length, one of work has the middle and the longest of what was seen', () => {
  const at = { beganMs: 0, endedMs: 5_000, nowMs: 9_000 }
  expect(phaseOf({ ...at, state: 'active' }, { of: 'model', tookMs: [1000] })).toMatchObject({
    seconds: 5,
    usual: null,
  })
  const seen = Array.from({ length: 100 }, (_, i) => (i + 1) * 1000)
  expect(phaseOf({ ...at, state: 'deploying' }, { of: 'model', tookMs: seen }).usual).toEqual({
    samples: 100,
    p5: 6,
    p50: 51,
    p95: 96,
  })
  expect(phaseOf({ ...at, endedMs: null, state: 'no such state' }, { of: 'model', tookMs: seen })).toMatchObject({
    seconds: 9,
    usual: null,
  })
})
