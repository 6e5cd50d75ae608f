/** One SQLite file: written in transactions, listed in pages, watched. What the tables share. */
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { currentAudit } from './audit.ts'
import { broken, isBusy, openDatabase } from './open.ts'
import { Durations, type DurationLimits } from './durations.ts'
import { listRows, type Listing } from './listing.ts'
import type { EventRecord } from './port.ts'
import { Statements, type Value } from './statements.ts'

export type { Listing, Where } from './listing.ts'
export type { Value } from './statements.ts'

const MAX_STATEMENTS = 500
/** How long a lock of another process is waited for, and how often it is tried. */
const BUSY_MS = 5_000
const BUSY_AGAIN_MS = 25
/** Between two looks for events of others, where the file is shared. */
const POLL_MS = 100
/** The write-ahead log grows to about 4 MiB before it is written back. */
const MIN_FREE_BYTES = 8 * 1024 * 1024

export class SqliteFile {
  readonly durations: Durations
  private readonly path: string
  private readonly clock: Clock
  private readonly db: Database.Database
  private readonly lock: Database.Database | undefined
  private readonly statements: Statements
  private readonly transact: (work: () => void) => void
  private readonly listeners = new Set<(upToSeq: number) => void>()
  /** The last event of the present transaction; 0: none. */
  private addedSeq = 0
  /** Why the last write failed; undefined: it did not. */
  private failed: string | undefined
  private stopPolling: () => void = () => undefined

  /** Throws `store.locked` when another conductor has the file, unless it is to be shared. */
  constructor(
    path: string,
    { clock, limits, shared = false }: { clock: Clock; limits: DurationLimits; shared?: boolean },
  ) {
    this.path = path
    this.clock = clock
    const { db, lock } = openDatabase(path, shared)
    this.db = db
    this.lock = lock
    this.statements = new Statements(db, MAX_STATEMENTS)
    this.durations = new Durations(this.sql, limits)
    const transaction = db.transaction((work: () => void) => work())
    this.transact = (work) => transaction.immediate(work)
    if (shared) this.poll(this.nextSeq() - 1)
  }

  /** Compiled once per text, as long as it is used. */
  sql = <Result>(text: string): Database.Statement<Value[], Result> => this.statements.get<Result>(text)

  get statementCount(): number {
    return this.statements.size
  }

  /** One transaction, tried at once. The change of the operator that it belongs to is recorded in the same one, once.
   *  While another process holds the file's lock it is tried again, and everybody else has a turn between two tries. */
  async write<T>(about: { what: string; nodeUuid?: string | null }, work: () => T): Promise<T> {
    const endMs = this.clock.now() + BUSY_MS
    for (;;) {
      try {
        return this.writeNow(about, work)
      } catch (error) {
        if (!isBusy(error)) throw error
        if (this.clock.now() >= endMs) {
          this.failed = 'another process holds the lock of the database'
          throw new Fault('store.broken', `another process has held the lock of the database for ${BUSY_MS / 1000} s`, {
            cause: error,
          })
        }
      }
      await this.clock.sleep(BUSY_AGAIN_MS)
    }
  }

  /** The same without another try; throws SQLITE_BUSY as it is. */
  writeNow<T>(about: { what: string; nodeUuid?: string | null }, work: () => T): T {
    try {
      const by = currentAudit()
      let result: T | undefined
      this.transact(() => {
        result = work()
        if (by && !by.recorded)
          this.addEvent({
            atMs: by.atMs,
            nodeUuid: about.nodeUuid ?? null,
            kind: 'act',
            detail: { user: by.user, method: by.method, path: by.path, request_id: by.requestId },
          })
      })
      if (by) by.recorded = true
      this.failed = undefined
      this.announce()
      return result as T
    } catch (error) {
      this.addedSeq = 0
      if (error instanceof Fault || isBusy(error)) throw error
      const code = (error as { code?: string }).code ?? ''
      if (code === 'SQLITE_CONSTRAINT_FOREIGNKEY')
        throw new Fault('object.conflict', `${about.what}: the node that it belongs to is gone`, { cause: error })
      if (code.startsWith('SQLITE_CONSTRAINT')) {
        const field = constraintField(String((error as Error).message))
        const taken = `${about.what}: ${field ?? 'a value'} is already in use`
        throw new Fault('object.conflict', taken, { cause: error, field })
      }
      this.failed = (error as Error).message
      throw broken(error)
    }
  }

  /** Why nothing can be written now, as far as it is known. Housekeeping writes every few seconds, so that the end of a
   *  failure is seen. */
  async writeFailure(): Promise<string | undefined> {
    if (this.failed !== undefined) return `the last write failed: ${this.failed}`
    const { bavail, bsize } = await statfs(dirname(this.path))
    return bavail * bsize < MIN_FREE_BYTES ? `the disk of the database has ${bavail * bsize} bytes left` : undefined
  }

  /** Inside a transaction. */
  addEvent(event: Omit<EventRecord, 'seq'>): void {
    const { lastInsertRowid } = this.sql('INSERT INTO events (at, node_uuid, kind, detail) VALUES (?, ?, ?, ?)').run(
      event.atMs,
      event.nodeUuid,
      event.kind,
      JSON.stringify(event.detail),
    )
    this.addedSeq = Number(lastInsertRowid)
    this.durations.note(event)
  }

  /** Inside a transaction: of the next event at the earliest. */
  nextSeq(): number {
    return (this.sql<{ seq: number | null }>('SELECT max(seq) AS seq FROM events').get()?.seq ?? 0) + 1
  }

  watch(listener: (upToSeq: number) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  list = <R>(listing: Listing): R[] => listRows<R>(this.sql, listing)

  close(): void {
    this.stopPolling()
    this.db.close()
    this.lock?.close()
  }

  /** What other processes add is heard of by looking. */
  private poll(knownSeq: number): void {
    this.stopPolling = this.clock.after(POLL_MS, () => {
      const upToSeq = this.nextSeq() - 1
      if (upToSeq > knownSeq) for (const listener of this.listeners) listener(upToSeq)
      this.poll(upToSeq)
    })
  }

  private announce(): void {
    const upToSeq = this.addedSeq
    if (upToSeq === 0) return
    this.addedSeq = 0
    for (const listener of this.listeners) listener(upToSeq)
  }
}

/** SQLite names the column in its message alone. */
const constraintField = (message: string): string | undefined => /\w+\.(\w+)$/.exec(message)?.[1]

/** `IN` for a list of values: the text of the statement does not depend on how many there are. */
export const isIn = (column: string): string => `${column} IN (SELECT value FROM json_each(?))`
