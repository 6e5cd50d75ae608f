/** What is left of a deploy that is slower or faster than usual: the bytes that its agent reports count, with what the
 *  parts of its work usually need. Series as servers made them, and simulated ones. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IMAGE_PARTS, leftMsOf, type Pace, type UsualTime } from '../../conductor/node/policy/usual-time.ts'
import { expectedEndMs, leftOf, paceOf } from '../../conductor/node/query/explain-usual.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { newNode } from '../../conductor/node/record.ts'
import { pastTimes, usualOfNode } from '../../conductor/node/run/past-times.ts'
import { comparedOf } from '../../conductor/node/query/usual.ts'
import { planDeploy } from '../../conductor/node/policy/steps.ts'
import { durationsOf } from '../../conductor/store/durations.ts'

type Part = (typeof IMAGE_PARTS)[number]
const usualOf = (partsMs: Readonly<Record<Part, number>> | undefined, expectedMs: number, leftMs = 0): UsualTime => ({
  samples: 5,
  lowMs: expectedMs,
  medianMs: expectedMs,
  highMs: expectedMs,
  of: 'image',
  lateAtMs: null,
  leftMs,
  expectedMs,
  ...(partsMs ? { partsMs } : {}),
})

/** Of a virtual server: write, readback and finish of an image of 1,124 MB, in milliseconds. */
const USUAL = { write: 30_300, verify: 17_500, finish: 3_700 } as const
const START_MS = 47_300
const sum = (ms: Readonly<Record<Part, number>>) => IMAGE_PARTS.reduce((all, part) => all + ms[part], 0)

/** What is said in the moments of a deploy, beside what is left: `shareAt`: how much of a part is done in what share of
 *  its time. */
function* told(took: Readonly<Record<Part, number>>, startMs: number, shareAt: (time: number) => number) {
  const usual = usualOf(USUAL, sum(USUAL), START_MS)
  let beforeMs = 0
  for (const part of IMAGE_PARTS) {
    for (const time of [0.02, 0.2, 0.4, 0.6, 0.8, 0.99]) {
      const tookMs = time * took[part]
      const pace: Pace = { part, share: part === 'finish' ? 1 : shareAt(time), tookMs, agoMs: 0 }
      const elapsedMs = beforeMs + tookMs
      yield {
        part,
        time,
        saidMs: leftMsOf(usual, elapsedMs, pace) ?? NaN,
        leftMs: sum(took) - elapsedMs + startMs,
        byTimeMs: leftMsOf(usual, elapsedMs) ?? NaN,
      }
    }
    beforeMs += took[part]
  }
}

/** The first is the one of USUAL; the others are slower and faster, as a shared machine makes them. */
const SERIES = [
  { write: 30_300, verify: 17_500, finish: 3_700, start: 47_300 },
  { write: 33_900, verify: 19_200, finish: 4_400, start: 51_800 },
  { write: 24_700, verify: 15_100, finish: 3_100, start: 43_500 },
] as const

test.each(SERIES)(
  'what is left is told within 20 per cent of the whole, whatever the moment: %j',
  ({ start, ...took }) => {
    const wholeMs = sum(took) + start
    for (const { saidMs, leftMs } of told(took, start, (time) => time))
      expect(Math.abs(saidMs - leftMs)).toBeLessThanOrEqual(0.2 * wholeMs)
  },
)

test('a property: a write that is up to 2.5 times as slow as usual, or as fast, and bursts: still within 20 per cent once a third of it is done', () => {
  const factor = fc.double({ min: 0.4, max: 2.5, noNaN: true })
  // How uneven it goes: 1 is even.
  const bend = fc.double({ min: 0.8, max: 1.25, noNaN: true })
  fc.assert(
    fc.property(factor, bend, (slow, power) => {
      const took = { ...USUAL, write: slow * USUAL.write }
      const wholeMs = sum(took) + START_MS
      for (const { part, time, saidMs, leftMs } of told(took, START_MS, (share) => share ** power)) {
        if (part === 'write' && time < 0.4) continue
        expect(Math.abs(saidMs - leftMs)).toBeLessThanOrEqual(0.2 * wholeMs)
      }
    }),
    { numRuns: 300 },
  )
})

test('a write that is twice as slow is seen by its bytes, long before the usual time is over', () => {
  const took = { ...USUAL, write: 3 * USUAL.write }
  const worst = (pick: 'saidMs' | 'byTimeMs') =>
    Math.max(
      ...[...told(took, START_MS, (time) => time)]
        .filter(({ part, time }) => part === 'write' && time >= 0.4)
        .map((one) => Math.abs(one[pick] - one.leftMs)),
    )
  expect(worst('byTimeMs')).toBeGreaterThan(2 * worst('saidMs'))
})

test('where the parts are not known, a slow one has at least its own rest left', () => {
  const usual = usualOf(undefined, 50_000, 40_000)
  const pace = { part: 'write', share: 0.5, tookMs: 60_000, agoMs: 0 }
  expect(leftMsOf(usual, 61_000, pace)).toBe(100_000)
  expect(leftMsOf(usual, 61_000)).toBe(40_000)
  expect(leftMsOf(usual, 10_000, { ...pace, part: 'erase', share: 0.9, tookMs: 9_000 })).toBe(80_000)
  // Nothing follows from the first bytes.
  expect(leftMsOf(usual, 10_000, { ...pace, share: 0.001, tookMs: 9_000 })).toBe(80_000)
})

test('a property: what is left is never below what comes after the state, whatever is reported', () => {
  const ms = fc.integer({ min: 0, max: 10_000_000 })
  const pace = fc.record({
    part: fc.constantFrom('write', 'verify', 'finish', 'inspect', ''),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    tookMs: ms,
    agoMs: ms,
  })
  const parts = fc.option(fc.record({ write: ms, verify: ms, finish: ms }), { nil: undefined })
  fc.assert(
    fc.property(ms, ms, ms, pace, parts, (expectedMs, leftMs, elapsedMs, now, partsMs) => {
      const left = leftMsOf(usualOf(partsMs, expectedMs, leftMs), elapsedMs, now)
      expect(Number.isFinite(left)).toBe(true)
      expect(left).toBeGreaterThanOrEqual(leftMs)
    }),
  )
})

const STARTED_MS = 1_700_000_000_000
const NODE = newNode(
  {
    uuid: '00000000-0000-4000-8000-000000000001',
    driver: 'ipmi',
    properties: { vendor: 'Acme', model: 'One' },
    provisionState: 'wait call-back',
    provisionUpdatedAtMs: STARTED_MS,
    bootMode: 'uefi',
    agent: { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 },
  },
  STARTED_MS,
)
const WRITES = {
  ...NODE,
  workflow: { ...NODE.workflow, order: 'deploy', imageId: 'a', steps: planDeploy([]), phase: 'agent' },
} as const

test('the parts of five deploys are kept with their model and image, and say what the next one needs', async () => {
  const kept = Array.from({ length: 5 }, (_, i) => [
    ...durationsOf({
      kind: 'agent-done',
      detail: {
        compared: comparedOf(WRITES),
        timings: { prepare: 0.3, write: 30 + i, readback: 17, kexec: 1, finish: 2 },
      },
    }),
    ...durationsOf({
      kind: 'state',
      detail: { from: 'wait call-back', on: 'resume', tookMs: 52_000, ...comparedOf(WRITES) },
    }),
    ...durationsOf({
      kind: 'state',
      detail: { ...comparedOf(WRITES), from: 'deploying', on: 'done', tookMs: 40_000, work: 'start' },
    }),
  ]).flat()
  const durations = async (model: string, state: string) =>
    kept.filter((one) => one.model === model && one.state === state).map(({ tookMs }) => tookMs)
  const usual = await usualOfNode(WRITES, pastTimes({ durations }))
  expect(usual).toMatchObject({ partsMs: { write: 32_000, verify: 17_000, finish: 3_000 }, leftMs: 40_000 })
  // Of another image of the model too; of another model nothing, nor of deploys that told no parts.
  const other = { ...WRITES, workflow: { ...WRITES.workflow, imageId: 'b' } }
  expect((await usualOfNode(other, pastTimes({ durations })))?.partsMs?.write).toBe(32_000)
  expect(await usualOfNode({ ...WRITES, properties: {} }, pastTimes({ durations }))).toBeNull()
  const bare = kept.filter(({ state }) => !/\nwrite$|\nverify$|\nfinish$/.test(state))
  const older = async (model: string, state: string) =>
    bare.filter((one) => one.model === model && one.state === state).map(({ tookMs }) => tookMs)
  expect((await usualOfNode(WRITES, pastTimes({ durations: older })))?.partsMs).toBeUndefined()
})

test.each([
  {},
  { timings: { write: 'x' } },
  { compared: { work: 'w' } },
  { compared: {}, timings: { write: 1 } },
  { compared: { model: 'm', state: 's', work: 'w' }, timings: { write: -1 } },
])('of an order that wrote no image no part is kept: %j', (detail) =>
  expect(durationsOf({ kind: 'agent-done', detail })).toEqual([]),
)

test('explain, and the end that is expected, follow the bytes that the agent reports', () => {
  const sightings = new Sightings()
  const node = { ...WRITES, workflow: { ...WRITES.workflow, usual: usualOf(USUAL, sum(USUAL), START_MS) } }
  const say = (phase: string, doneBytes: number, atMs: number) =>
    sightings.progressed('n', { phase, doneBytes, totalBytes: 100 }, STARTED_MS + atMs)
  const end = () => (expectedEndMs({ node, live: sightings.look('n') }) ?? NaN) - STARTED_MS
  expect(end()).toBe(sum(USUAL) + START_MS)
  say('write', 0, 0)
  say('write', 50, 60_000)
  const half = 0.5 * (0.5 * USUAL.write + 60_000) + USUAL.verify + USUAL.finish + START_MS
  expect(end()).toBe(60_000 + half)
  expect(leftOf({ node, nowMs: STARTED_MS + 65_000, live: sightings.look('n') })).toBe(
    Math.round((half - 5_000) / 100) / 10,
  )
  // Another part begins, and one that begins anew.
  say('verify', 0, 90_000)
  expect(paceOf(sightings.look('n'), STARTED_MS + 91_000)).toEqual({
    part: 'verify',
    share: 0,
    tookMs: 0,
    agoMs: 1_000,
  })
  say('verify', 40, 95_000)
  say('verify', 10, 96_000)
  expect(paceOf(sightings.look('n'), STARTED_MS + 96_000)).toMatchObject({ share: 0.1, tookMs: 0 })
  // What was reported of the work before says nothing any more.
  sightings.of('n').progress = null
  expect(end()).toBe(sum(USUAL) + START_MS)
})
