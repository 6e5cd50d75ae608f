/** Leases in an SQLite file of the boot services' own: they outlive a restart of anything. */
import Database from 'better-sqlite3'
import type { Lease, LeaseStore } from '../../pxe/dhcp/leases.ts'

export class SqliteLeases implements LeaseStore {
  private readonly db: Database.Database
  private readonly upsert: Database.Statement<[string, string, number]>

  constructor(path: string) {
    this.db = new Database(path)
    this.db.pragma('journal_mode = WAL')
    this.db.pragma('synchronous = NORMAL')
    this.db.exec('CREATE TABLE IF NOT EXISTS leases (mac TEXT PRIMARY KEY, ip TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT')
    this.upsert = this.db.prepare('INSERT OR REPLACE INTO leases (mac, ip, expires_at) VALUES (?, ?, ?)')
  }

  load(): readonly Lease[] {
    return this.db.prepare<[], Lease>('SELECT mac, ip, expires_at AS expiresAtMs FROM leases').all()
  }

  save(lease: Lease): void {
    this.upsert.run(lease.mac, lease.ip, lease.expiresAtMs)
  }

  remove(mac: string): void {
    this.db.prepare('DELETE FROM leases WHERE mac = ?').run(mac)
  }

  close(): void {
    this.db.close()
  }
}
