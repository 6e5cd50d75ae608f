/** The mark of a move in an SQLite file, of whatever version its schema is. */
import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { Fault } from '../../../kit/fault.ts'
import { MARK, readMark, type MoveMark } from './mark.ts'

export function markOf(db: Database.Database): MoveMark | undefined {
  if (!db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'").get()) return undefined
  const row = db.prepare('SELECT value FROM meta WHERE name = ?').get(MARK) as { value: string } | undefined
  return readMark(row?.value)
}

/** Throws `store.migrated` for a file with nodes that were not moved to the database that is used instead of it. */
export function refuseForgotten(path: string): void {
  if (!existsSync(path)) return
  const db = new Database(path, { readonly: true })
  try {
    const hasNodes = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'nodes'").get()
    if (!hasNodes || !db.prepare('SELECT 1 FROM nodes LIMIT 1').get() || markOf(db)?.state === 'moved') return
  } finally {
    db.close()
  }
  throw new Fault(
    'store.migrated',
    `the configured database has no nodes, and those in ${path} were not moved to it; a file that is no longer wanted is put aside`,
  )
}
