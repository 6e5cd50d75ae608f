/** Which tables and columns are moved between the two stores: derived from the two schemas, so that nothing that is
 *  added to them is left behind. */
import { Fault } from '../../../kit/fault.ts'
import { OBJECT_FIELDS } from '../object-rows.ts'

export interface TableShape {
  readonly columns: readonly string[]
  /** Columns of the primary key. */
  readonly key: readonly string[]
  /** Tables that must be there before. */
  readonly refersTo: readonly string[]
}

export type StoreSchema = ReadonlyMap<string, TableShape>

export interface MovedTable {
  readonly name: string
  readonly columns: readonly string[]
  readonly key: readonly string[]
  /** Rows that are moved at a time. */
  readonly atOnce: number
}

interface Own {
  readonly tables: readonly string[]
  readonly columns: Readonly<Record<string, readonly string[]>>
}

/** What only SQLite has: counts and lists that its triggers keep, and columns that have another form in PostgreSQL. */
const OF_SQLITE: Own = {
  tables: ['node_counts', 'node_vifs'],
  columns: { nodes: ['owner_seq', 'lessee_seq'], objects: ['fields'] },
}

/** What only PostgreSQL has: who works on it, its version, and columns that have another form in SQLite. */
const OF_POSTGRES: Own = {
  tables: ['bmc_sessions', 'event_counter', 'leases', 'members', 'rackward_schema', 'slots'],
  columns: { nodes: ['owner_raw', 'lessee_raw', 'bmc_claim', 'slot'], objects: OBJECT_FIELDS, events: ['raw'] },
}

/** Columns of both that are made of the body of the record. */
const MADE_OF_BODY: Readonly<Record<string, readonly string[]>> = { nodes: ['due_at', 'vifs'] }

/** In the names of SQLite. */
const CONVERTED: Readonly<Record<string, readonly string[]>> = { nodes: ['owner_seq', 'lessee_seq'] }

const PIECES_AT_ONCE = 8
const BODIES_AT_ONCE = 100
const ROWS_AT_ONCE = 1_000

/** Tables that others refer to come first. Throws `store.broken` for a table or a column of one store alone that is not
 *  known to be its own. */
export function planMove(sqlite: StoreSchema, postgres: StoreSchema): MovedTable[] {
  const names = ownless(sqlite.keys(), OF_SQLITE.tables)
  refuseStray('table ', names, ownless(postgres.keys(), OF_POSTGRES.tables))
  return inOrder(names, sqlite).map((name) => {
    const { columns, key } = sqlite.get(name) as TableShape
    const shared = ownless(columns, OF_SQLITE.columns[name] ?? [])
    const theirs = ownless(postgres.get(name)?.columns ?? [], OF_POSTGRES.columns[name] ?? [])
    refuseStray(`column ${name}.`, shared, theirs)
    const moved = [...ownless(shared, MADE_OF_BODY[name] ?? []), ...(CONVERTED[name] ?? [])]
    return { name, key, columns: moved, atOnce: atOnceOf(columns) }
  })
}

const ownless = (names: Iterable<string>, own: readonly string[]): string[] =>
  [...names].filter((name) => !own.includes(name))

function refuseStray(what: string, sqlite: readonly string[], postgres: readonly string[]): void {
  const stray = [
    ...sqlite.filter((name) => !postgres.includes(name)),
    ...postgres.filter((name) => !sqlite.includes(name)),
  ]
  if (stray.length > 0)
    throw new Fault(
      'store.broken',
      `${stray.map((name) => what + name).join(', ')} is in one of the two stores alone, and this program does not know how to move it`,
    )
}

function inOrder(names: readonly string[], schema: StoreSchema): string[] {
  const placed: string[] = []
  const place = (name: string): void => {
    if (placed.includes(name)) return
    for (const other of schema.get(name)?.refersTo ?? []) if (other !== name) place(other)
    placed.push(name)
  }
  names.forEach(place)
  return placed
}

function atOnceOf(columns: readonly string[]): number {
  if (columns.includes('bytes')) return PIECES_AT_ONCE
  return columns.includes('body') ? BODIES_AT_ONCE : ROWS_AT_ONCE
}
