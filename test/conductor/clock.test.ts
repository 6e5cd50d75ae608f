/** A wall clock that is set while nodes wait: nobody's time is over because of it, and nobody's becomes endless. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { rescuePlan } from '../../conductor/node/policy/steps.ts'
import { Worker } from '../../conductor/node/run/worker.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { steppingClock } from '../kit/stepping-clock.ts'
import { QUICK } from './node-step-bench.ts'

const HOUR_MS = 3_600_000
const UUID = '00000000-0000-4000-8000-000000000001'
const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 }

let dir = ''
let store: SqliteStore
let worker: Worker
let sightings: Sightings
/** By how much the wall clock was set, and by how much time itself went on. */
let setMs = 0
let pastMs = 0
const monotonic = steppingClock(() => 1_000_000 + pastMs)
const wall = steppingClock(() => 1_700_000_000_000 + pastMs + setMs)
const looked = () => wall.looked()

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-clock-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  sightings = new Sightings()
  ;[setMs, pastMs] = [0, 0]
  worker = new Worker({
    store,
    clock: wall,
    monotonic,
    log: silentLog,
    settings: QUICK,
    sightings,
    performer: { perform: async () => undefined },
    onChange: () => undefined,
  })
})
afterEach(async () => {
  await worker.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

async function waiting(agent: typeof AGENT | null): Promise<void> {
  const base = newNode({ uuid: UUID, driver: 'ipmi', provisionState: 'rescue wait', agent }, wall.now())
  const workflow = {
    ...base.workflow,
    phase: 'agent',
    order: 'rescue',
    steps: rescuePlan,
    generation: 1,
    attempt: 2,
    deadlineMs: wall.now() + 60_000,
  } as const
  await store.addNode({ ...base, workflow })
  if (agent) sightings.of(UUID).agentAtMs = wall.now()
  await worker.start()
}
const node = async () => (await store.node(UUID)) as NodeRecord

test.each([
  ['an hour ahead', HOUR_MS, null],
  ['an hour ahead, with an agent at work', HOUR_MS, AGENT],
  ['an hour back', -HOUR_MS, null],
])('%s: the node still has its time, and no more than its time', async (_, byMs, agent) => {
  await waiting(agent)
  // The agent has worked for longer than one time of silence.
  if (agent) {
    pastMs += 50_000
    sightings.of(UUID).agentAtMs = wall.now()
    await looked()
    pastMs += 30_000
    await looked()
  }
  setMs = byMs
  await looked()
  expect((await node()).provisionState).toBe('rescue wait')
  pastMs += 25_000
  await looked()
  expect((await node()).provisionState).toBe('rescue wait')
  pastMs += 40_000
  await until(async () => (await node()).provisionState === 'rescue failed', {
    what: 'its time to be over',
    timeoutMs: 30_000,
    everyMs: 5,
  })
})

test('the store cannot be read when the clock is set: deadlines move as soon as it can', async () => {
  await waiting(null)
  const dueNodes = store.dueNodes.bind(store)
  store.dueNodes = () => Promise.reject(new Error('no connection'))
  setMs = HOUR_MS
  await looked()
  store.dueNodes = dueNodes
  await looked()
  pastMs += 25_000
  await looked()
  expect((await node()).provisionState).toBe('rescue wait')
})

test('while we make a server wait for its turn to load the ramdisk its time does not run, and afterwards it does', async () => {
  await waiting(null)
  for (let minute = 0; minute < 5; minute += 1) {
    pastMs += 50_000
    sightings.waits(UUID, { atMs: wall.now(), detail: '3 of 9, about 40 s' })
    await looked()
    expect((await node()).provisionState).toBe('rescue wait')
  }
  pastMs += 61_000
  await until(async () => (await node()).provisionState === 'rescue failed', {
    what: 'its time to be over',
    timeoutMs: 30_000,
    everyMs: 5,
  })
})
