/** Before a PostgreSQL database is used: is it a primary, of a version that will do, ours, and not newer than this
 *  program? Then its schema is brought up to date. */
import { Fault } from '../../../kit/fault.ts'
import { FENCE, refuseMoved } from '../move/mark.ts'
import { markIn } from '../move/mark-of-postgres.ts'
import type { Connections } from './connect.ts'
import { STEPS } from './schema.ts'

/** The oldest program that can work with the present schema. */
export const OLDEST = Math.max(...STEPS.map((step) => step.oldest))
const MIN_VERSION = 130_000
/** One step, of a database with many events. */
const STEP_MS = 3_600_000
/** Any number that nobody else uses as a lock. */
const MIGRATION_LOCK = 7_225_442

interface Server {
  readonly standby: boolean
  readonly version: number
  readonly encoding: string
  readonly database: string
  readonly ours: boolean
  readonly tables: number
}

const SERVER = `SELECT pg_is_in_recovery() AS standby, current_setting('server_version_num')::int AS version,
  current_setting('server_encoding') AS encoding, current_database() AS database,
  to_regclass('rackward_schema') IS NOT NULL AS ours,
  (SELECT count(*)::int FROM information_schema.tables WHERE table_schema = current_schema()) AS tables`

/** Throws `store.broken` for a database that cannot be used, and changes nothing in it; `store.migrated` for one whose
 *  records are elsewhere, unless it is opened `toMove` them. */
export async function migrate(connections: Connections, toMove = false): Promise<void> {
  const [server] = await connections.rows<Server>({ text: SERVER })
  if (!server) throw new Fault('store.broken', 'the database does not say what it is')
  refuse(server)

  await connections.transaction(async (query) => {
    await query({ text: `SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})` })
    await query({
      text: 'CREATE TABLE IF NOT EXISTS rackward_schema (version integer NOT NULL, oldest integer NOT NULL)',
    })
    const [known] = await query<{ version: number; oldest: number }>({
      text: 'SELECT version, oldest FROM rackward_schema',
    })
    const version = known?.version ?? 0
    const isShut = (known?.oldest ?? 0) >= FENCE
    if (isShut && !toMove) refuseMoved(await markIn(query))
    if ((known?.oldest ?? 0) > STEPS.length && !isShut)
      throw new Fault(
        'store.broken',
        `the database has version ${version}, which programs from ${known?.oldest} on can use; this one knows ${STEPS.length}: use the newer program`,
      )
    if (version >= STEPS.length) return
    // An index of a big table may take longer than a request.
    await query({ text: 'SET LOCAL statement_timeout = 0' })
    for (const { sql } of STEPS.slice(version)) await query({ text: sql, timeoutMs: STEP_MS })
    await query({ text: 'DELETE FROM rackward_schema' })
    const oldest = isShut ? FENCE : OLDEST
    await query({ text: 'INSERT INTO rackward_schema VALUES ($1, $2)', values: [STEPS.length, oldest] })
  })
}

function refuse({ standby, version, encoding, database, ours, tables }: Server): void {
  const name = JSON.stringify(database)
  if (standby) throw new Fault('store.broken', `the database ${name} is a read-only standby: connect to the primary`)
  if (version < MIN_VERSION)
    throw new Fault('store.broken', `PostgreSQL ${Math.floor(version / 10_000)} is too old: 13 or later is needed`)
  if (encoding !== 'UTF8')
    throw new Fault('store.broken', `the database ${name} has the encoding ${encoding}: create one with UTF8`)
  if (!ours && tables > 0)
    throw new Fault('store.broken', `the database ${name} holds tables of another product: give Rackward an empty one`)
}
