/** Statements that read the rows of a move in PostgreSQL. */
import type { SqlValue, Statement } from '../postgres/connect.ts'
import { MARK } from './mark.ts'
import type { MovedTable } from './plan.ts'
import type { MovedRow } from './rows.ts'

/** The first event that an owner or a lessee may see, by its number, and not by its place among those that were begun:
 *  none that was hidden is shown, and none that is still to come is hidden. */
const firstSeen = (who: 'owner' | 'lessee') =>
  `greatest(e.${who}_hidden + 1, least(n.${who}_raw, e.${who}_first, c.last + 1)) AS ${who}_seq`

const hiddenAndFirst = (who: 'owner' | 'lessee') =>
  `max(seq) FILTER (WHERE raw < n.${who}_raw) AS ${who}_hidden, min(seq) FILTER (WHERE raw >= n.${who}_raw) AS ${who}_first`

const EVENTS_OF_NODE = `LEFT JOIN LATERAL (SELECT ${hiddenAndFirst('owner')}, ${hiddenAndFirst('lessee')}
  FROM events WHERE node_uuid = n.uuid AND seq IS NOT NULL) AS e ON true`

/** The next rows after `last`, by the key. */
export function selectOf({ name, columns, key, atOnce }: MovedTable, last: MovedRow | undefined): Statement {
  const values: SqlValue[] = last ? key.map((column) => last[column] ?? null) : []
  const wheres = name === 'meta' ? [`n.name <> '${MARK}'`] : []
  const keys = key.map((column) => `n.${column}`).join()
  if (last) wheres.push(`(${keys}) > (${key.map((_, i) => `$${i + 1}`).join()})`)
  else if (name === 'events') wheres.push('n.seq IS NOT NULL')
  const where = wheres.length > 0 ? `WHERE ${wheres.join(' AND ')}` : ''
  const from = name === 'nodes' ? `nodes AS n CROSS JOIN event_counter AS c ${EVENTS_OF_NODE}` : `${name} AS n`
  const selected = columns.map((column) =>
    column === 'owner_seq' ? firstSeen('owner') : column === 'lessee_seq' ? firstSeen('lessee') : `n.${column}`,
  )
  return { text: `SELECT ${selected.join()} FROM ${from} ${where} ORDER BY ${keys} LIMIT ${atOnce}`, values }
}
