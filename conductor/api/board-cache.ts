/** Boards that are handed to whoever asks for a while, so that many who look cost no more than one; and none is kept
 *  longer. */
import type { Clock } from '../../kit/clock.ts'

/** A board is handed to whoever asks for this long, and ten times as long as it took to make: boards take no more than
 *  a tenth of the conductor's time, however many look at them. */
const FRESH_MS = 500
const SHARE = 10

export class BoardCache<T> {
  private readonly monotonic: Clock
  private readonly boards = new Map<string, Promise<T>>()

  constructor(monotonic: Clock) {
    this.monotonic = monotonic
  }

  get size(): number {
    return this.boards.size
  }

  /** The board of this key, made when there is none that is fresh; asked for once, however many wait for it. */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.boards.get(key)
    if (known) return known
    const startMs = this.monotonic.now()
    const made = make()
    this.boards.set(key, made)
    const forget = () => void this.boards.delete(key)
    made.then(() => {
      const tookMs = this.monotonic.now() - startMs
      this.monotonic.after(Math.max(FRESH_MS, tookMs * SHARE), forget)
    }, forget)
    return made
  }
}
