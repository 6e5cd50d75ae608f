/** Events of one BMC -> reads of it: the first event is followed at once, and more of them no oftener than their use
 *  justifies. */
import type { Clock } from '../../../../kit/clock.ts'

/** What a read found. `later`: the node is at work or its BMC is asked already, so that it must be read again. `gone`:
 *  it is not read now. */
export type ReadEnd = 'change' | 'same' | 'later' | 'gone'

export interface DoorbellParts {
  readonly clock: Clock
  /** Reads power and health. Never throws. */
  readonly read: () => Promise<ReadEnd>
  readonly signal: AbortSignal
}

const PAUSE_MS = 1_000
/** Events that announce nothing are followed this seldom in the end. */
const MAX_PAUSE_MS = 8_000
const QUIET_MS = 60_000

export class Doorbell {
  private readonly parts: DoorbellParts
  private isOwed = false
  private isRunning = false
  private pauseMs = PAUSE_MS
  private readAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: DoorbellParts) {
    this.parts = parts
  }

  /** An event came, or events come from now on. `mayLag`: some BMCs send an event before their system resource shows
   *  the change, which is read twice then. */
  ring({ mayLag = true } = {}): void {
    const { clock, signal } = this.parts
    this.isOwed = true
    if (this.isRunning || signal.aborted) return
    if (clock.now() - this.readAtMs > QUIET_MS) this.pauseMs = PAUSE_MS
    this.isRunning = true
    void this.follow(mayLag).finally(() => (this.isRunning = false))
  }

  private async follow(lags: boolean): Promise<void> {
    const { clock, read, signal } = this.parts
    let mayLag = lags
    while (this.isOwed && !signal.aborted) {
      this.isOwed = false
      const found = await read()
      this.readAtMs = clock.now()
      if (found === 'gone') return
      if (found === 'later' || (found === 'same' && mayLag)) this.isOwed = true
      this.pauseMs =
        found === 'change' || (found === 'same' && mayLag) ? PAUSE_MS : Math.min(this.pauseMs * 2, MAX_PAUSE_MS)
      if (found === 'same') mayLag = false
      await clock.sleep(this.pauseMs, signal).catch(() => undefined)
    }
  }
}
