/** A clock that a test sets by hand while work goes on: it says what `time` says, and a sleep of the work lasts a few
 *  milliseconds. */
import { systemClock, until, type Clock } from '../../kit/clock.ts'

const LONGEST_SLEEP_MS = 5

export interface SteppingClock extends Clock {
  /** Waits until the work has come round to sleep `rounds` times more, on whichever clock. */
  looked(rounds?: number): Promise<void>
}

let slept = 0

export const steppingClock = (time: () => number): SteppingClock => ({
  now: time,
  after: systemClock.after.bind(systemClock),
  sleep(ms, signal) {
    slept += 1
    return systemClock.sleep(Math.min(ms, LONGEST_SLEEP_MS), signal)
  },
  async looked(rounds = 4) {
    const end = slept + rounds
    await until(() => slept >= end, { what: 'the work to look again', timeoutMs: 20_000, everyMs: 2 })
  },
})
