/** What is usual: compared by image, firmware and model, the most specific with enough times; told once when a state
 *  becomes unusually long; and the rest of an order added up of it. */
import fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { planDeploy } from '../../conductor/node/policy/steps.ts'
import { choosePast, MIN_SAMPLES, spreadOf, usualTime, type Past } from '../../conductor/node/policy/usual-time.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { changesOf } from '../../conductor/node/query/history.ts'
import { restOf, workOf } from '../../conductor/node/query/usual.ts'
import { pastTimes, usualOfNode } from '../../conductor/node/run/past-times.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import type { Move } from '../../conductor/node/workflow/context.ts'
import { Worker } from '../../conductor/node/run/worker.ts'
import { durationKeys, durationsOf } from '../../conductor/store/durations.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { steppingClock } from '../kit/stepping-clock.ts'
import { QUICK } from './node-step-bench.ts'

const UUID = '00000000-0000-4000-8000-000000000001'
const STARTED_MS = 1_700_000_000_000
const settings = { ...QUICK, callbackTimeoutMs: 3_600_000 }

let dir = ''
let store: SqliteStore
let worker: Worker
let nowMs = STARTED_MS
const clock = steppingClock(() => nowMs)
const looked = () => clock.looked()
const newWorker = () =>
  new Worker({
    store,
    clock,
    monotonic: clock,
    log: silentLog,
    settings,
    sightings: new Sightings(),
    performer: { perform: async () => undefined },
    onChange: () => undefined,
  })

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-usual-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  nowMs = STARTED_MS
  worker = newWorker()
})
afterEach(async () => {
  await worker.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

const MODEL = 'ipmi / Acme / One'
const base = (more: Partial<NodeRecord> = {}): NodeRecord =>
  newNode(
    {
      uuid: UUID,
      driver: 'ipmi',
      properties: { vendor: 'Acme', model: 'One' },
      bootMode: 'uefi',
      firmwareVersion: '2.19',
      provisionState: 'available',
      ...more,
    },
    nowMs,
  )
const ended = (from: string, tookMs: number, more: Record<string, unknown> = {}) => ({
  atMs: nowMs,
  nodeUuid: UUID,
  kind: 'state',
  detail: { from, to: 'x', on: 'done', tookMs, model: MODEL, ...more },
})
const several = (tookMs: readonly number[], more: Record<string, unknown>, from = 'wait call-back') =>
  store.journal.addAll(tookMs.map((one) => ended(from, one, more)))
const WRITE = 'boot, deploy.write_image'
const FIRMWARE = 'uefi 2.19'
const slowEvents = async () => await store.journal.ofNode(UUID, 10, { kinds: ['slow'] })

test('the most specific times that are enough are used, else more general ones', async () => {
  const past = (image: string | null, firmware: string | null = FIRMWARE) =>
    pastTimes(store.journal)({ model: MODEL, state: 'wait call-back', work: WRITE, firmware, image })
  await several([1, 2, 3, 4, 5], { work: WRITE, firmware: FIRMWARE, image: 'a' })
  await several([10, 11, 12, 13], { work: WRITE, firmware: FIRMWARE, image: 'b' })
  expect(await past('a')).toEqual({ of: 'image', tookMs: [5, 4, 3, 2, 1] })
  expect((await past('b')).of).toBe('firmware')
  expect((await past('b')).tookMs).toHaveLength(9)
  expect((await past(null, 'uefi 3.0')).of).toBe('model')
  await several([20], { work: WRITE, firmware: FIRMWARE, image: 'b' })
  expect(await past('b')).toEqual({ of: 'image', tookMs: [20, 13, 12, 11, 10] })
})

test('times that an older program kept are what there is, until there are others', async () => {
  await several([30, 31, 32, 33, 34], {})
  const past = () =>
    pastTimes(store.journal)({ model: MODEL, state: 'wait call-back', work: WRITE, firmware: FIRMWARE, image: 'a' })
  expect(await past()).toEqual({ of: 'state', tookMs: [34, 33, 32, 31, 30] })
  await several([1, 2, 3, 4], { work: WRITE })
  expect((await past()).of).toBe('state')
  await several([5], { work: WRITE })
  expect(await past()).toEqual({ of: 'model', tookMs: [5, 4, 3, 2, 1] })
  // The older program, which comes back, finds its own times and the new ones.
  expect(await store.journal.durations(MODEL, 'wait call-back')).toHaveLength(10)
})

test('the times of a server whose model became known meanwhile also count for those of which none is known', async () => {
  const unknown = { model: 'ipmi', state: 'inspect wait', work: 'boot, agent' }
  const times = (model: string) => pastTimes(store.journal)({ ...unknown, model })
  await several([7], { work: unknown.work, modelBefore: 'ipmi' }, unknown.state)
  expect([await times('ipmi'), await times(MODEL)]).toMatchObject([{ tookMs: [7] }, { tookMs: [7] }])
  await several([8], { work: unknown.work, modelBefore: MODEL }, unknown.state)
  expect([await times('ipmi'), await times(MODEL)]).toMatchObject([{ tookMs: [7] }, { tookMs: [8, 7] }])

  const before = base({ properties: {}, provisionState: 'inspect wait' })
  const move = { from: 'inspect wait', to: 'manageable', on: 'done', tookMs: 5 } as Move
  const [event] = changesOf(before, base({ provisionState: 'manageable' }), { atMs: 1, moves: [move] })
  expect(event?.detail).toMatchObject({ model: MODEL, modelBefore: 'ipmi' })
})

test('a state that ended before it began, by a clock that was set back, is not counted', () => {
  const { kind, detail } = ended('wait call-back', -3_600_000, { work: WRITE, on: 'resume' })
  expect(durationsOf({ kind, detail })).toEqual([])
})

test.each([
  ['fail', {}],
  ['abort', {}],
  ['delete', {}],
  ['resume', { lost: true }],
])('a state that was left by "%s" %j says nothing about the time that it needs', (on, more) => {
  const { kind, detail } = ended('wait call-back', 5, { work: WRITE, ...more, on })
  expect(durationsOf({ kind, detail })).toEqual([])
  expect(durationsOf({ kind, detail: { ...detail, on: 'resume', lost: false } })).toHaveLength(2)
})

test('a property: keys of two comparisons are the same only where the comparison is', () => {
  const text = fc.constantFrom('a', 'b', 'ab')
  const compared = fc.record({ model: text, state: text, work: text, firmware: text, image: text })
  fc.assert(
    fc.property(compared, compared, (one, other) => {
      const keys = durationKeys(one)
      expect(keys.map(({ of }) => of)).toEqual(['image', 'firmware', 'model', 'state'])
      for (const [i, key] of durationKeys(other).entries()) {
        const fields = (['image', 'firmware', 'work', 'model'] as const).slice(i)
        const alike = fields.every((field) => one[field] === other[field] || (i === 3 && field !== 'model'))
        const same = alike && one.model === other.model && one.state === other.state
        expect(JSON.stringify(key) === JSON.stringify(keys[i])).toBe(same)
      }
    }),
  )
})

test('a property: what is chosen has enough times or no level has, and its spread is in order and within what was seen', () => {
  const times = fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 12 })
  fc.assert(
    fc.property(times, times, times, fc.integer({ min: 0, max: 1e12 }), (image, model, state, sinceMs) => {
      const levels: Past[] = [
        { of: 'image', tookMs: image },
        { of: 'model', tookMs: model },
        { of: 'state', tookMs: state },
      ]
      const past = choosePast(levels)
      const first = levels.find(({ tookMs }) => tookMs.length >= MIN_SAMPLES)
      if (first) expect(past).toMatchObject(first)
      else expect(past.tookMs).toHaveLength(Math.max(...levels.map(({ tookMs }) => tookMs.length)))

      const spread = spreadOf(past)
      const usual = usualTime(past, { sinceMs, leftMs: null })
      if (!spread || !usual) {
        expect(past.tookMs).toEqual([])
        return
      }
      const ordered = [Math.min(...past.tookMs), spread.lowMs, spread.medianMs, spread.highMs, Math.max(...past.tookMs)]
      expect(ordered).toEqual([...ordered].sort((a, b) => a - b))
      expect(usual.lateAtMs !== null).toBe(past.tookMs.length >= MIN_SAMPLES)
      if (usual.lateAtMs !== null) {
        expect(usual.lateAtMs).toBeGreaterThan(sinceMs + spread.highMs)
        expect(Number.isInteger(usual.lateAtMs)).toBe(true)
      }
    }),
  )
})

const writing = (more: Partial<NodeRecord> = {}): NodeRecord => {
  const node = base({ provisionState: 'wait call-back', provisionUpdatedAtMs: nowMs, ...more })
  const workflow = {
    ...node.workflow,
    phase: 'agent',
    order: 'deploy',
    imageId: 'a',
    steps: planDeploy([]),
    generation: 1,
    attempt: 1,
    deadlineMs: nowMs + 3_600_000,
    bootToken: 'good',
  } as const
  return { ...node, workflow }
}

test('a running deploy is over after what usually remains of its state, of its later steps and of the start', async () => {
  const node = writing()
  expect([workOf(node), restOf(node).map(({ state, work }) => `${state}: ${work}`)]).toEqual([
    WRITE,
    ['deploying: start'],
  ])
  const about = { firmware: FIRMWARE, image: 'a' }
  await several([40_000, 41_000, 42_000, 43_000, 44_000], { ...about, work: WRITE })
  expect(await usualOfNode(node, pastTimes(store.journal))).toMatchObject({ medianMs: 42_000, leftMs: null })
  await several([9_000], { ...about, work: 'start' }, 'deploying')
  expect(await usualOfNode(node, pastTimes(store.journal))).toMatchObject({ medianMs: 42_000, leftMs: 9_000 })

  const before = { ...node, provisionState: 'deploying', workflow: { ...node.workflow, phase: 'boot' } } as const
  expect([workOf(before), restOf(before).map(({ work }) => work)]).toEqual(['boot', [WRITE, 'start']])
  const parked = { ...before, agent: { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 } }
  expect([workOf(parked), restOf(parked).map(({ work }) => work)]).toEqual(['order', ['deploy.write_image', 'start']])
})

test('a state that becomes unusually long is told once, before its deadline, also by the next conductor', async () => {
  await several([40_000, 41_000, 42_000, 43_000, 55_000], { work: WRITE, firmware: FIRMWARE, image: 'a' })
  const node = writing({ provisionState: 'deploying' })
  const last = { do: 'boot-device', device: 'pxe' } as const
  const workflow = { ...node.workflow, phase: 'boot', pendingEffects: [last], deadlineMs: null } as const
  await store.addNode({ ...node, workflow })
  await worker.start()
  const waits = await until(
    async () => {
      const now = await store.node(UUID)
      return now?.provisionState === 'wait call-back' && now
    },
    { what: 'the wait', timeoutMs: 20_000, everyMs: 5 },
  )
  expect(waits.workflow.usual).toMatchObject({ lowMs: 40_000, highMs: 55_000, of: 'image', samples: 5 })

  nowMs += 60_000
  await looked()
  expect(await slowEvents()).toEqual([])
  await worker.stop()
  nowMs += 10_000
  worker = newWorker()
  await worker.start()
  await until(async () => (await slowEvents()).length > 0, { what: 'the event', timeoutMs: 20_000, everyMs: 5 })
  nowMs += 100_000
  await looked()
  expect(await slowEvents()).toMatchObject([
    {
      detail: {
        state: 'wait call-back',
        work: WRITE,
        model: MODEL,
        usual_seconds: [40, 55],
        samples: 5,
        compared_by: 'image',
      },
    },
  ])
  expect((await store.node(UUID))?.provisionState).toBe('wait call-back')
})

test('a deploy leaves the time of each state under what it did there', async () => {
  const node = writing({ agent: { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: nowMs + 1 } })
  await store.addNode({ ...node, workflow: { ...node.workflow, bootToken: 'traded' } })
  await worker.start()
  nowMs += 42_000
  await worker.dispatch(UUID, { type: 'agent-done', orderId: `${UUID}.1.0` })
  await until(async () => (await store.node(UUID))?.provisionState === 'active', {
    what: 'the instance',
    timeoutMs: 30_000,
    everyMs: 5,
  })
  const ends = await store.journal.ofNode(UUID, 10, { kinds: ['state'] })
  expect(ends.map(({ detail }) => [detail.from, detail.work, detail.image, detail.firmware]).toReversed()).toEqual([
    ['wait call-back', WRITE, 'a', FIRMWARE],
    ['deploying', 'start', 'a', FIRMWARE],
  ])
})
