/** The journal in PostgreSQL: rows that have a number, read in order, in pieces of a bounded size. */
import type { DurationLimits } from '../durations.ts'
import { readEvent, readSeen, type EventRow, type SeenRow } from '../event-rows.ts'
import type { EventFilter, EventRecord, Journal, NewEvent, WatchOlder } from '../port.ts'
import type { Changes } from './changes.ts'
import type { Connections } from './connect.ts'
import { numbered, type PgWhere } from './listing.ts'
import type { Numbering } from './numbering.ts'
import { eventWheres } from './wheres.ts'

/** Events that one scan looks at. */
const SCANNED = 5_000
const COLUMNS = 'seq, at, node_uuid, kind, detail'

interface JournalParts {
  readonly connections: Connections
  readonly changes: Changes
  readonly numbering: Numbering
  readonly limits: DurationLimits
}

export class PostgresJournal implements Journal {
  private readonly parts: JournalParts

  constructor(parts: JournalParts) {
    this.parts = parts
  }

  add = (event: NewEvent): Promise<void> => this.note([event], event.nodeUuid)
  addAll = (events: readonly NewEvent[]): Promise<void> => this.note(events, null)

  async ofNode(
    nodeUuid: string,
    limit: number,
    only: Pick<EventFilter, 'kinds' | 'project'> & { beforeSeq?: number } = {},
  ): Promise<EventRecord[]> {
    const { beforeSeq, ...filter } = only
    const wheres = [HAS_SEQ, ...eventWheres({ ...filter, nodeUuid })]
    if (beforeSeq !== undefined) wheres.push(['seq < ?', beforeSeq])
    return (await this.rows<EventRow>(wheres, `ORDER BY seq DESC LIMIT ${limit}`)).map(readEvent)
  }

  async after(seq: number, filter: EventFilter, limit: number): Promise<EventRecord[]> {
    const wheres: PgWhere[] = [['seq > ?', seq], ...eventWheres(filter)]
    return (await this.rows<EventRow>(wheres, `ORDER BY seq LIMIT ${limit}`)).map(readEvent)
  }

  async scan(seq: number, filter: EventFilter, limit: number) {
    const last = await this.lastSeq()
    const upTo = Math.min(seq + SCANNED, last)
    const { text, values } = numbered([['seq > ?', seq], ['seq <= ?', upTo], ...eventWheres(filter)])
    const rows = await this.parts.connections.rows<SeenRow>({
      text: `SELECT e.*, n.owner, n.lessee FROM (SELECT ${COLUMNS} FROM events ${text} ORDER BY seq LIMIT ${limit}) AS e
        LEFT JOIN nodes AS n ON n.uuid = e.node_uuid ORDER BY e.seq`,
      values,
    })
    const events = rows.map(readSeen)
    const upToSeq = events.length === limit ? (events.at(-1)?.seq ?? upTo) : Math.max(seq, upTo)
    return { events, upToSeq, end: upToSeq >= last }
  }

  async one(seq: number, filter: EventFilter = {}): Promise<EventRecord | undefined> {
    const [row] = await this.rows<EventRow>([['seq = ?', seq], ...eventWheres(filter)], 'LIMIT 1')
    return row && readEvent(row)
  }

  async lastSeq(): Promise<number> {
    await this.parts.numbering.settled()
    const [row] = await this.parts.connections.rows<{ last: number }>({
      name: 'last event',
      text: 'SELECT last FROM event_counter',
    })
    return row?.last ?? 0
  }

  watch = (listener: (upToSeq: number) => void, older?: WatchOlder): (() => void) =>
    this.parts.numbering.watch(listener, older)

  async durations(model: string, state: string): Promise<number[]> {
    const rows = await this.parts.connections.rows<{ took: number }>({
      name: 'durations',
      text: 'SELECT took_ms AS took FROM durations WHERE model = $1 AND state = $2 ORDER BY id DESC LIMIT $3',
      values: [model, state, this.parts.limits.durations],
    })
    return rows.map(({ took }) => took)
  }

  async prune(beforeMs: number, limit: number): Promise<number> {
    const { changes, limits } = this.parts
    const { rows } = await changes.make({
      what: 'event',
      name: 'events prune',
      text: `DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq IS NOT NULL AND at < $1 LIMIT $2)
        RETURNING 1`,
      values: [beforeMs, limit],
    })
    const many = await changes.make({
      what: 'duration',
      name: 'durations prune',
      text: `DELETE FROM durations WHERE id IN (SELECT id FROM (SELECT id,
        row_number() OVER (PARTITION BY model, state ORDER BY id DESC) AS place, row_number() OVER (ORDER BY id DESC) AS age
        FROM durations) AS aged WHERE place > $1 OR age > $2 ORDER BY id LIMIT $3) RETURNING 1`,
      values: [limits.durations, limits.durationsInAll, limit],
    })
    return Math.max(rows, many.rows)
  }

  async cursor(name: string): Promise<number | undefined> {
    const [row] = await this.parts.connections.rows<{ seq: number }>({
      text: 'SELECT seq FROM cursors WHERE name = $1',
      values: [name],
    })
    return row?.seq
  }

  async setCursor(name: string, seq: number): Promise<void> {
    await this.parts.changes.make({
      what: 'cursor',
      name: 'cursor set',
      text: `INSERT INTO cursors (name, seq) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq
        RETURNING 1`,
      values: [name, seq],
    })
  }

  private async note(events: readonly NewEvent[], nodeUuid: string | null): Promise<void> {
    await this.parts.changes.make({ what: 'event', nodeUuid, name: 'events add', text: 'SELECT 1', values: [], events })
  }

  private async rows<R extends EventRow>(wheres: readonly PgWhere[], order: string): Promise<R[]> {
    await this.parts.numbering.settled()
    const { text, values } = numbered(wheres)
    return this.parts.connections.rows<R>({ text: `SELECT ${COLUMNS} FROM events ${text} ${order}`, values })
  }
}

const HAS_SEQ: PgWhere = ['seq IS NOT NULL']
