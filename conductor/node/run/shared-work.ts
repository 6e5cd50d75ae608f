/** Work that several may wait for: it is done once, and broken off when nobody waits for it any more. */
import { unlessAborted } from '../../../kit/unless-aborted.ts'

interface Running<T> {
  readonly result: Promise<T>
  readonly abort: AbortController
  waiting: number
}

export class SharedWork<T> {
  private readonly running = new Map<string, Running<T>>()
  private readonly unwanted: () => Error

  /** `unwanted`: why work ends that nobody waits for. */
  constructor(unwanted: () => Error) {
    this.unwanted = unwanted
  }

  /** Joins the work under this key, or starts it. */
  async join(key: string, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const running = this.running.get(key) ?? this.begin(key, start)
    running.waiting += 1
    try {
      return await (signal ? unlessAborted(running.result, signal) : running.result)
    } finally {
      running.waiting -= 1
      if (running.waiting === 0) {
        running.abort.abort(this.unwanted())
        if (this.running.get(key) === running) this.running.delete(key)
      }
    }
  }

  private begin(key: string, start: (signal: AbortSignal) => Promise<T>): Running<T> {
    const abort = new AbortController()
    const result = start(abort.signal)
    result.catch(() => undefined)
    const running = { result, abort, waiting: 0 }
    this.running.set(key, running)
    return running
  }
}
