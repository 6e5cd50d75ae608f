/** Lists in pages: key-set paging along an index, so that a page reads the rows that it shows, and not the table. What has no value comes first. */
import { Fault } from '../../kit/fault.ts'
import type { Page } from './port.ts'
import type { Sql, Value } from './statements.ts'

/** A clause, and the values of its marks. One that begins with a plus is never looked up by an index. */
export type Where = readonly [clause: string, ...values: Value[]]

/** What a list may be sorted by. */
export interface Sort {
  /** A column, or an expression. */
  readonly by: string
  /** Has its values in order, and the rows of each value in the order of `id`. Undefined: the rows of the table themselves. */
  readonly index: string | undefined
  readonly isColumn: boolean
}

export type Sorts = Readonly<Record<string, Sort>>

export interface Listing {
  readonly table: 'nodes' | 'ports' | 'objects'
  readonly columns: string
  /** What the table holds, for messages. */
  readonly what: string
  /** Rows of the table that stand in indexes of their own. */
  readonly part?: Where
  readonly wheres: readonly Where[]
  /** What the asker may see at all: a marker beyond it does not exist. */
  readonly within?: readonly Where[]
  readonly page: Page
  readonly sorts: Sorts
}

/** Filters that leave no more rows than this are looked up by their own index, and what they leave is sorted. Others pick rows along the index of the order. */
const FEW = 500

/** A column that has an index, or the rows of the table. */
export const byColumn = (by: string, index: string | undefined): Sort => ({ by, index, isColumn: true })

export function listRows<R>(sql: Sql, listing: Listing): R[] {
  const { table, columns, part, wheres, within = [], page } = listing
  const sort = sortOf(listing)
  const stretches = page.marker === undefined ? [WHOLE] : beyond(sort, page, markerRow(sql, listing, sort))
  const chosen = [...(part ? [part] : []), ...within, ...wheres]
  const from = `${table} ${along(sql, listing, sort)}`
  const direction = page.descending ? 'DESC' : 'ASC'

  const rows: R[] = []
  for (const { of, oneValue } of stretches) {
    if (rows.length === page.limit) break
    const all = [...chosen, ...of]
    // SQLite does not see that an expression has one value, and would sort.
    const byId = sort.by === 'id' || (oneValue && !sort.isColumn)
    const order = byId ? `id ${direction}` : `${sort.by} ${direction}, id ${direction}`
    const text = `SELECT ${columns} FROM ${from} ${whereText(all)} ORDER BY ${order} LIMIT ?`
    rows.push(...sql<R>(text).all(...valuesOf(all), page.limit - rows.length))
  }
  return rows
}

function sortOf({ sorts, page, what }: Listing): Sort {
  const sort = Object.hasOwn(sorts, page.sortKey) ? sorts[page.sortKey] : undefined
  if (sort) return sort
  throw new Fault(
    'input.invalid',
    `sort_key: ${what}s cannot be sorted by ${JSON.stringify(page.sortKey.slice(0, 64))}; use one of ${Object.keys(sorts).join(', ')}`,
  )
}

interface MarkerRow {
  readonly id: number
  readonly value: Value
}

function markerRow(sql: Sql, { table, what, part, within = [], page }: Listing, sort: Sort): MarkerRow {
  const { marker = '' } = page
  const visible: Where[] = [...(part ? [part] : []), ['uuid = ?', marker.toLowerCase()], ...within]
  const found = sql<MarkerRow>(`SELECT id, ${sort.by} AS value FROM ${table} ${whereText(visible)}`).get(
    ...valuesOf(visible),
  )
  if (!found) throw new Fault('object.missing', `marker: there is no ${what} ${JSON.stringify(marker.slice(0, 64))}`)
  return found
}

/** Rows that stand together in the index. */
interface Stretch {
  readonly of: readonly Where[]
  /** They have the same value. */
  readonly oneValue: boolean
}

const WHOLE: Stretch = { of: [], oneValue: false }

/** What comes after the marker, in order. One comparison of both, value and id, would read every row that has the marker's value. */
function beyond(sort: Sort, { descending }: Page, { id, value }: MarkerRow): Stretch[] {
  const sign = descending ? '<' : '>'
  if (sort.by === 'id') return [{ of: [[`id ${sign} ?`, id]], oneValue: true }]
  const same: Where[] =
    value === null
      ? [[`${sort.by} IS NULL`], [`id ${sign} ?`, id]]
      : [
          [`${sort.by} = ?`, value],
          [`id ${sign} ?`, id],
        ]
  const rest = { of: same, oneValue: true }
  if (value === null) return descending ? [rest] : [rest, { of: [[isSet(sort)]], oneValue: false }]
  const others = { of: [[`${sort.by} ${sign} ?`, value] as const], oneValue: false }
  return descending ? [rest, others, { of: [[`${sort.by} IS NULL`]], oneValue: true }] : [rest, others]
}

/** Where it has a value, as a range of its index. An expression has numbers and texts, and none of them is less than minus infinity. */
const isSet = ({ by, isColumn }: Sort): string => (isColumn ? `${by} IS NOT NULL` : `${by} >= -9e999`)

/** Which index the rows are read along; empty: what the filters find is little, or stands in the wanted order by itself. */
function along(sql: Sql, { table, part, wheres, within = [] }: Listing, sort: Sort): string {
  const narrowing = [...within, ...wheres].filter(([clause]) => !clause.startsWith('+'))
  const ordered = sort.index === undefined ? '' : `INDEXED BY ${sort.index}`
  if (narrowing.length === 0) return ordered
  const all = [...(part ? [part] : []), ...narrowing]
  const { count } = sql<{ count: number }>(
    `SELECT count(*) AS count FROM (SELECT 1 FROM ${table} ${whereText(all)} LIMIT ${FEW + 1})`,
  ).get(...valuesOf(all)) as { count: number }
  if (count <= FEW) return ''
  // The rows of one value of an index are in the order of id.
  if (sort.by === 'id' && narrowing.some(([clause]) => /^\w+ = \?$/.test(clause))) return ''
  return ordered === '' ? 'NOT INDEXED' : ordered
}

const whereText = (wheres: readonly Where[]): string =>
  wheres.length === 0 ? '' : `WHERE ${wheres.map(([clause]) => clause).join(' AND ')}`

const valuesOf = (wheres: readonly Where[]): Value[] => wheres.flatMap(([, ...values]) => values)
