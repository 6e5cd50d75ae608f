/** Leases, and how loaders did, in an SQLite file of the boot services' own: they outlive a restart of anything. What a
 *  turn of the event loop confirms is written in one transaction. */
import Database from 'better-sqlite3'
import { turn } from '../../kit/clock.ts'
import type { LoaderRecord, LoaderStore } from '../../pxe/loader-paths.ts'
import type { Lease, LeaseStore } from '../../pxe/dhcp/leases.ts'

/** The write-ahead log goes into the database at this size, in pages of 4 KiB: seldom, because that waits for the disk
 *  and DHCP waits with it. */
const CHECKPOINT_PAGES = 8_000

/** One tree of pages: a lease with a row id of its own would change a page of the table and one of its index. */
const COLUMNS = '(ip TEXT PRIMARY KEY, mac TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID'

export class SqliteLeases implements LeaseStore {
  private readonly db: Database.Database
  private readonly upsert: Database.Statement<[string, string, number]>
  private readonly delete: Database.Statement<[string]>
  private readonly writeAll: (changes: ReadonlyMap<string, Lease | undefined>) => void
  private readonly onUnwritten: (why: string) => void
  /** By address; undefined: it has no lease any more. */
  private readonly waiting = new Map<string, Lease | undefined>()
  private isDue = false

  /** `onUnwritten`: told when changes that nobody committed could not be written at the end of their turn. */
  constructor(path: string, onUnwritten: (why: string) => void = () => undefined) {
    this.onUnwritten = onUnwritten
    this.db = new Database(path)
    this.db.pragma('journal_mode = WAL')
    this.db.pragma('synchronous = NORMAL')
    this.db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
    this.db.exec(`CREATE TABLE IF NOT EXISTS addresses ${COLUMNS}`)
    this.intoOneTree()
    this.takeOver()
    this.db.exec(
      `CREATE TABLE IF NOT EXISTS loaders (
        card TEXT NOT NULL, file TEXT NOT NULL, worked INTEGER NOT NULL, silent INTEGER NOT NULL, PRIMARY KEY (card, file)
      ) STRICT`,
    )
    this.upsert = this.db.prepare('INSERT OR REPLACE INTO addresses (ip, mac, expires_at) VALUES (?, ?, ?)')
    this.delete = this.db.prepare('DELETE FROM addresses WHERE ip = ?')
    this.writeAll = this.db.transaction((changes: ReadonlyMap<string, Lease | undefined>) => {
      for (const [ip, lease] of changes) {
        if (lease) this.upsert.run(ip, lease.mac, lease.expiresAtMs)
        else this.delete.run(ip)
      }
    })
  }

  load(): readonly Lease[] {
    return this.db
      .prepare<[], Lease>('SELECT ip, mac, expires_at AS expiresAtMs FROM addresses ORDER BY expires_at')
      .all()
  }

  save(lease: Lease): void {
    this.change(lease.ip, lease)
  }

  remove(ip: string): void {
    this.change(ip, undefined)
  }

  commit(): void {
    if (this.waiting.size === 0) return
    this.writeAll(this.waiting)
    this.waiting.clear()
  }

  waits(ip: string): boolean {
    return this.waiting.has(ip)
  }

  private change(ip: string, lease: Lease | undefined): void {
    this.waiting.set(ip, lease)
    if (this.isDue) return
    this.isDue = true
    void turn().then(() => {
      this.isDue = false
      try {
        if (this.db.open) this.commit()
      } catch (error) {
        this.onUnwritten((error as Error).message)
      }
    })
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
    try {
      this.commit()
    } finally {
      this.db.close()
    }
  }

  /** Files of before had row ids. Programs of before read and write this table as they did theirs. */
  private intoOneTree(): void {
    const table = "SELECT 1 FROM sqlite_master WHERE name = 'addresses' AND sql LIKE '%WITHOUT ROWID%'"
    if (this.db.prepare(table).get() !== undefined) return
    this.db.transaction(() => {
      this.db.exec(`CREATE TABLE one_tree ${COLUMNS}`)
      this.db.exec('INSERT INTO one_tree (ip, mac, expires_at) SELECT ip, mac, expires_at FROM addresses')
      this.db.exec('DROP TABLE addresses')
      this.db.exec('ALTER TABLE one_tree RENAME TO addresses')
    })()
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
