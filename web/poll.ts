/** Asks again and again while a page shows the answer, and says how old it is when the answers stop. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { ApiError, getJson } from './api.ts'
import { after, nowMs } from './browser.ts'
import { stop } from './live.ts'
import type { Answer } from './state.ts'

export interface Polled<T> extends Answer<T> {
  /** The next answer is asked for now. */
  readonly again: () => void
}

/** `changes`: asks at once when it is another number than before. */
export function usePolled<T>(path: string, everyMs: number, changes = 0): Polled<T> {
  const seen = useSignal<{ value?: T; atMs: number; problem: string }>({ atMs: 0, problem: '' })
  const turn = useSignal(0)
  useEffect(() => {
    let over = false
    let cancel = (): void => undefined
    const ask = () => {
      getJson<T>(path)
        .then(
          (value) => {
            if (!over) seen.value = { value, atMs: nowMs(), problem: '' }
          },
          (error: Error) => {
            if (over) return
            if (error instanceof ApiError && error.status === 401) return stop()
            seen.value = { ...seen.value, problem: error.message }
          },
        )
        .finally(() => {
          if (!over) cancel = after(everyMs, ask)
        })
    }
    ask()
    return () => {
      over = true
      cancel()
    }
  }, [path, everyMs, changes, turn.value])
  return { ...seen.value, again: () => void (turn.value += 1) }
}
