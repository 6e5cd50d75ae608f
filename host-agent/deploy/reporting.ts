/** Says how far a work is, again and again, for as long as it goes on. */
import type { Clock } from '../../kit/clock.ts'

export interface Reporting {
  readonly clock: Pick<Clock, 'sleep'>
  readonly everyMs: number
  /** What fails is said again with the next one. */
  readonly say: () => Promise<void>
}

/** Answers or throws as `work` does, as soon as it ends and what was being said then has arrived. */
export async function whileReporting<T>(work: Promise<T>, { clock, everyMs, say }: Reporting): Promise<T> {
  const over = new AbortController()
  const saying = (async () => {
    while (!over.signal.aborted) {
      await say().catch(() => undefined)
      await clock.sleep(everyMs, over.signal).catch(() => undefined)
    }
  })()
  try {
    return await work
  } finally {
    over.abort()
    await saying
  }
}
