/** The latest row of each name, in the order of their changes: who has everything up to some change asks for what
 *  changed since, and a number is all that is kept for each who asks. */

interface Numbered<T> {
  readonly seq: number
  readonly row: T
}

/** Rows that follow each other; `upToSeq` is the last one's change. */
export interface Piece<T> {
  readonly rows: readonly T[]
  readonly upToSeq: number
}

/** Counts the changes of several lists. */
export class ChangeCounter {
  seq = 0
  next = (): number => (this.seq += 1)
}

export class Latest<T> {
  private readonly rows = new Map<string, Numbered<T>>()
  private readonly changes: ChangeCounter

  constructor(changes = new ChangeCounter()) {
    this.changes = changes
  }

  get size(): number {
    return this.rows.size
  }
  names = (): IterableIterator<string> => this.rows.keys()
  get = (name: string): T | undefined => this.rows.get(name)?.row
  delete = (name: string): boolean => this.rows.delete(name)
  clear = (): void => this.rows.clear()

  set(name: string, row: T): void {
    this.rows.delete(name)
    this.rows.set(name, { seq: this.changes.next(), row })
  }

  /** What changed since, the oldest change first; at most `count`. Undefined: nothing. */
  since(seq: number, count = Infinity): Piece<T> | undefined {
    const rows: T[] = []
    let upToSeq = seq
    for (const one of this.rows.values()) {
      if (one.seq <= seq) continue
      if (rows.length === count) break
      rows.push(one.row)
      upToSeq = one.seq
    }
    return rows.length === 0 ? undefined : { rows, upToSeq }
  }

  /** Drops the oldest that `may` go until no more than `count` of those are left. Answers the last change among what
   *  was dropped; 0: nothing was. */
  keepNewest(count: number, may: (row: T) => boolean = () => true): number {
    const old = [...this.rows].filter(([, { row }]) => may(row)).slice(0, -count)
    for (const [name] of old) this.rows.delete(name)
    return old.at(-1)?.[1].seq ?? 0
  }
}
