/** Scenario 34 in full: the leader is killed at each thing that it asks of the world, before it is asked and before it is answered. */
import { expect, test } from 'vitest'
import { runSchedule } from './run.ts'
import type { Fault, Schedule } from './faults.ts'

const AT = 14_000
const incident = (more: Partial<Schedule>, faults: readonly Fault[] = []): Schedule => ({
  seed: 1,
  hosts: 5,
  arbiters: 3,
  racks: 3,
  watchdogs: false,
  pdus: false,
  ticks: false,
  endMs: 180_000,
  policy: {},
  ...more,
  faults: [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: null }, ...faults],
})

test.each<[string, Schedule]>([
  ['its BMC is the proof', incident({})],
  ['it hangs, and is switched off', { ...incident({ seed: 2 }), faults: [{ atMs: AT, kind: 'hang', host: 1, forMs: null }] }],
  ['its outlets are the proof', { ...incident({ seed: 3, pdus: true }), faults: [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: true, backMs: null }] }],
  [
    'its watchdog is the proof',
    { ...incident({ seed: 4, watchdogs: true, ticks: true }), faults: [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: true, backMs: null }] },
  ],
  ['it comes back', { ...incident({ seed: 5 }), faults: [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: 25_000 }] }],
  ['it is drained when it dies', incident({ seed: 6 }, [{ atMs: AT - 1_000, kind: 'drain', host: 1, forMs: 100_000 }])],
])('a leader that is killed at any of its acts: %s', { timeout: 120_000 }, (_, schedule) => {
  const all = { at: Number.POSITIVE_INFINITY, when: 'before' as const, fromMs: AT, seen: 0 }
  expect(runSchedule(schedule, { crash: all }).violations).toEqual([])
  expect(all.seen).toBeGreaterThan(10)
  for (let at = 1; at <= Math.min(all.seen, 120); at += 1)
    for (const when of ['before', 'after'] as const) {
      const { violations, guests } = runSchedule(schedule, { crash: { at, when, fromMs: AT, seen: 0 } })
      expect(violations, `killed ${when} ask ${at}`).toEqual([])
      expect(guests, `killed ${when} ask ${at}`).toBe(10)
    }
})
