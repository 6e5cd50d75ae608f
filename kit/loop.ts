/** Something that is done again and again until it is stopped. A round that fails is reported, and the next one
 *  follows. */
import type { Clock } from './clock.ts'

export interface LoopOptions {
  readonly clock: Clock
  /** From the end of a round to the next one. */
  readonly everyMs: number
  readonly onError: (error: unknown) => void
}

export class Loop {
  private readonly abort = new AbortController()
  private readonly running: Promise<void>

  /** The first round begins at once. A round may watch the signal, which ends with the loop. */
  constructor(options: LoopOptions, round: (signal: AbortSignal) => Promise<void> | void) {
    this.running = this.run(options, round)
  }

  /** Resolves when the round that runs has ended. */
  async stop(): Promise<void> {
    this.abort.abort(new Error('the loop was stopped'))
    await this.running
  }

  private async run({ clock, everyMs, onError }: LoopOptions, round: (signal: AbortSignal) => Promise<void> | void) {
    const { signal } = this.abort
    while (!signal.aborted) {
      try {
        await round(signal)
      } catch (error) {
        if (!signal.aborted) onError(error)
      }
      await clock.sleep(everyMs, signal).catch(() => undefined)
    }
  }
}
