/** Leases, and how loaders did, in an SQLite file of the boot services' own: they outlive a restart of anything. */
import Database from 'better-sqlite3'
import type { LoaderRecord, LoaderStore } from '../../pxe/loader-paths.ts'
import type { Lease, LeaseStore } from '../../pxe/dhcp/leases.ts'

export class SqliteLeases implements LeaseStore {
  private readonly db: Database.Database
  private readonly upsert: Database.Statement<[string, string, number]>
  private readonly delete: Database.Statement<[string]>

  constructor(path: string) {
    this.db = new Database(path)
    this.db.pragma('journal_mode = WAL')
    this.db.pragma('synchronous = NORMAL')
    this.db.exec(
      'CREATE TABLE IF NOT EXISTS addresses (ip TEXT PRIMARY KEY, mac TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT',
    )
    this.takeOver()
    this.db.exec(
      `CREATE TABLE IF NOT EXISTS loaders (
        card TEXT NOT NULL, file TEXT NOT NULL, worked INTEGER NOT NULL, silent INTEGER NOT NULL, PRIMARY KEY (card, file)
      ) STRICT`,
    )
    this.upsert = this.db.prepare('INSERT OR REPLACE INTO addresses (ip, mac, expires_at) VALUES (?, ?, ?)')
    this.delete = this.db.prepare('DELETE FROM addresses WHERE ip = ?')
  }

  load(): readonly Lease[] {
    return this.db
      .prepare<[], Lease>('SELECT ip, mac, expires_at AS expiresAtMs FROM addresses ORDER BY expires_at')
      .all()
  }

  save(lease: Lease): void {
    this.upsert.run(lease.ip, lease.mac, lease.expiresAtMs)
  }

  remove(ip: string): void {
    this.delete.run(ip)
  }

  /** How loaders did, by card model. */
  readonly loaders: LoaderStore = {
    load: () =>
      this.db
        .prepare<[], Omit<LoaderRecord, 'worked'> & { worked: number }>(
          'SELECT card, file, worked, silent FROM loaders ORDER BY rowid',
        )
        .all()
        .map((row) => ({ ...row, worked: row.worked === 1 })),
    save: ({ card, file, worked, silent }) =>
      void this.db
        .prepare('INSERT OR REPLACE INTO loaders (card, file, worked, silent) VALUES (?, ?, ?, ?)')
        .run(card, file, Number(worked), silent),
    remove: ({ card, file }) => void this.db.prepare('DELETE FROM loaders WHERE card = ? AND file = ?').run(card, file),
  }

  close(): void {
    this.db.close()
  }

  /** Files of before had one address per client, in a table `leases`. */
  private takeOver(): void {
    const old = this.db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'leases'").get()
    if (old === undefined) return
    this.db.transaction(() => {
      this.db.exec(
        'INSERT OR REPLACE INTO addresses (ip, mac, expires_at) SELECT ip, mac, expires_at FROM leases ORDER BY expires_at',
      )
      this.db.exec('DROP TABLE leases')
    })()
  }
}
