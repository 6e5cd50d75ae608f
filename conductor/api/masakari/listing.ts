/** Lists of Masakari's API: sorted, from a marker on, up to a limit. They are small, and made in memory. */
import { Fault } from '../../../kit/fault.ts'
import type { Query } from '../route.ts'

const MAX_LIMIT = 1_000

export const LIST_QUERY = { limit: 0, marker: 0, sort_key: 0, sort_dir: 0 } as const

type ListRow = Readonly<Record<string, unknown>>

/** `ident`: the field that a marker names. */
export function pageOf<T extends ListRow>(rows: readonly T[], query: Query, ident: 'uuid' | 'notification_uuid'): T[] {
  const key = query.text('sort_key') ?? 'created_at'
  const direction = query.text('sort_dir') ?? 'desc'
  if (direction !== 'asc' && direction !== 'desc')
    throw new Fault('input.invalid', 'Unknown sort direction, must be one of: asc, desc')
  const [first] = rows
  if (first && (!Object.hasOwn(first, key) || (typeof first[key] === 'object' && first[key] !== null)))
    throw new Fault('input.invalid', 'Sort key supplied was not valid.')
  const sign = direction === 'asc' ? 1 : -1
  const sorted = rows.toSorted((a, b) => sign * (compared(a[key], b[key]) || compared(a[ident], b[ident])))

  const marker = query.text('marker')
  const at = marker === undefined ? -1 : sorted.findIndex((row) => row[ident] === marker)
  if (marker !== undefined && at < 0)
    throw new Fault('input.invalid', `Marker ${marker.slice(0, 64)} could not be found.`)
  return sorted.slice(at + 1, at + 1 + limitOf(query))
}

function limitOf(query: Query): number {
  const text = query.text('limit')
  if (text === undefined) return MAX_LIMIT
  if (!/^-?\d{1,9}$/.test(text)) throw new Fault('input.invalid', 'limit param must be an integer')
  if (Number(text) < 0) throw new Fault('input.invalid', 'limit param must be positive')
  return Math.min(Number(text) || MAX_LIMIT, MAX_LIMIT)
}

/** Nothing comes first. */
function compared(a: unknown, b: unknown): number {
  if (a === b) return 0
  if (a === null || a === undefined) return -1
  if (b === null || b === undefined) return 1
  return a < b ? -1 : 1
}
