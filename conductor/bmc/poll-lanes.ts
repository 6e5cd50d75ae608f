/** How many BMCs are polled at once: so many that answer, and as many that did not the last time, which hold up nobody
 *  but each other. */
import { Semaphore } from '../../kit/semaphore.ts'
import { SilentBmcs } from './silent.ts'

export class PollLanes {
  private readonly lively: Semaphore
  private readonly dead: Semaphore
  private readonly silent = new SilentBmcs()

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
        this.silent.answered(bmc)
        return answer
      } catch (error) {
        this.silent.failed(bmc, error)
        throw error
      }
    }, giveWay)
  }
}
