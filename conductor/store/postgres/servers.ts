/** Which of the servers of a database is asked: the one that takes changes, and never one that was the primary before
 *  another one that this conductor has seen. */
import type pg from 'pg'
import { Fault } from '../../../kit/fault.ts'
import { Timelines } from './timeline.ts'
import type { Endpoint } from './url.ts'

/** The first eight digits of a file of the write-ahead log: raised by each promotion. */
const ask = (
  system: string,
) => `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS "isReadOnly",
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
  ${system} AS system`
const SYSTEM = '(SELECT system_identifier::text FROM pg_control_system())'
/** Some sites take the right to call that function away from everybody. */
const REFUSED = '42501'
const STANDBY = 'the database is a read-only standby: connect to the primary'

interface ServerState {
  readonly isReadOnly: boolean
  readonly timeline: string | null
  readonly system: string | null
}

export class Servers {
  private readonly endpoints: readonly Endpoint[]
  private at = 0
  private readonly timelines: Timelines

  constructor(endpoints: readonly Endpoint[], timelines = new Timelines()) {
    this.endpoints = endpoints
    this.timelines = timelines
  }

  get count(): number {
    return this.endpoints.length
  }

  /** Number of the one that is asked now. */
  get current(): number {
    return this.at
  }

  /** Where that is. */
  get endpoint(): Endpoint {
    return this.endpoints[this.at] ?? {}
  }

  /** From now on the next one is asked; unless that was said of this one before. */
  failed(number: number): void {
    if (number === this.at) this.at = (number + 1) % this.count
  }

  nameOf(number: number): string {
    const { host = 'localhost', port } = this.endpoints[number] ?? {}
    return port === undefined ? host : `${host}:${port}`
  }

  /** Of a connection that was just made. Throws `store.broken` when this server takes no changes that last. Where there
   *  is only one, whoever opens the store says more of it. */
  async prove(client: Pick<pg.ClientBase, 'query'>): Promise<void> {
    const answer = await client.query<ServerState>(ask(SYSTEM)).catch((error: { code?: string }) => {
      if (error.code !== REFUSED) throw error
      return client.query<ServerState>(ask('NULL'))
    })
    const { isReadOnly, timeline, system } = answer.rows[0] ?? { isReadOnly: false, timeline: null, system: null }
    if (isReadOnly && this.count > 1) throw new Fault('store.broken', STANDBY)
    if (timeline === null) return
    await this.timelines.take({ system, number: Number.parseInt(timeline, 16) })
  }
}
