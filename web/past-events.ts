/** Events of before the page was opened, narrowed by the conductor: the newest of a node, or those among the last
 *  numbers, further back for as long as there are few. */
import { getJson, type WireEvent } from './api.ts'
import { kindsOf, type EventFilter } from './event-kinds.ts'

const EVENTS = '/rackward/v1/events'
/** As many as the page shows. */
export const SHOWN = 300
/** As many as the conductor answers at once. */
const PAGE = 1_000
/** How many numbers back it looks, as long as it found too few. */
const REACH = [1_000, 10_000, 100_000]

interface Page {
  readonly events: readonly WireEvent[]
  readonly last_seq: number
}

/** The newest first. */
export async function pastEvents(filter: EventFilter, lastSeq: number): Promise<readonly WireEvent[]> {
  const kinds = kindsOf(filter)
  if (kinds?.length === 0) return []
  const only = {
    ...(kinds ? { kinds: kinds.join(',') } : {}),
    ...(filter.node === '' ? {} : { node: filter.node }),
  }
  if (filter.node !== '') {
    const { events } = await page({ ...only, newest: 'true', limit: SHOWN })
    return events.toReversed()
  }
  let found: readonly WireEvent[] = []
  let until = lastSeq
  for (const reach of REACH) {
    const from = Math.max(0, lastSeq - reach)
    found = [...found, ...(await between(from, until, only)).toReversed()]
    until = from
    if (found.length >= SHOWN || from === 0) break
  }
  return found.slice(0, SHOWN)
}

/** Those after `from`, to `until`. */
async function between(from: number, until: number, only: Readonly<Record<string, string>>): Promise<WireEvent[]> {
  const found: WireEvent[] = []
  for (let after = from; after < until;) {
    const { events, last_seq: upTo } = await page({ ...only, after, limit: PAGE })
    found.push(...events.filter(({ seq }) => seq <= until))
    if (events.length < PAGE || upTo <= after) break
    after = upTo
  }
  return found
}

const page = (query: Readonly<Record<string, string | number>>): Promise<Page> =>
  getJson<Page>(
    `${EVENTS}?${new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString()}`,
  )
