/** Cuts a failing schedule down to the faults that matter. */
import type { Schedule } from './faults.ts'
import { runSchedule } from './run.ts'
import type { RackOptions } from './rack.ts'

export function shrink(schedule: Schedule, options: RackOptions = {}): Schedule {
  const fails = (one: Schedule) => runSchedule(one, options).violations.length > 0
  let best = schedule
  for (let i = 0; i < best.faults.length;) {
    const smaller = { ...best, faults: best.faults.filter((_, at) => at !== i) }
    if (fails(smaller)) best = smaller
    else i += 1
  }
  return best
}
