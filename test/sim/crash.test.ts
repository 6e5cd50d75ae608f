/** Scenario 34 in full: the leader is killed at each thing that it asks of the world, before it is asked and before it
 *  is answered. */
import { expect, test } from 'vitest'
import { runSchedule } from './run.ts'
import { AT, scheduleWith, type Fault, type Schedule } from './faults.ts'

const death = (more: { bmcToo?: boolean; backMs?: number } = {}): Fault => ({
  atMs: AT,
  kind: 'power cut',
  host: 1,
  bmcToo: more.bmcToo ?? false,
  backMs: more.backMs ?? null,
})
const of = (seed: number, faults: readonly Fault[], more: Partial<Schedule> = {}) =>
  scheduleWith(faults, { seed, endMs: 180_000, ...more })

test.each<[string, Schedule]>([
  ['its BMC is the proof', of(1, [death()])],
  ['it hangs, and is switched off', of(2, [{ atMs: AT, kind: 'hang', host: 1, forMs: null }])],
  ['its outlets are the proof', of(3, [death({ bmcToo: true })], { pdus: true })],
  ['its watchdog is the proof', of(4, [death({ bmcToo: true })], { watchdogs: true, ticks: true })],
  ['it comes back', of(5, [death({ backMs: 25_000 })])],
  ['it is drained when it dies', of(6, [{ atMs: AT - 1_000, kind: 'drain', host: 1, forMs: 100_000 }, death()])],
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
