/** How long the servers waited for what: for each phase how often, the median and the longest. With `--stay` it goes on
 *  for days: of each phase the newest times are kept, and kinds of events are limited. */
export interface Phase {
  readonly name: string
  readonly count: number
  readonly medianMs: number
  readonly longestMs: number
}

interface Kept {
  readonly newest: number[]
  count: number
  longestMs: number
}

const NEWEST = 100_000
const KINDS = 100
const OTHERS = 'other events'

export class Measures {
  private readonly times = new Map<string, Kept>()
  private readonly counts = new Map<string, number>()

  add(phase: string, ms: number): void {
    const known = this.times.get(phase) ?? { newest: [], count: 0, longestMs: 0 }
    this.times.set(phase, known)
    known.newest[known.count % NEWEST] = ms
    known.count += 1
    known.longestMs = Math.max(known.longestMs, ms)
  }

  /** Something that happened, such as a packet that was sent again. */
  count(what: string): void {
    const kind = this.counts.has(what) || this.counts.size < KINDS ? what : OTHERS
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  /** Measures work that ends well. */
  async of<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now()
    const done = await work()
    this.add(phase, performance.now() - startMs)
    return done
  }

  phases(): Phase[] {
    return [...this.times].map(([name, { newest, count, longestMs }]) => {
      const medianMs = newest.toSorted((a, b) => a - b)[Math.floor(newest.length / 2)] as number
      return { name, count, medianMs, longestMs }
    })
  }

  happened(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counts)
  }
}
