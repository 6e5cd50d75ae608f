/** A counting semaphore: at most so many run at once; others wait for their turn, first come first served. */

export class Semaphore {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(slots: number) {
    this.free = slots
  }

  /** Runs `work` when its turn comes. An abort while it waits ends the waiting. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.take(signal)
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.free += 1
    }
  }

  private take(signal?: AbortSignal): Promise<void> | void {
    signal?.throwIfAborted()
    if (this.free > 0) {
      this.free -= 1
      return undefined
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(turn), 1)
        reject(signal?.reason as Error)
      }
      const turn = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      this.waiting.push(turn)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}
