/** Opens the database file: one conductor at a time unless it is to be shared, and the schema brought up to date. */
import Database from 'better-sqlite3'
import { Fault } from '../../kit/fault.ts'
import { bmcAddress } from '../bmc/address.ts'
import { isObject } from './damage.ts'
import { MIGRATIONS } from './migrations.ts'
import { refuseMoved } from './move/mark.ts'
import { markOf } from './move/mark-of-sqlite.ts'

/** For the start alone; afterwards nothing waits inside SQLite, because everybody else would wait with it. */
const START_BUSY_MS = 5_000

/** Throws `store.locked` when another conductor has the file, unless it is to be shared, and `store.migrated` when its
 *  records are elsewhere. */
export function openDatabase(
  path: string,
  shared: boolean,
): { db: Database.Database; lock: Database.Database | undefined } {
  const lock = shared ? undefined : takeLock(`${path}.lock`)
  let db: Database.Database | undefined
  try {
    db = new Database(path, { timeout: START_BUSY_MS })
    refuseMoved(markOf(db))
    db.pragma('journal_mode = WAL')
    // FULL: what was answered with 2xx survives a power cut, not only a crash of the process.
    db.pragma('synchronous = FULL')
    db.pragma('foreign_keys = ON')
    db.function('bmc_address', { deterministic: true }, bmcAddressOf)
    migrate(db)
    db.pragma('busy_timeout = 0')
    return { db, lock }
  } catch (error) {
    db?.close()
    lock?.close()
    throw broken(error)
  }
}

/** For a migration. Null for a driver_info that cannot be read. */
function bmcAddressOf(driver: unknown, info: unknown): string | null {
  try {
    const driverInfo: unknown = JSON.parse(String(info))
    return isObject(driverInfo) ? bmcAddress({ driver: String(driver), driverInfo }) : null
  } catch {
    return null
  }
}

export const broken = (error: unknown): Fault =>
  error instanceof Fault
    ? error
    : new Fault('store.broken', `the database failed: ${(error as Error).message}`, { cause: error })

export const isBusy = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('SQLITE_BUSY') === true

/** Held as an exclusive transaction on a file beside the database: the kernel lets go of it when the process dies,
 *  however it dies. */
export function takeLock(path: string): Database.Database {
  const lock = new Database(path, { timeout: 0 })
  try {
    lock.pragma('locking_mode = EXCLUSIVE')
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if (isBusy(error)) throw new Fault('store.locked', `another conductor holds ${path}`, { cause: error })
    throw broken(error)
  }
}

function migrate(db: Database.Database): void {
  const at = db.pragma('user_version', { simple: true }) as number
  if (at > MIGRATIONS.length)
    throw new Fault(
      'store.broken',
      `the database has version ${at}, this program knows ${MIGRATIONS.length}: use the newer program`,
    )
  for (const [i, sql] of MIGRATIONS.entries()) {
    if (i < at) continue
    db.transaction(() => {
      db.exec(sql)
      db.pragma(`user_version = ${i + 1}`)
    }).immediate()
  }
}
