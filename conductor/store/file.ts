/** One SQLite file: opened under a lock, migrated, written in transactions, listed in pages. What the tables share. */
import Database from 'better-sqlite3'
import { Fault } from '../../kit/fault.ts'
import { bmcAddress } from '../bmc/address.ts'
import { MIGRATIONS } from './migrations.ts'
import type { EventRecord, Page } from './port.ts'
import { currentAct } from './act.ts'

export type Value = string | number | null
export type Row = { body: string; version?: number }

/** Columns and expressions that lists may be sorted by. */
export type Sorts = Readonly<Record<string, string>>

export interface Listing {
  readonly table: 'nodes' | 'ports' | 'objects'
  readonly columns: string
  /** What the table holds, for messages. */
  readonly what: string
  readonly wheres: readonly (readonly [clause: string, ...values: Value[]])[]
  /** What the asker may see at all: a marker beyond it does not exist. */
  readonly within?: readonly (readonly [clause: string, ...values: Value[]])[]
  readonly page: Page
  readonly sorts: Sorts
}

export class SqliteFile {
  private readonly db: Database.Database
  private readonly lock: Database.Database
  private readonly statements = new Map<string, Database.Statement>()
  private readonly listeners = new Set<() => void>()
  private added = false

  /** Throws `store.locked` when another conductor has the file. */
  constructor(path: string) {
    this.lock = takeLock(`${path}.lock`)
    try {
      this.db = new Database(path)
      this.db.pragma('journal_mode = WAL')
      // FULL: what was answered with 2xx survives a power cut, not only a crash of the process.
      this.db.pragma('synchronous = FULL')
      this.db.pragma('foreign_keys = ON')
      this.db.function('bmc_address', { deterministic: true }, (driver: unknown, info: unknown) =>
        bmcAddress({ driver: String(driver), driverInfo: JSON.parse(String(info ?? '{}')) as Record<string, unknown> }),
      )
      migrate(this.db)
    } catch (error) {
      this.lock.close()
      throw broken(error)
    }
  }

  /** Compiled once per text. */
  sql<Result>(text: string): Database.Statement<Value[], Result> {
    let statement = this.statements.get(text)
    if (!statement) {
      statement = this.db.prepare(text)
      this.statements.set(text, statement)
    }
    return statement as Database.Statement<Value[], Result>
  }

  /** One transaction. The act of the operator that it belongs to is recorded in the same one, once. */
  write<T>(about: { what: string; nodeUuid?: string | null; nowMs?: number }, act: () => T): T {
    try {
      const result = this.db
        .transaction(() => {
          const done = act()
          const by = currentAct()
          if (by && !by.recorded) {
            this.addEvent({
              atMs: by.atMs,
              nodeUuid: about.nodeUuid ?? null,
              kind: 'act',
              detail: { user: by.user, method: by.method, path: by.path, request_id: by.requestId },
            })
          }
          return done
        })
        .immediate()
      const by = currentAct()
      if (by) by.recorded = true
      this.announce()
      return result
    } catch (error) {
      this.added = false
      if (error instanceof Fault) throw error
      const code = (error as { code?: string }).code ?? ''
      if (code === 'SQLITE_CONSTRAINT_FOREIGNKEY') throw new Fault('object.conflict', `${about.what}: the node that it belongs to is gone`, { cause: error })
      if (code.startsWith('SQLITE_CONSTRAINT'))
        throw new Fault('object.conflict', `${about.what}: ${constraintField(String((error as Error).message))} is taken already`, { cause: error })
      throw broken(error)
    }
  }

  /** Inside a transaction. */
  addEvent(event: Omit<EventRecord, 'seq'>): void {
    this.added = true
    this.sql('INSERT INTO events (at, node_uuid, kind, detail) VALUES (?, ?, ?, ?)').run(event.atMs, event.nodeUuid, event.kind, JSON.stringify(event.detail))
    const { model, from, tookMs } = event.detail
    if (event.kind === 'state' && typeof model === 'string' && typeof from === 'string' && typeof tookMs === 'number')
      this.sql('INSERT INTO durations (model, state, took_ms) VALUES (?, ?, ?)').run(model, from, tookMs)
  }

  watch(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Key-set paging: rows after the marker in the wanted order; what has no value comes first. */
  list<R extends Row>({ table, columns, what, wheres: chosen, within = [], page, sorts }: Listing): R[] {
    const sort = Object.hasOwn(sorts, page.sortKey) ? sorts[page.sortKey] : undefined
    if (!sort)
      throw new Fault(
        'input.invalid',
        `sort_key: ${what}s cannot be sorted by ${JSON.stringify(page.sortKey.slice(0, 64))}; use one of ${Object.keys(sorts).join(', ')}`,
      )
    const wheres = [...within, ...chosen]
    const values = wheres.flatMap(([, ...given]) => given)
    const clauses = wheres.map(([clause]) => clause)
    const [order, beyond] = page.descending ? ['DESC', '<'] : ['ASC', '>']
    const key = sort === 'id' ? 'id' : `coalesce(${sort}, '')`
    if (page.marker !== undefined) {
      const visible = ['uuid = ?', ...within.map(([clause]) => clause)].join(' AND ')
      const known = this.sql<{ id: number }>(`SELECT id FROM ${table} WHERE ${visible}`).get(
        page.marker.toLowerCase(),
        ...within.flatMap(([, ...given]) => given),
      )
      if (!known) throw new Fault('object.missing', `marker: there is no ${what} ${JSON.stringify(page.marker.slice(0, 64))}`)
      clauses.push(sort === 'id' ? `id ${beyond} ?` : `(${key}, id) ${beyond} (SELECT ${key}, id FROM ${table} WHERE id = ?)`)
      values.push(known.id)
    }
    const where = clauses.length > 0 ? `WHERE ${clauses.join(' AND ')}` : ''
    const text = `SELECT ${columns} FROM ${table} ${where} ORDER BY ${key} ${order}${sort === 'id' ? '' : `, id ${order}`} LIMIT ?`
    return this.sql<R>(text).all(...values, page.limit)
  }

  close(): void {
    this.db.close()
    this.lock.close()
  }

  private announce(): void {
    if (!this.added) return
    this.added = false
    for (const listener of this.listeners) listener()
  }
}

/** Somebody else was faster, or has removed it. */
export const stale = (what: string, uuid: string): Fault => new Fault('store.stale', `${what} ${uuid} changed meanwhile`)

const constraintField = (message: string) => /\w+\.(\w+)$/.exec(message)?.[1] ?? 'a value'

const broken = (error: unknown) =>
  error instanceof Fault ? error : new Fault('store.broken', `the database failed: ${(error as Error).message}`, { cause: error })

export function openBody<T>(row: Row | undefined): T | undefined {
  if (!row) return undefined
  const body = JSON.parse(row.body) as T
  return row.version === undefined ? body : { ...body, version: row.version }
}

/** `?, ?, ?` for a list of values. */
export const marks = (values: readonly unknown[]): string => values.map(() => '?').join()

/** Held as an exclusive transaction on a file beside the database: the kernel lets go of it when the process dies, however it dies. */
function takeLock(path: string): Database.Database {
  const lock = new Database(path, { timeout: 0 })
  try {
    lock.pragma('locking_mode = EXCLUSIVE')
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY')) throw new Fault('store.locked', `another conductor holds ${path}`, { cause: error })
    throw broken(error)
  }
}

function migrate(db: Database.Database): void {
  const at = db.pragma('user_version', { simple: true }) as number
  if (at > MIGRATIONS.length) throw new Fault('store.broken', `the database has version ${at}, this program knows ${MIGRATIONS.length}: use the newer program`)
  for (const [i, sql] of MIGRATIONS.entries()) {
    if (i < at) continue
    db.transaction(() => {
      db.exec(sql)
      db.pragma(`user_version = ${i + 1}`)
    }).immediate()
  }
}
