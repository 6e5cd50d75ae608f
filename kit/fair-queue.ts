/** A bounded queue that is fair to its sources: those with the fewest faults come first, equals take turns, and when it
 *  is full the source that burdens it most gives an item up. */

export class FairQueue<T> {
  private readonly lines = new Map<string, T[]>()
  private readonly most: number
  private readonly faultsOf: (source: string) => number
  private count = 0

  constructor(most: number, faultsOf: (source: string) => number = () => 0) {
    this.most = most
    this.faultsOf = faultsOf
  }

  get size(): number {
    return this.count
  }

  /** Answers the item that has to go: the newest of the source with the most items and faults, which may be `item`
   *  itself. */
  push(source: string, item: T): T | undefined {
    const line = this.lines.get(source) ?? []
    line.push(item)
    this.lines.set(source, line)
    this.count += 1
    if (this.count <= this.most) return undefined
    let [worst, of, burden] = [line, source, line.length + this.faultsOf(source)]
    for (const [other, items] of this.lines) {
      const theirs = items.length + this.faultsOf(other)
      if (theirs > burden) [worst, of, burden] = [items, other, theirs]
    }
    this.count -= 1
    const gone = worst.pop()
    if (worst.length === 0) this.lines.delete(of)
    return gone
  }

  /** The oldest item of the source whose turn it is. */
  shift(): T | undefined {
    let [next, fewest] = [undefined as string | undefined, Number.POSITIVE_INFINITY]
    for (const source of this.lines.keys()) {
      const faults = this.faultsOf(source)
      if (faults < fewest) [next, fewest] = [source, faults]
    }
    if (next === undefined) return undefined
    const line = this.lines.get(next) as T[]
    const item = line.shift()
    this.count -= 1
    // To the end: the others come first.
    this.lines.delete(next)
    if (line.length > 0) this.lines.set(next, line)
    return item
  }
}
