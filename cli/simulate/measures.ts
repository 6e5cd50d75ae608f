/** How long the servers waited for what: for each phase how often, the median and the longest. */
export interface Phase {
  readonly name: string
  readonly count: number
  readonly medianMs: number
  readonly longestMs: number
}

export class Measures {
  private readonly times = new Map<string, number[]>()
  private readonly counts = new Map<string, number>()

  add(phase: string, ms: number): void {
    const known = this.times.get(phase)
    if (known) known.push(ms)
    else this.times.set(phase, [ms])
  }

  /** Something that happened, such as a packet that was sent again. */
  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  /** Measures work that ends well. */
  async of<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now()
    const done = await work()
    this.add(phase, performance.now() - startMs)
    return done
  }

  phases(): Phase[] {
    return [...this.times].map(([name, list]) => {
      const sorted = list.toSorted((a, b) => a - b)
      const medianMs = sorted[Math.floor(sorted.length / 2)] as number
      return { name, count: sorted.length, medianMs, longestMs: sorted.at(-1) as number }
    })
  }

  happened(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counts)
  }
}
