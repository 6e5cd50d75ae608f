/** What an arbiter reads from the store and writes to it: entries with the index of their last change. Imports
 *  nothing. */

/** One entry of the store with the index of its last change. */
export interface Entry {
  readonly key: string
  readonly value: unknown
  readonly index: number
}

export interface Change {
  readonly key: string
  /** Undefined: deleted. */
  readonly value: unknown
  /** The index that it must have: 0 for "does not exist". */
  readonly index: number
}

/** `ok` with the new index; `conflict`: surely nothing was written; `unknown`: nobody knows, read it again. */
export type Stored =
  { readonly got: 'ok'; readonly index: number } | { readonly got: 'conflict' } | { readonly got: 'unknown' }

/** A look at all entries. `index` of the whole; nothing older than what was written by us may replace it. */
export interface Snapshot {
  readonly entries: readonly Entry[]
  readonly index: number
  /** What is otherwise than in the snapshot of an earlier index. Absent: that is not known. */
  readonly since?: Difference
}

export interface Difference {
  /** Of the earlier snapshot. */
  readonly index: number
  readonly changed: readonly Entry[]
  readonly gone: readonly string[]
}
