/** Time as a value that is handed in, so that a whole rack can run on one fake clock. The only file that reads the wall
 *  clock. */
import { isFault } from './fault.ts'

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `callback` once after `ms`; the answer cancels it. */
  after(ms: number, callback: () => void): () => void
}

/** setTimeout fires at once for longer delays, so they are cut to this (about 24.8 days). */
const MAX_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const stop = () => {
        clearTimeout(timer)
        reject(signal?.reason as Error)
      }
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        },
        Math.min(ms, MAX_TIMER_MS),
      )
      signal?.addEventListener('abort', stop, { once: true })
    })
  },
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, MAX_TIMER_MS))
    return () => clearTimeout(timer)
  },
}

/** Milliseconds since some moment of this boot: never set, never stepped, the same for all processes and threads of the
 *  machine, so that a process that starts again goes on where the one before it ended. What decides about a host counts
 *  with this one: a wall clock that jumps changes nothing (CLOCK_MONOTONIC; it stands still while the machine is
 *  suspended). */
export const monotonicClock: Clock = { ...systemClock, now: () => Number(process.hrtime.bigint()) / 1e6 }

/** ISO 8601 in UTC with seconds, the form that Ironic's API uses. */
export const isoTime = (atMs: number): string => `${new Date(atMs).toISOString().slice(0, -'.000Z'.length)}+00:00`

/** Polls `check` until it answers something else than undefined or false. A program that did not end in time
 *  (`run.timeout`) is a "not yet" like any other: the first call of a busy machine may take longer than all that
 *  follow. Fails with `what`, and with the last such fault, after `timeoutMs`. */
export async function until<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  opts: { what: string; timeoutMs: number; everyMs?: number; clock?: Clock; signal?: AbortSignal },
): Promise<T> {
  const clock = opts.clock ?? systemClock
  const endMs = clock.now() + opts.timeoutMs
  for (;;) {
    let late: unknown
    try {
      const found = await check()
      if (found !== undefined && found !== false) return found
    } catch (error) {
      if (!isFault(error, 'run.timeout')) throw error
      late = error
    }

    if (clock.now() >= endMs) {
      const last = late instanceof Error ? ` (${late.message})` : ''
      throw new Error(`${opts.what}: not within ${opts.timeoutMs} ms${last}`, { cause: late })
    }
    await clock.sleep(opts.everyMs ?? 50, opts.signal)
  }
}

/** Lets everybody else have a turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
