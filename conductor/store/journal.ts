/** The journal of everything that happened: rows of one table, read in order, in pieces of a bounded size. */
import { isIn, type SqliteFile, type Where } from './file.ts'
import { readEvent, readSeen, type EventRow, type SeenRow } from './event-rows.ts'
import type { EventFilter, Journal, SeenEvent } from './port.ts'
import { ofProject } from './tables.ts'

/** Events that one scan looks at. Others wait for it a few milliseconds. */
const SCANNED = 5_000

function eventWheres(filter: EventFilter): Where[] {
  const wheres: Where[] = []
  if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
  if (filter.kinds) wheres.push([isIn('kind'), JSON.stringify(filter.kinds)])
  if (filter.project !== undefined) wheres.push(ofProject(filter.project), sinceOfProject(filter.project))
  return wheres
}

/** Not what happened before the node was the project's: to another owner or lessee, or to a node that had the same
 *  UUID. */
const sinceOfProject = (project: string): Where => [
  `EXISTS (SELECT 1 FROM nodes AS own WHERE own.uuid = node_uuid
   AND ((own.owner = ? AND seq >= own.owner_seq) OR (own.lessee = ? AND seq >= own.lessee_seq)))`,
  project,
  project,
]

export function journalTable(file: SqliteFile): Journal {
  /** Rows of `text` with the clauses in the place of `@`. */
  const rows = <R>(text: string, wheres: readonly Where[], limit: number): R[] =>
    file
      .sql<R>(text.replace('@', wheres.map(([clause]) => clause).join(' AND ')))
      .all(...wheres.flatMap(([, ...values]) => values), limit)
  // Also after the last one was forgotten.
  const lastSeq = () =>
    file
      .sql<{ seq: number }>(
        "SELECT max(coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)) AS seq",
      )
      .get()?.seq ?? 0
  return {
    async add(event) {
      await file.write({ what: 'event', nodeUuid: event.nodeUuid }, () => file.addEvent(event))
    },
    async addAll(events) {
      await file.write({ what: 'event' }, () => events.forEach((event) => file.addEvent(event)))
    },
    async ofNode(nodeUuid, limit, only = {}) {
      const { beforeSeq: _, ...filter } = only
      const wheres = eventWheres({ ...filter, nodeUuid })
      if (only.beforeSeq !== undefined) wheres.push(['seq < ?', only.beforeSeq])
      return rows<EventRow>('SELECT * FROM events WHERE @ ORDER BY seq DESC LIMIT ?', wheres, limit).map(readEvent)
    },
    async after(seq, filter, limit) {
      return rows<EventRow>(
        'SELECT * FROM events WHERE @ ORDER BY seq LIMIT ?',
        [['seq > ?', seq], ...eventWheres(filter)],
        limit,
      ).map(readEvent)
    },
    async scan(seq, filter, limit) {
      const last = lastSeq()
      const upTo = Math.min(seq + SCANNED, last)
      const events = rows<SeenRow>(
        `SELECT e.*, n.owner, n.lessee FROM (SELECT * FROM events WHERE @ ORDER BY seq LIMIT ?) AS e
         LEFT JOIN nodes AS n ON n.uuid = e.node_uuid ORDER BY e.seq`,
        [['seq > ?', seq], ['seq <= ?', upTo], ...eventWheres(filter)],
        limit,
      ).map(readSeen)
      const upToSeq = events.length === limit ? (events.at(-1) as SeenEvent).seq : Math.max(seq, upTo)
      return { events, upToSeq, end: upToSeq >= last }
    },
    async one(seq, filter = {}) {
      const [row] = rows<EventRow>(
        'SELECT * FROM events WHERE @ LIMIT ?',
        [['seq = ?', seq], ...eventWheres(filter)],
        1,
      )
      return row && readEvent(row)
    },
    async lastSeq() {
      return lastSeq()
    },
    watch: (listener) => file.watch(listener),
    async durations(model, state) {
      return file.durations.of(model, state)
    },
    async prune(beforeMs, limit) {
      return file.write({ what: 'event' }, () => {
        const durations = file.durations.prune(limit)
        const { changes } = file
          .sql('DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ? LIMIT ?)')
          .run(beforeMs, limit)
        return Math.max(changes, durations)
      })
    },
    async cursor(name) {
      return file.sql<{ seq: number }>('SELECT seq FROM cursors WHERE name = ?').get(name)?.seq
    },
    async setCursor(name, seq) {
      await file.write({ what: 'cursor' }, () =>
        file.sql('INSERT OR REPLACE INTO cursors (name, seq) VALUES (?, ?)').run(name, seq),
      )
    },
  }
}
