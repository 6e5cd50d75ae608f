/** What a move asks of each of its two stores. */
import type { MoveMark } from './mark.ts'
import type { MovedTable, StoreSchema } from './plan.ts'
import type { MovedRow } from './rows.ts'

/** The last number that was given, by table. */
export type Counters = Readonly<Record<string, number>>

/** Tables that number their rows. */
export const NUMBERED = ['nodes', 'ports', 'objects', 'durations', 'events'] as const

export interface MoveSide {
  /** In words, without a secret. */
  readonly name: string
  mark(): Promise<MoveMark | undefined>
  /** In one transaction with what keeps programs out that do not know marks. */
  setMark(mark: MoveMark): Promise<void>
  /** As the source: brings the records into the present form. Throws `secret.key` for another key. */
  prepare(): Promise<void>
  /** As the destination: leaves it empty, and with the mark. Throws `store.migrated` when there are records in it,
   *  unless they are `again` those of a move that was not finished. */
  begin(mark: MoveMark, again: boolean): Promise<void>
  schema(): Promise<StoreSchema>
  count(table: string): Promise<number>
  /** The next rows after `last`, by the key; none at the end. Not the mark. */
  read(table: MovedTable, last: MovedRow | undefined): Promise<MovedRow[]>
  write(table: MovedTable, rows: readonly MovedRow[]): Promise<void>
  counters(): Promise<Counters>
  /** After the last row. */
  complete(counters: Counters): Promise<void>
  close(): Promise<void>
}
