/** Reads the store again and again, and tells with each snapshot what is otherwise than in the one before: what stayed
 *  as it was is neither parsed again nor looked at. */
import type { Entry, Snapshot } from './store.ts'

/** Answers entries of `known` that did not change as the same objects. */
type ReadTree = (known: ReadonlyMap<string, Entry>) => Promise<{ readonly entries: readonly Entry[]; index: number }>

export class StoreReader {
  private known = new Map<string, Entry>()
  private index: number | undefined

  async next(read: ReadTree): Promise<Snapshot> {
    const before = this.known
    const { entries, index } = await read(before)
    const known = new Map(entries.map((entry) => [entry.key, entry]))
    const sinceIndex = this.index
    this.known = known
    this.index = index
    if (sinceIndex === undefined || index < sinceIndex) return { entries, index }
    const changed = entries.filter((entry) => before.get(entry.key) !== entry)
    const gone = [...before.keys()].filter((key) => !known.has(key))
    return { entries, index, since: { index: sinceIndex, changed, gone } }
  }

  /** The next snapshot stands alone: nobody knows what is the same. */
  forget(): void {
    this.known = new Map()
    this.index = undefined
  }
}
