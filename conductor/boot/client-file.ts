/** The clients of the boot services in an SQLite file of their own: a change of one is the write of one row. */
import Database from 'better-sqlite3'
import { rmSync } from 'node:fs'

/** Asked of whoever keeps clients: texts by MAC. */
export interface ClientStore {
  load(): readonly string[]
  /** In one transaction. Undefined: it is gone. */
  write(changes: ReadonlyMap<string, string | undefined>): void
  close(): void
}

/** A file that cannot be read is removed, after `onDamaged` was told: the conductor sends everything when it
 *  connects. */
export function openClientFile(path: string, onDamaged: (why: string) => void): ClientStore {
  try {
    return new ClientFile(path)
  } catch (error) {
    if (!isDamage(error)) throw error
    onDamaged((error as Error).message)
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
    return new ClientFile(path)
  }
}

const isDamage = (error: unknown): boolean => /^SQLITE_(NOTADB|CORRUPT)/.test((error as { code?: string }).code ?? '')

class ClientFile implements ClientStore {
  private readonly db: Database.Database
  private readonly upsert: Database.Statement<[string, string]>
  private readonly delete: Database.Statement<[string]>

  constructor(path: string) {
    this.db = new Database(path)
    try {
      this.db.pragma('journal_mode = WAL')
      this.db.pragma('synchronous = NORMAL')
      this.db.exec(
        'CREATE TABLE IF NOT EXISTS clients (mac TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID',
      )
      const [checked] = this.db.pragma('quick_check(1)') as { quick_check: string }[]
      if (checked?.quick_check !== 'ok')
        throw Object.assign(new Error(checked?.quick_check ?? 'no check'), { code: 'SQLITE_CORRUPT' })
      this.upsert = this.db.prepare('INSERT OR REPLACE INTO clients (mac, body) VALUES (?, ?)')
      this.delete = this.db.prepare('DELETE FROM clients WHERE mac = ?')
    } catch (error) {
      this.db.close()
      throw error
    }
  }

  load(): readonly string[] {
    return this.db
      .prepare<[], { body: string }>('SELECT body FROM clients')
      .all()
      .map(({ body }) => body)
  }

  write(changes: ReadonlyMap<string, string | undefined>): void {
    this.db.transaction(() => {
      for (const [mac, body] of changes) {
        if (body === undefined) this.delete.run(mac)
        else this.upsert.run(mac, body)
      }
    })()
  }

  close(): void {
    this.db.close()
  }
}
