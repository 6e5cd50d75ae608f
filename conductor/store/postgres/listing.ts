/** Lists in pages in PostgreSQL: key-set paging, in the same order as in SQLite. What has no value comes first. */
import { Fault } from '../../../kit/fault.ts'
import type { Page } from '../port.ts'
import type { Connections, SqlValue } from './connect.ts'

/** A clause, and the values of its question marks. */
export type PgWhere = readonly [clause: string, ...values: SqlValue[]]

export interface PgListing {
  readonly table: 'nodes' | 'ports' | 'objects'
  readonly columns: string
  /** What the table holds, for messages. */
  readonly what: string
  readonly wheres: readonly PgWhere[]
  /** What the asker may see at all: a marker beyond it does not exist. */
  readonly within: readonly PgWhere[]
  readonly page: Page
  /** What it may be sorted by: a column or an expression for each name. */
  readonly sorts: Readonly<Record<string, string>>
}

interface Marker {
  readonly id: number
  readonly value: SqlValue
}

/** A page of records that can be read: what cannot does not make the page shorter, which would end the list for who
 *  asked. */
export async function listWhole<R extends { readonly uuid: string }, T>(
  connections: Connections,
  listing: PgListing,
  read: (rows: readonly R[]) => T[],
): Promise<T[]> {
  const whole: T[] = []
  let { page } = listing
  for (;;) {
    const rows = await listRows<R>(connections, { ...listing, page })
    whole.push(...read(rows))
    const last = rows.at(-1)
    if (rows.length < page.limit || whole.length >= listing.page.limit || !last) return whole
    page = { ...page, limit: listing.page.limit - whole.length, marker: last.uuid }
  }
}

async function listRows<R>(connections: Connections, listing: PgListing): Promise<R[]> {
  const { table, columns, wheres, within, page } = listing
  const by = sortOf(listing)
  const rows: R[] = []
  for (const { of, order } of stretchesOf(by, page, await markerOf(connections, listing, by))) {
    const limit = page.limit - rows.length
    if (limit === 0) break
    const { text, values } = numbered([...within, ...wheres, ...of])
    const statement = `SELECT ${columns} FROM ${table} ${text} ORDER BY ${order} LIMIT ${limit}`
    rows.push(...(await connections.rows<R>({ text: statement, values })))
  }
  return rows
}

function sortOf({ sorts, page, what }: PgListing): string {
  const by = Object.hasOwn(sorts, page.sortKey) ? sorts[page.sortKey] : undefined
  if (by !== undefined) return by
  throw new Fault(
    'input.invalid',
    `sort_key: ${what}s cannot be sorted by ${JSON.stringify(page.sortKey.slice(0, 64))}; use one of ${Object.keys(sorts).join(', ')}`,
  )
}

async function markerOf(connections: Connections, listing: PgListing, by: string): Promise<Marker | undefined> {
  const { table, what, within, page } = listing
  const { marker } = page
  if (marker === undefined) return undefined
  const { text, values } = numbered([['uuid = ?', marker.toLowerCase()], ...within])
  const [found] = await connections.rows<Marker>({ text: `SELECT id, ${by} AS value FROM ${table} ${text}`, values })
  if (!found) throw new Fault('object.missing', `marker: there is no ${what} ${JSON.stringify(marker.slice(0, 64))}`)
  return found
}

interface PgStretch {
  readonly of: readonly PgWhere[]
  readonly order: string
}

/** What comes after the marker, in order: each stretch is a range of an index. */
function stretchesOf(by: string, { descending }: Page, marker: Marker | undefined): PgStretch[] {
  const [sign, direction, nulls] = descending ? ['<', 'DESC', 'NULLS LAST'] : ['>', 'ASC', 'NULLS FIRST']
  const byAge = `id ${direction}`
  if (by === 'id') return [{ of: marker ? [[`id ${sign} ?`, marker.id]] : [], order: byAge }]

  const order = `${by} ${direction} ${nulls}, ${byAge}`
  if (!marker) return [{ of: [], order }]
  const { id, value } = marker
  if (value === null) {
    const rest: PgStretch = { of: [[`${by} IS NULL`], [`id ${sign} ?`, id]], order: byAge }
    return descending ? [rest] : [rest, { of: [[`${by} IS NOT NULL`]], order }]
  }
  const rest: PgStretch = { of: [[`(${by}, id) ${sign} (?, ?)`, value, id]], order }
  return descending ? [rest, { of: [[`${by} IS NULL`]], order: byAge }] : [rest]
}

/** The clauses as one text, with numbers for their question marks. */
export function numbered(wheres: readonly PgWhere[], first = 1): { text: string; values: SqlValue[] } {
  let next = first
  const clauses = wheres.map(([clause]) => clause.replaceAll('?', () => `$${next++}`))
  return {
    text: clauses.length === 0 ? '' : `WHERE ${clauses.join(' AND ')}`,
    values: wheres.flatMap(([, ...values]) => values),
  }
}
