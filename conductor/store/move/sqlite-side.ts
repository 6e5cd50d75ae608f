/** The SQLite file as one side of a move. Whoever makes it holds the lock of the data directory. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import Database from 'better-sqlite3'
import { Fault } from '../../../kit/fault.ts'
import { openDatabase } from '../open.ts'
import type { Seal } from '../secrets.ts'
import { SqliteStore } from '../sqlite.ts'
import type { Value } from '../statements.ts'
import { FENCE, isFenced, MARK, type MoveMark } from './mark.ts'
import { markOf } from './mark-of-sqlite.ts'
import type { MovedTable, StoreSchema } from './plan.ts'
import { rowForSqlite, type MovedRow } from './rows.ts'
import { NUMBERED, type Counters, type MoveSide } from './side.ts'

export class SqliteSide implements MoveSide {
  readonly name: string
  private readonly path: string
  private readonly seal: Seal
  private db: Database.Database | undefined

  constructor(path: string, seal: Seal) {
    this.name = `SQLite, ${path}`
    this.path = path
    this.seal = seal
  }

  async mark(): Promise<MoveMark | undefined> {
    return existsSync(this.path) ? markOf(this.database()) : undefined
  }

  async setMark(mark: MoveMark): Promise<void> {
    const db = this.database()
    db.transaction(() => {
      const version = (db.pragma('user_version', { simple: true }) as number) % FENCE
      db.prepare('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)').run(MARK, JSON.stringify(mark))
      db.pragma(`user_version = ${version + (isFenced(mark.state) ? FENCE : 0)}`)
    }).immediate()
  }

  async prepare(): Promise<void> {
    if (!existsSync(this.path))
      throw new Fault('store.broken', `there is no ${this.path}: nothing can be moved from it`)
    await new SqliteStore(this.path, this.seal, { shared: true }).close()
    const [orphan] = this.database().pragma('foreign_key_check') as { table: string; rowid: number }[]
    if (orphan)
      throw new Fault('store.damaged', `the row ${orphan.rowid} of ${orphan.table} belongs to a node that is not there`)
  }

  async begin(mark: MoveMark, again: boolean): Promise<void> {
    if (!again && existsSync(this.path)) this.refuseRecords()
    await this.close()
    for (const suffix of ['', '-wal', '-shm']) await rm(this.path + suffix, { force: true })
    this.db = openDatabase(this.path, true).db
    await this.setMark(mark)
  }

  async schema(): Promise<StoreSchema> {
    const db = this.database()
    const columns = db.prepare<[string], { name: string; pk: number }>('SELECT name, pk FROM pragma_table_info(?)')
    const references = db.prepare<[string], { name: string }>('SELECT "table" AS name FROM pragma_foreign_key_list(?)')
    return new Map(
      this.tables().map((table) => {
        const all = columns.all(table)
        const key = all.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk)
        const refersTo = references.all(table).map(({ name }) => name)
        return [table, { columns: all.map(({ name }) => name), key: key.map(({ name }) => name), refersTo }]
      }),
    )
  }

  async count(table: string): Promise<number> {
    const mark = table === 'meta' ? `WHERE name <> '${MARK}'` : ''
    const row = this.database().prepare(`SELECT count(*) AS count FROM ${table} ${mark}`).get() as { count: number }
    return row.count
  }

  async read({ name, key, columns, atOnce }: MovedTable, last: MovedRow | undefined): Promise<MovedRow[]> {
    const wheres = name === 'meta' ? [`name <> '${MARK}'`] : []
    if (last) wheres.push(`(${key.join()}) > (${key.map(() => '?').join()})`)
    const where = wheres.length > 0 ? `WHERE ${wheres.join(' AND ')}` : ''
    const select = `SELECT ${columns.join()} FROM ${name} ${where} ORDER BY ${key.join()} LIMIT ${atOnce}`
    return this.database()
      .prepare<Value[], MovedRow>(select)
      .all(...(last ? key.map((column) => last[column] ?? null) : []))
  }

  async write({ name }: MovedTable, rows: readonly MovedRow[]): Promise<void> {
    const db = this.database()
    db.transaction(() => {
      for (const row of rows.map((one) => rowForSqlite(name, one))) {
        const names = Object.keys(row)
        db.prepare(`INSERT INTO ${name} (${names.join()}) VALUES (${names.map(() => '?').join()})`).run(
          ...Object.values(row),
        )
      }
    }).immediate()
  }

  async counters(): Promise<Counters> {
    const rows = this.database().prepare('SELECT name, seq FROM sqlite_sequence').all() as {
      name: string
      seq: number
    }[]
    return Object.fromEntries(NUMBERED.map((name) => [name, rows.find((row) => row.name === name)?.seq ?? 0]))
  }

  async complete(counters: Counters): Promise<void> {
    const db = this.database()
    db.transaction(() => {
      db.exec('DELETE FROM sqlite_sequence')
      const insert = db.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)')
      for (const [name, seq] of Object.entries(counters)) insert.run(name, seq)
    }).immediate()
  }

  async close(): Promise<void> {
    this.db?.close()
    this.db = undefined
  }

  /** As it is: a store that may not be used is not brought up to date. */
  private database(): Database.Database {
    if (this.db) return this.db
    this.db = new Database(this.path, { fileMustExist: true })
    this.db.pragma('synchronous = FULL')
    this.db.pragma('foreign_keys = ON')
    return this.db
  }

  private tables(): string[] {
    return this.database()
      .prepare<[], { name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
      )
      .all()
      .map(({ name }) => name)
  }

  private refuseRecords(): void {
    const full = this.tables().filter(
      (name) => name !== 'meta' && this.database().prepare(`SELECT 1 FROM ${name} LIMIT 1`).get() !== undefined,
    )
    if (full.length > 0)
      throw new Fault(
        'store.migrated',
        `the destination ${this.path} holds records already (${full.join(', ')}): put it aside, or name an empty one`,
      )
  }
}
