/** Connections to PostgreSQL: a pool whose every wait is bounded, and what the errors of the server mean. */
import pg from 'pg'
import { isFault } from '../../../kit/fault.ts'
import { faultOf, isRefusal } from './server-faults.ts'

export interface PostgresOptions {
  readonly url: string
  readonly password?: string | undefined
  /** Undefined: no TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined
  readonly connections: number
}

export type SqlValue = string | number | boolean | null | Buffer | readonly (string | number | null)[]

export interface Statement {
  /** Prepared once per connection under this name. Absent: parsed each time. */
  readonly name?: string
  readonly text: string
  readonly values?: readonly SqlValue[]
  /** How long an answer is waited for; absent: as long as for a request. */
  readonly timeoutMs?: number
}

export type SqlAnswer<R> = pg.QueryResult<R & pg.QueryResultRow>

const CONNECT_MS = 5_000
/** The server gives up first; a server that hangs says nothing. */
const STATEMENT_MS = 10_000
const QUERY_MS = 12_000
const LOCK_MS = 5_000
/** A conductor that is stopped in the middle of a transaction holds up nobody for longer. */
const IDLE_IN_TRANSACTION_MS = 5_000
const INT8 = 20

const asNumbers: pg.CustomTypesConfig = {
  // Times and numbers of events are far below 2 ** 53.
  getTypeParser: (id, format) =>
    Number(id) === INT8 ? (text: unknown) => Number(text) : (pg.types.getTypeParser(id, format) as never),
}

export class Connections {
  private readonly pool: pg.Pool
  private readonly config: pg.ClientConfig
  /** Why the last statement failed although it was right; undefined: it did not. */
  failed: string | undefined
  /** The same of the last change: a server whose disk is full still answers questions. */
  changeFailed: string | undefined

  constructor({ url, password, tls, connections }: PostgresOptions) {
    this.config = {
      ...endpointOf(url),
      ...(password === undefined ? {} : { password }),
      ssl: tls ? { rejectUnauthorized: true, ...tls } : false,
      application_name: 'rackward',
      connectionTimeoutMillis: CONNECT_MS,
      statement_timeout: STATEMENT_MS,
      query_timeout: QUERY_MS,
      lock_timeout: LOCK_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
      types: asNumbers,
    }
    this.pool = new pg.Pool({ ...this.config, max: connections })
    // A connection that breaks while it rests is replaced when one is needed; one that breaks at work fails the
    // statement, and tells of it once more here.
    this.pool.on('error', () => undefined)
    this.pool.on('connect', (client) => client.on('error', () => undefined))
  }

  /** Throws `store.broken`, `store.locked`, `store.moved`, `object.conflict` or `input.invalid`. */
  async query<R>(statement: Statement, what = 'a record'): Promise<SqlAnswer<R>> {
    try {
      const answer = await this.onOne((client) => client.query<R & pg.QueryResultRow>(queryOf(statement)))
      this.failed = undefined
      return answer
    } catch (error) {
      const fault = faultOf(error, what)
      if (fault.code === 'store.broken') this.failed = fault.detail
      throw fault
    }
  }

  rows = async <R>(statement: Statement): Promise<R[]> => (await this.query<R>(statement)).rows

  /** All statements on one connection, in one transaction. */
  async transaction<T>(work: (query: <R>(statement: Statement) => Promise<R[]>) => Promise<T>): Promise<T> {
    try {
      return await this.onOne(async (client) => {
        await client.query('BEGIN')
        try {
          const result = await work(async (statement) => (await client.query(queryOf(statement))).rows as never)
          await client.query('COMMIT')
          return result
        } catch (error) {
          await client.query('ROLLBACK')
          throw error
        }
      })
    } catch (error) {
      throw faultOf(error, 'a record')
    }
  }

  /** One beside the pool, so that a full pool does not make it wait. The caller ends it. */
  async alone(onEnd: () => void): Promise<pg.Client> {
    const client = new pg.Client(this.config)
    client.on('error', onEnd)
    client.on('end', onEnd)
    try {
      await client.connect()
      return client
    } catch (error) {
      await client.end().catch(() => undefined)
      throw faultOf(error, 'a record')
    }
  }

  close = (): Promise<void> => this.pool.end()

  /** What the server refused leaves the connection as it was; anything else makes it useless. */
  private async onOne<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect()
    let broken: Error | undefined
    try {
      return await work(client)
    } catch (error) {
      if (!isFault(error) && !isRefusal(error)) broken = error as Error
      throw error
    } finally {
      client.release(broken)
    }
  }
}

/** Not as `connectionString`: what that leaves out, such as the password, it would set to nothing. */
function endpointOf(text: string): pg.ClientConfig {
  const { hostname, port, username, pathname, searchParams } = new URL(text)
  const given = {
    host: searchParams.get('host') ?? hostname.replace(/^\[|\]$/g, ''),
    port: searchParams.get('port') ?? port,
    user: searchParams.get('user') ?? decodeURIComponent(username),
    database: decodeURIComponent(pathname.slice(1)),
  }
  const named = Object.entries(given).filter(([, value]) => value !== '')
  return Object.fromEntries(named.map(([name, value]) => [name, name === 'port' ? Number(value) : value]))
}

const queryOf = ({ name, text, values = [], timeoutMs }: Statement): pg.QueryConfig & { query_timeout?: number } => ({
  ...(name === undefined ? {} : { name }),
  ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }),
  text,
  values: [...values],
})
