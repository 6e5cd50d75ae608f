/** Which of the servers of a database is asked: the one that takes changes, and never one that was the primary before
 *  another one that this process has seen. */
import type pg from 'pg'
import { Fault } from '../../../kit/fault.ts'
import type { Endpoint } from './url.ts'

/** The first eight digits of a file of the write-ahead log: raised by each promotion. */
const ASK = `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS "isReadOnly",
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline`
const STANDBY = 'the database is a read-only standby: connect to the primary'
const OLD =
  'the database server is a former primary: another one was promoted since. Stop it, or make it a standby of the new one'

export class Servers {
  private readonly endpoints: readonly Endpoint[]
  private at = 0
  private timeline = 0

  constructor(endpoints: readonly Endpoint[]) {
    this.endpoints = endpoints
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
    const answer = await client.query<{ isReadOnly: boolean; timeline: string | null }>(ASK)
    const { isReadOnly, timeline } = answer.rows[0] ?? { isReadOnly: false, timeline: null }
    if (isReadOnly && this.count > 1) throw new Fault('store.broken', STANDBY)
    if (timeline === null) return
    const number = Number.parseInt(timeline, 16)
    if (number < this.timeline) throw new Fault('store.broken', OLD)
    this.timeline = number
  }
}
