/** The PostgreSQL database as one side of a move: held by the lease of a conductor as long as it takes. */
import type pg from 'pg'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { Connections, type PostgresOptions, type SqlValue } from '../postgres/connect.ts'
import { holdStill, inTransactionOf, refuseWrites } from './postgres-hold.ts'
import { checkKey } from '../postgres/key.ts'
import { Lease } from '../postgres/lease.ts'
import { refuseLiving } from '../postgres/living.ts'
import { migrate, OLDEST } from '../postgres/migrate.ts'
import type { Seal } from '../secrets.ts'
import { FENCE, isFenced, MARK, type MoveMark } from './mark.ts'
import { markIn, type MoveQuery } from './mark-of-postgres.ts'
import type { MovedTable, StoreSchema } from './plan.ts'
import { selectOf } from './postgres-rows.ts'
import { rowForPostgres, rowOfPostgres, type MovedRow } from './rows.ts'
import { NUMBERED, type Counters, type MoveSide } from './side.ts'

interface SideParts {
  readonly seal: Seal
  readonly clock: Clock
  readonly monotonic: Clock
  /** The conductor of this data directory. */
  readonly owner: string
}

/** A statement over all rows of a big table. */
const LONG_MS = 3_600_000
const EVENTS_AT_ONCE = 2_000
/** One for the rows, one for the lease. */
const CONNECTIONS = 2
/** Where the mark of a move stands. */
const OF_MARK = ['meta', 'rackward_schema']
/** In the database, and no records. */
const NOT_RECORDS = ['bmc_sessions', 'meta', 'event_counter', 'leases', 'members', 'rackward_schema', 'slots']

export class PostgresSide implements MoveSide {
  readonly name: string
  private readonly connections: Connections
  private readonly lease: Lease
  private readonly seal: Seal
  /** Holds the records still, from before they are read until they are moved. */
  private holder: pg.Client | undefined

  private constructor(options: PostgresOptions, { seal, clock, monotonic, owner }: SideParts) {
    this.name = `PostgreSQL, ${options.url}`
    this.seal = seal
    this.connections = new Connections({ ...options, connections: CONNECTIONS })
    this.lease = new Lease({ connections: this.connections, clock, monotonic, owner })
  }

  /** Throws `store.locked` while a conductor works on it. */
  static async open(options: PostgresOptions, parts: SideParts): Promise<PostgresSide> {
    const side = new PostgresSide(options, parts)
    try {
      await migrate(side.connections, true)
      // Nobody can hold what was moved, nor change it.
      if ((await side.mark())?.state !== 'moved') {
        await refuseLiving(side.connections, parts.clock)
        await side.lease.start()
      }
      return side
    } catch (error) {
      await side.connections.close()
      throw error
    }
  }

  mark = (): Promise<MoveMark | undefined> => markIn(this.connections.rows)

  setMark = (mark: MoveMark): Promise<void> =>
    mark.state === 'moved' ? this.shut(mark) : this.held((query) => writeMark(query, mark))

  async prepare(): Promise<void> {
    await checkKey(this.connections, this.seal)
    await this.numberAll()
    this.holder = await holdStill(this.connections, await this.records())
    if (await this.isUnnumbered())
      throw new Fault('store.locked', 'another conductor has just written to this database')
  }

  private async numberAll(): Promise<void> {
    while (await this.isUnnumbered()) await this.connections.rows({ text: `SELECT number_events(${EVENTS_AT_ONCE})` })
  }

  private async isUnnumbered(): Promise<boolean> {
    const [one] = await this.connections.rows({ text: 'SELECT 1 FROM events WHERE seq IS NULL LIMIT 1' })
    return one !== undefined
  }

  private records = async (): Promise<string[]> =>
    [...(await this.schema()).keys()].filter((name) => !NOT_RECORDS.includes(name))

  /** With the lock that `prepare` took, so that nobody writes in between. */
  private async shut(mark: MoveMark): Promise<void> {
    const { holder } = this
    if (!holder) throw new Error('the records are not held')
    // Leases too: a conductor that goes on finds nothing that it may act on.
    const tables = [...(await this.schema()).keys()].filter((name) => !OF_MARK.includes(name))
    await inTransactionOf(holder, async (query) => {
      await this.proveLease(query)
      await writeMark(query, mark)
      await query({ text: refuseWrites(tables) })
    })
  }

  async begin(mark: MoveMark, again: boolean): Promise<void> {
    const tables = await this.records()
    await this.held(async (query) => {
      if (again) await query({ text: `TRUNCATE ${tables.join()}` })
      else await refuseRecords(query, tables)
      await query({ text: 'DELETE FROM meta' })
      await writeMark(query, mark)
    })
  }

  async schema(): Promise<StoreSchema> {
    const rows = await this.connections.rows<{ table: string; columns: string[] }>({
      text: `SELECT table_name::text AS table, array_agg(column_name::text ORDER BY ordinal_position) AS columns
        FROM information_schema.columns WHERE table_schema = current_schema() GROUP BY 1`,
    })
    return new Map(rows.map(({ table, columns }) => [table, { columns, key: [], refersTo: [] }]))
  }

  async count(table: string): Promise<number> {
    const where = table === 'meta' ? `WHERE name <> '${MARK}'` : ''
    const [row] = await this.long((query) =>
      query<{ count: number }>({ text: `SELECT count(*) AS count FROM ${table} ${where}`, timeoutMs: LONG_MS }),
    )
    return row?.count ?? 0
  }

  async read(table: MovedTable, last: MovedRow | undefined): Promise<MovedRow[]> {
    const rows = await this.long((query) => query<MovedRow>({ ...selectOf(table, last), timeoutMs: LONG_MS }))
    return rows.map((row) => rowOfPostgres(table.name, row))
  }

  async write({ name }: MovedTable, rows: readonly MovedRow[]): Promise<void> {
    if (this.lease.lost) throw new Fault('store.locked', 'another conductor has taken this database over')
    const written = rows.map((row) => rowForPostgres(name, row))
    const names = Object.keys(written[0] ?? {})
    const values: SqlValue[] = written.flatMap((row) => names.map((column) => row[column] ?? null))
    const places = written.map((_, i) => `(${names.map((__, j) => `$${i * names.length + j + 1}`).join()})`)
    await this.connections.query(
      { text: `INSERT INTO ${name} (${names.join()}) OVERRIDING SYSTEM VALUE VALUES ${places.join()}`, values },
      `a row of ${name}`,
    )
  }

  async counters(): Promise<Counters> {
    const last = NUMBERED.map((name) =>
      name === 'events'
        ? `(SELECT last FROM event_counter) AS events`
        : `(SELECT last_value - 1 + is_called::int FROM ${name}_id_seq) AS ${name}`,
    )
    const [row] = await this.connections.rows<Record<string, number>>({ text: `SELECT ${last.join()}` })
    return row ?? {}
  }

  /** Without the lock on the lease, which would not be renewed meanwhile: the mark keeps everybody else out. */
  complete = (counters: Counters): Promise<void> =>
    this.long(async (query) => {
      const set = (sequence: string, last: number) =>
        query({ text: `SELECT setval('${sequence}', ${Math.max(1, last)}, ${last > 0})` })
      for (const name of NUMBERED) await set(name === 'events' ? 'events_raw' : `${name}_id_seq`, counters[name] ?? 0)
      await query({ text: 'UPDATE event_counter SET last = $1', values: [counters.events ?? 0] })
      // Nodes that shared a BMC before it was checked: the oldest one has it.
      await query({
        text: `UPDATE nodes SET bmc_claim = bmc WHERE id IN (SELECT min(id) FROM nodes WHERE bmc IS NOT NULL GROUP BY bmc)`,
        timeoutMs: LONG_MS,
      })
      await query({ text: 'ANALYZE', timeoutMs: LONG_MS })
    })

  async close(): Promise<void> {
    await this.holder?.end().catch(() => undefined)
    await this.lease.stop()
    await this.connections.close()
  }

  /** A transaction that nobody can have taken the lease in the middle of. */
  private held<T>(work: (query: MoveQuery) => Promise<T>): Promise<T> {
    return this.long(async (query) => {
      await this.proveLease(query)
      return work(query)
    })
  }

  private async proveLease(query: MoveQuery): Promise<void> {
    const [own] = await query({
      text: "SELECT 1 FROM leases WHERE name = 'conductor' AND token = $1 FOR UPDATE",
      values: [this.lease.token() ?? 0],
    })
    if (!own) throw new Fault('store.locked', 'another conductor has taken this database over')
  }

  /** A transaction whose statements may take as long as they need. */
  private long<T>(work: (query: MoveQuery) => Promise<T>): Promise<T> {
    return this.connections.transaction(async (query) => {
      await query({ text: 'SET LOCAL statement_timeout = 0' })
      return work(query)
    })
  }
}

async function writeMark(query: MoveQuery, mark: MoveMark): Promise<void> {
  await query({
    text: 'INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    values: [MARK, JSON.stringify(mark)],
  })
  await query({
    text: 'UPDATE rackward_schema SET oldest = $1',
    values: [isFenced(mark.state) ? FENCE : OLDEST],
  })
}

async function refuseRecords(query: MoveQuery, tables: readonly string[]): Promise<void> {
  const full: string[] = []
  for (const name of tables) {
    const [one] = await query({ text: `SELECT 1 FROM ${name} LIMIT 1` })
    if (one) full.push(name)
  }
  if (full.length > 0)
    throw new Fault(
      'store.migrated',
      `the destination database holds records already (${full.join(', ')}): create an empty database, or name another one`,
    )
}
