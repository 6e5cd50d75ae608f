/** Rows that have a version: each is replaced as it was read or not at all, and an index is written only where its
 *  column changes. */
import type { SqliteFile, Value } from './file.ts'
import { moved } from './moved.ts'

type Columns = Readonly<Record<string, Value>>

/** A row before its change: its version and its columns that have an index or a trigger. */
export type Before = Columns & { readonly version: number }

export class VersionedTable {
  private readonly file: SqliteFile
  private readonly name: 'nodes' | 'ports'
  private readonly compared: ReadonlySet<string>
  private readonly selectBefore: string

  /** `also`: further columns that `before` tells, and that are written where they change: those of an index of an
   *  expression, and those that a trigger follows. */
  constructor(file: SqliteFile, name: 'nodes' | 'ports', also: readonly string[] = []) {
    this.file = file
    this.name = name
    const indexed = file
      .sql<{ name: string }>(
        'SELECT DISTINCT i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i WHERE i.name IS NOT NULL',
      )
      .all(name)
      .map((column) => column.name)
    this.compared = new Set([...also, ...indexed])
    this.selectBefore = `SELECT ${['version', ...this.compared].join()} FROM ${name} WHERE uuid = ?`
  }

  /** Inside a transaction. */
  insert(columns: Columns): void {
    const names = Object.keys(columns)
    this.file
      .sql(`INSERT INTO ${this.name} (${names.join()}) VALUES (${names.map(() => '?').join()})`)
      .run(...Object.values(columns))
  }

  /** Inside a transaction. Throws `store.moved` when the row is no longer at this version. */
  before(uuid: string, version: number): Before {
    const row = this.file.sql<Before>(this.selectBefore).get(uuid)
    if (row?.version !== version) throw moved(this.name.slice(0, -1), uuid)
    return row
  }

  /** Inside the transaction that looked at `before`. A column that stays as it is costs no page of its index, and no
   *  trigger runs for it. */
  replace(uuid: string, before: Before, columns: Columns): void {
    const changed = Object.entries(columns).filter(
      ([name, value]) => !this.compared.has(name) || before[name] !== value,
    )
    this.file
      .sql(`UPDATE ${this.name} SET ${changed.map(([name]) => `${name} = ?`).join()} WHERE uuid = ?`)
      .run(...changed.map(([, value]) => value), uuid)
  }
}
