/** How many BMCs are polled at once: so many that answer, and as many that did not the last time, which hold up nobody
 *  but each other. */
import { isFault } from '../../kit/fault.ts'
import { Semaphore } from '../../kit/semaphore.ts'

/** More silent BMCs than anybody has: those that were removed are among them. */
const MOST_SILENT = 100_000

export class PollLanes {
  private readonly lively: Semaphore
  private readonly dead: Semaphore
  private readonly silent = new Set<string>()

  constructor(lanes: number) {
    this.lively = new Semaphore(lanes)
    this.dead = new Semaphore(lanes)
  }

  /** `giveWay`: what has not begun yet does not begin. */
  run<T>(bmc: string, read: () => Promise<T>, giveWay?: AbortSignal): Promise<T> {
    const lanes = this.silent.has(bmc) ? this.dead : this.lively
    return lanes.run(async () => {
      try {
        const answer = await read()
        this.silent.delete(bmc)
        return answer
      } catch (error) {
        if (isFault(error, 'bmc.unreachable') && this.silent.size < MOST_SILENT) this.silent.add(bmc)
        throw error
      }
    }, giveWay)
  }
}
