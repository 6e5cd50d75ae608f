/** Connections to PostgreSQL: a pool whose every wait is bounded, and what the errors of the server mean. */
import pg from 'pg'
import { Fault, isFault } from '../../../kit/fault.ts'
import { faultOf, isRefusal } from './server-faults.ts'
import { Servers } from './servers.ts'
import type { Timelines } from './timeline.ts'
import { databaseUrl } from './url.ts'

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

/** Of the pool's own wait for one of its connections, which says nothing of the server. */
const POOL_IS_FULL = 'timeout exceeded when trying to connect'

/** To the server that is asked at the moment when it is made. */
interface OnServer {
  readonly server: number
}

export class Connections {
  private readonly pool: pg.Pool
  private readonly config: pg.ClientConfig
  private readonly servers: Servers
  /** Why the last statement failed although it was right; undefined: it did not. */
  failed: string | undefined
  /** The same of the last change: a server whose disk is full still answers questions. */
  changeFailed: string | undefined
  /** Of a connection of the pool that was just made, before it is used. */
  onMade: (client: Pick<pg.ClientBase, 'query'>) => Promise<void> = async () => undefined

  /** `servers`: shared by those of one store. */
  constructor({ url, password, tls, connections }: PostgresOptions, servers = serversOf(url)) {
    this.servers = servers
    const { user, database } = databaseUrl(url)
    this.config = {
      ...(user === undefined ? {} : { user }),
      database,
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
    const Client = clientOf(this.config, servers)
    this.pool = new pg.Pool({
      ...this.config,
      max: connections,
      Client,
      verify: (client, done) =>
        void servers
          .prove(client)
          .then(() => this.onMade(client))
          .then(() => done(), done),
    })
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
  alone(onEnd: () => void): Promise<pg.Client> {
    return this.atPrimary(async () => {
      const client = new (clientOf(this.config, this.servers))()
      client.on('error', () => undefined)
      try {
        await client.connect()
        await this.servers.prove(client)
        client.on('error', onEnd)
        client.on('end', onEnd)
        return client
      } catch (error) {
        client.end().catch(() => undefined)
        throw error
      }
    }).catch((error: unknown) => {
      throw faultOf(error, 'a record')
    })
  }

  /** Whether a connection made by `alone` leads to the server that is asked now. */
  isCurrent = (client: pg.Client): boolean => (client as pg.Client & OnServer).server === this.servers.current

  close = (): Promise<void> => this.pool.end()

  /** What the server refused leaves the connection as it was; anything else makes it useless. */
  private async onOne<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pooled()
    let broken: Error | undefined
    try {
      return await work(client)
    } catch (error) {
      if (!isFault(error) && !isRefusal(error)) broken = error as Error
      throw error
    } finally {
      if (broken) this.servers.failed(client.server)
      client.release(broken)
    }
  }

  /** Connections to a server that is not asked any more are closed. */
  private async pooled(): Promise<pg.PoolClient & OnServer> {
    for (;;) {
      const client = (await this.atPrimary(() => this.pool.connect())) as pg.PoolClient & OnServer
      if (client.server === this.servers.current) return client
      client.release(true)
    }
  }

  /** Connects to the server that is asked, or to the next ones, each once. */
  private async atPrimary<T>(connect: () => Promise<T>): Promise<T> {
    const { servers } = this
    const failures = []
    for (;;) {
      const number = servers.current
      try {
        return await connect()
      } catch (error) {
        if (servers.count === 1 || (error as Error).message === POOL_IS_FULL) throw error
        servers.failed(number)
        failures.push(`${servers.nameOf(number)}: ${faultOf(error, 'a record').detail}`)
        if (failures.length < servers.count) continue
        throw new Fault('store.broken', `no server of store.postgres.url takes changes: ${failures.join('; ')}`, {
          cause: error,
        })
      }
    }
  }
}

export const serversOf = (url: string, timelines?: Timelines): Servers =>
  new Servers(databaseUrl(url).endpoints, timelines)

/** What the pool makes. Its own parameter has no password that could be copied. */
const clientOf = (config: pg.ClientConfig, servers: Servers): new () => pg.Client =>
  class extends pg.Client implements OnServer {
    readonly server = servers.current

    constructor() {
      super({ ...config, ...servers.endpoint })
    }
  }

const queryOf = ({ name, text, values = [], timeoutMs }: Statement): pg.QueryConfig & { query_timeout?: number } => ({
  ...(name === undefined ? {} : { name }),
  ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }),
  text,
  values: [...values],
})
