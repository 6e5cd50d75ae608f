/** Lists: pages, sorting, chosen fields, `next`; streamed in slices so that no list holds up anything else. */
import { Fault } from '../../kit/fault.ts'
import type { Page } from '../store/port.ts'
import { needs, type ApiRequest } from './route.ts'
import { parseFields, visible, type Gates } from './versions.ts'

const MAX_LIMIT = 1000
/** Rows that are rendered at a stretch. A thousand detailed nodes take some 60 ms; a slice of these takes 6. */
const SLICE = 100

/** The arguments of every list. */
export const PAGE_QUERY = { limit: 1, marker: 1, sort_key: 1, sort_dir: 1, fields: 8, detail: 43 } as const

export interface Wanted {
  readonly page: Page
  /** Field names to show; undefined: all. */
  readonly names: readonly string[] | undefined
}

/** Reads limit, marker, sort_key, sort_dir, fields and detail. */
export function readWanted(
  request: ApiRequest,
  at: { gates: Gates; summary: readonly string[]; detail?: boolean },
): Wanted {
  const fields = parseFields(request.query.text('fields'), at.gates, request.minor)
  const detail = at.detail ?? request.query.flag('detail') ?? false
  if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
  return { page: readPage(request), names: fields ?? (detail ? undefined : at.summary) }
}

export function readPage(request: ApiRequest): Page {
  const limitText = request.query.text('limit')
  const limit = limitText === undefined ? MAX_LIMIT : Number(limitText)
  if (!Number.isInteger(limit) || limit <= 0 || limitText?.trim() === '')
    throw new Fault('input.invalid', `limit: ${JSON.stringify(limitText?.slice(0, 40))} is not a positive number`)
  const direction = request.query.text('sort_dir') ?? 'asc'
  if (direction !== 'asc' && direction !== 'desc') throw new Fault('input.invalid', 'sort_dir is neither asc nor desc')
  const marker = request.query.text('marker')
  return {
    limit: Math.min(limit, MAX_LIMIT),
    sortKey: request.query.text('sort_key') ?? 'id',
    descending: direction === 'desc',
    ...(marker === undefined ? {} : { marker }),
  }
}

/** `next` stands there exactly when the page is full, also when it happens to be the last (clients of Ironic expect
 *  it). */
function nextLink(
  request: ApiRequest,
  at: { count: number; limit: number; last: string | undefined },
): string | undefined {
  if (at.count < at.limit || at.last === undefined) return undefined
  const query = new URLSearchParams(request.query.raw().filter(([name]) => name !== 'marker'))
  query.set('limit', String(at.limit))
  query.set('marker', at.last)
  return `${request.view.base}${request.httpRequest.path.replace(/\/$/, '')}?${query.toString()}`
}

export interface Listed<T> {
  readonly envelope: string
  readonly wanted: Wanted
  readonly gates: Gates
  /** The next rows of the page. Asked for slice by slice. */
  fetch(page: Page): Promise<T[]>
  ident(row: T): string
  view(row: T): Record<string, unknown>
}

/** Writes the list as it is read: one slice in memory at a time, and a turn for everybody else between two of them. */
export async function sendList<T>(request: ApiRequest, list: Listed<T>): Promise<void> {
  const { limit, ...order } = list.wanted.page
  const { httpResponse: response } = request
  let count = 0
  let last: string | undefined
  let marker = order.marker
  for (;;) {
    const rows = await list.fetch({
      ...order,
      limit: Math.min(SLICE, limit - count),
      ...(marker === undefined ? {} : { marker }),
    })
    if (count === 0)
      response
        .status(200)
        .type('application/json')
        .write(`{${JSON.stringify(list.envelope)}: [`)
    const shown = rows.map((row) => JSON.stringify(shownOf(list, row, request.minor)))
    if (shown.length > 0) response.write((count > 0 ? ', ' : '') + shown.join(', '))
    count += rows.length
    last = rows.length > 0 ? list.ident(rows.at(-1) as T) : last
    if (rows.length < SLICE || count >= limit) break
    marker = last
    await new Promise((resolve) => setImmediate(resolve))
    if (response.writableNeedDrain) await drained(response)
    if (response.destroyed) return
  }
  const next = nextLink(request, { count, limit, last })
  response.end(`]${next === undefined ? '' : `, "next": ${JSON.stringify(next)}`}}`)
}

const shownOf = <T>(list: Listed<T>, row: T, minor: number) =>
  visible(list.view(row), { gates: list.gates, minor, ...(list.wanted.names ? { fields: list.wanted.names } : {}) })

const drained = (response: NodeJS.WritableStream): Promise<void> =>
  new Promise((resolve) => {
    const end = () => {
      response.off('drain', end)
      response.off('close', end)
      resolve()
    }
    response.on('drain', end)
    response.on('close', end)
  })

/** One object, cut to `fields` and to the version. */
export function showOne(request: ApiRequest, whole: Record<string, unknown>, gates: Gates): Record<string, unknown> {
  if (request.query.has('fields')) needs(request, 8, 'fields')
  const fields = parseFields(request.query.text('fields'), gates, request.minor)
  return visible(whole, { gates, minor: request.minor, ...(fields ? { fields } : {}) })
}
