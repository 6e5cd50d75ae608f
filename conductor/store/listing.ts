/** Lists in pages: key-set paging along an index, so that a page reads the rows that it shows, and not the table. What
 *  has no value comes first. */
import { Fault } from '../../kit/fault.ts'
import type { Page } from './port.ts'
import type { Sql, Value } from './statements.ts'

/** A clause, and the values of its marks. One that begins with a plus is never looked up by an index. */
export type Where = readonly [clause: string, ...values: Value[]]

/** What a list may be sorted by. */
export interface Sort {
  /** A column, or an expression. */
  readonly by: string
  /** Has its values in order, and the rows of each value in the order of `id`. Undefined: the rows of the table
   *  themselves. */
  readonly index: string | undefined
  readonly isColumn: boolean
  /** Rows without a value do not stand in the index: they cost no page of it when they are written, and are most. */
  readonly sparse: boolean
}

export type Sorts = Readonly<Record<string, Sort>>

export interface Listing {
  readonly table: 'nodes' | 'ports' | 'objects'
  readonly columns: string
  /** What the table holds, for messages. */
  readonly what: string
  /** Rows of the table that stand in indexes of their own. */
  readonly part?: Where
  /** A small index that has all rows. */
  readonly everyRow: string
  readonly wheres: readonly Where[]
  /** What the asker may see at all: a marker beyond it does not exist. */
  readonly within?: readonly Where[]
  readonly page: Page
  readonly sorts: Sorts
}

/** Filters that leave no more rows than this are looked up by their own index, and what they leave is sorted. Others
 *  pick rows along the index of the order. */
const FEW = 500
/** Rows without a value are looked for among so many of the table first. */
const WINDOW = 2_000

/** A column that has an index, or the rows of the table. */
export const byColumn = (by: string, index: string | undefined): Sort => ({ by, index, isColumn: true, sparse: false })

/** A column that most rows have no value in. */
export const byRare = (by: string, index: string): Sort => ({ by, index, isColumn: true, sparse: true })

/** Seldom true: false counts as no value. */
export const byFlag = (name: string, index: string): Sort => ({ ...byRare(isTrue(name), index), isColumn: false })
export const isTrue = (name: string): string => `nullif(${name}, 0)`

export function listRows<R>(sql: Sql, listing: Listing): R[] {
  const { table, columns, page } = listing
  const sort = sortOf(listing)
  const index = along(sql, listing, sort)
  const forced = index !== ''
  const read = (from: string, wheres: readonly Where[], how: { order: string; limit: number }): R[] => {
    const all = [...chosenOf(listing), ...wheres]
    const text = `SELECT ${columns} FROM ${from} ${whereText(all)} ORDER BY ${how.order} LIMIT ?`
    return sql<R>(text).all(...valuesOf(all), how.limit)
  }

  const direction = page.descending ? 'DESC' : 'ASC'
  const rows: R[] = []
  for (const { of, kind } of stretchesOf(sort, page, markerRow(sql, listing, sort))) {
    const limit = page.limit - rows.length
    if (limit === 0) break
    // SQLite does not see that an expression has one value, and would sort.
    const byId = sort.by === 'id' || (kind !== 'many values' && !sort.isColumn)
    const how = { order: byId ? `id ${direction}` : `${sort.by} ${direction}, id ${direction}`, limit }
    if (kind !== 'none' || !sort.sparse || !forced) rows.push(...read(`${table} ${index}`, of, how))
    else {
      const { near, all } = withoutValue(sql, listing, { sort, of })
      const byAge = { order: `id ${direction}`, limit }
      const found = read(`${table} NOT INDEXED`, near, byAge)
      rows.push(...(all && found.length < limit ? read(`${table} NOT INDEXED`, all, byAge) : found))
    }
  }
  return rows
}

const chosenOf = ({ part, within = [], wheres }: Listing): Where[] => [...(part ? [part] : []), ...within, ...wheres]

/** Rows without a value, which no index has: they are most, so those near by are enough; where they are few, they are
 *  what the small index has and that of the values has not. Absent: not needed. */
function withoutValue(
  sql: Sql,
  { table, part, everyRow, page }: Listing,
  { sort, of }: { sort: Sort; of: readonly Where[] },
): { near: readonly Where[]; all: readonly Where[] | undefined } {
  const ends = sql<{ first: number | null; last: number | null }>(
    `SELECT (SELECT min(id) FROM ${table}) AS first, (SELECT max(id) FROM ${table}) AS last`,
  ).get()
  const first = ends?.first ?? 0
  const last = ends?.last ?? 0
  const marker = of.find(([clause]) => clause.startsWith('id '))?.[1]
  const fromId = typeof marker === 'number' ? marker : page.descending ? last + 1 : first - 1
  const toId = page.descending ? fromId - WINDOW : fromId + WINDOW
  const near: Where[] = [...of, page.descending ? ['id >= ?', toId] : ['id <= ?', toId]]
  if (page.descending ? toId <= first : toId >= last) return { near, all: undefined }

  const parts = part ? [part] : []
  const beyond: Where = page.descending ? ['id < ?', fromId] : ['id > ?', fromId]
  const text =
    `id IN (SELECT id FROM ${table} INDEXED BY ${everyRow} ${whereText([...parts, beyond])} ` +
    `EXCEPT SELECT id FROM ${table} INDEXED BY ${sort.index} ${whereText([...parts, [isSet(sort)]])})`
  return { near, all: [[text, ...valuesOf([...parts, beyond]), ...valuesOf(parts)]] }
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

function markerRow(sql: Sql, { table, what, part, within = [], page }: Listing, sort: Sort): MarkerRow | undefined {
  const { marker } = page
  if (marker === undefined) return undefined
  const visible: Where[] = [...(part ? [part] : []), ['uuid = ?', marker.toLowerCase()], ...within]
  const found = sql<MarkerRow>(`SELECT id, ${sort.by} AS value FROM ${table} ${whereText(visible)}`).get(
    ...valuesOf(visible),
  )
  if (!found) throw new Fault('object.missing', `marker: there is no ${what} ${JSON.stringify(marker.slice(0, 64))}`)
  return found
}

/** Rows that stand together in the index, or in none because they have no value. */
interface Stretch {
  readonly of: readonly Where[]
  readonly kind: 'many values' | 'one value' | 'none'
}

/** What comes after the marker, in order. One comparison of both, value and id, would read every row that has the
 *  marker's value. */
function stretchesOf(sort: Sort, { descending }: Page, marker: MarkerRow | undefined): Stretch[] {
  const sign = descending ? '<' : '>'
  if (sort.by === 'id') return [{ of: marker ? [[`id ${sign} ?`, marker.id]] : [], kind: 'one value' }]
  const inOrder = (list: Stretch[]) => (descending ? list.reverse() : list)
  const none: Stretch = { of: [[`${sort.by} IS NULL`]], kind: 'none' }
  const set: Stretch = { of: [[isSet(sort)]], kind: 'many values' }
  if (!marker) return sort.sparse ? inOrder([none, set]) : [{ of: [], kind: 'many values' }]

  const { id, value } = marker
  const beyond: Where = [`id ${sign} ?`, id]
  if (value === null) {
    const rest: Stretch = { ...none, of: [...none.of, beyond] }
    return descending ? [rest] : [rest, set]
  }
  const rest: Stretch = { of: [[`${sort.by} = ?`, value], beyond], kind: 'one value' }
  const others: Stretch = { of: [[`${sort.by} ${sign} ?`, value]], kind: 'many values' }
  return descending ? [rest, others, none] : [rest, others]
}

/** Where it has a value, as a range of its index. An expression has numbers and texts, and none of them is less than
 *  minus infinity. */
const isSet = ({ by, isColumn }: Sort): string => (isColumn ? `${by} IS NOT NULL` : `${by} >= -9e999`)

/** Which index the rows are read along; empty: what the filters find is little, or stands in the wanted order by
 *  itself. */
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
