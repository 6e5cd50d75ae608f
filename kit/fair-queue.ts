/** A bounded queue that is fair to its sources: they take turns, and when it is full the source that waits with the most gives one up. */

export class FairQueue<T> {
  private readonly lines = new Map<string, T[]>()
  private readonly most: number
  private count = 0

  constructor(most: number) {
    this.most = most
  }

  get size(): number {
    return this.count
  }

  /** Answers the item that has to go: the newest of the longest line, which may be `item` itself. */
  push(source: string, item: T): T | undefined {
    const line = this.lines.get(source) ?? []
    line.push(item)
    this.lines.set(source, line)
    this.count += 1
    if (this.count <= this.most) return undefined
    let [longest, of] = [line, source]
    for (const [other, items] of this.lines) if (items.length > longest.length) [longest, of] = [items, other]
    this.count -= 1
    const gone = longest.pop()
    if (longest.length === 0) this.lines.delete(of)
    return gone
  }

  /** The oldest item of the source whose turn it is. */
  shift(): T | undefined {
    const next = this.lines.entries().next().value
    if (!next) return undefined
    const [source, line] = next
    this.count -= 1
    const item = line.shift()
    this.lines.delete(source)
    if (line.length > 0) this.lines.set(source, line)
    return item
  }
}
