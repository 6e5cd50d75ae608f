/** Storage that answers late: a poison pill that is lifted long after it was asked for, when a later pill for the same
 *  boot counts. */
import { expect, test } from 'vitest'
import { FENCE_GUARDS } from '../../host-agent/fence/guards.ts'
import { randomOf } from './engine.ts'
import { AT, scheduleWith, type Schedule } from './faults.ts'
import type { RackOptions } from './rack.ts'
import { runSchedule } from './run.ts'

const SEEDS = 60

/** A host falls silent, is heard again, and falls silent for good while it still reads its slot: its guests run for as
 *  long as nothing stands there. */
function twice(seed: number): Schedule {
  const backMs = 4_700 + Math.round(randomOf(seed)() * 1_800)
  return scheduleWith(
    [
      { atMs: AT - 500, kind: 'bmc', host: 1, mode: 'dead', forMs: 150_000 },
      { atMs: AT, kind: 'plane down', host: 1, planes: [0, 1, 2], forMs: backMs },
      { atMs: AT + 4_700, kind: 'storage late', ms: 30_000, forMs: 3_000 },
      { atMs: AT + 9_000, kind: 'partial', host: 1, from: [0, 2, 3, 4, 5, 6, 7], forMs: 100_000 },
      { atMs: AT + 9_000, kind: 'plane down', host: 1, planes: [1], forMs: 14_500 },
      // From here on no arbiter can say whether its storage heartbeat goes on.
      { atMs: AT + 18_500, kind: 'storage late', ms: 500, forMs: 100_000 },
    ],
    { seed, watchdogs: true, ticks: true, endMs: 100_000 },
  )
}

const wrongOf = (options: RackOptions) => {
  const outcomes = Array.from({ length: SEEDS }, (_, seed) => runSchedule(twice(seed + 1), options))
  return {
    wrong: outcomes.flatMap(({ violations }) => violations),
    proven: outcomes.filter(({ trace }) => trace.some((line) => /fenced: L3/.test(line))).length,
  }
}
const unread = { ...FENCE_GUARDS, standing: () => true }

test('the watchdog is the proof, and it is a true one', { timeout: 120_000 }, () => {
  const { wrong, proven } = wrongOf({})
  expect(wrong).toEqual([])
  expect(proven).toBeGreaterThan(10)
})

test(
  'an order that is lifted before the store was asked, whosever it is, and that nobody reads back, proves a host down that runs its guests',
  { timeout: 120_000 },
  () => {
    const wrong = /I11: h1 is proven down by L3 and runs/
    const found = Array.from({ length: SEEDS }, (_, seed) => seed + 1).some((seed) =>
      runSchedule(twice(seed), { liftsEarly: true, fenceGuards: unread }).violations.some((one) => wrong.test(one)),
    )
    expect(found).toBe(true)
  },
)

test('reading it back is enough against such lifts', { timeout: 120_000 }, () => {
  expect(wrongOf({ liftsEarly: true }).wrong).toEqual([])
})
