/** How changes of a node become known, in words: by events of its BMC, or by the poll alone. Pure. */
import { isoTime } from '../../../kit/clock.ts'
import type { EventsSeen } from '../run/bmc-events/source.ts'

export interface EventsView {
  readonly way: 'stream' | 'push' | 'poll'
  readonly since: string
  readonly last_event_at: string | null
  readonly missed: number
  readonly reason: string | null
}

/** Null: its BMC was not asked, or has no such thing. */
export const eventsView = (seen: EventsSeen | undefined): EventsView | null =>
  seen
    ? {
        way: seen.way ?? 'poll',
        since: isoTime(seen.sinceMs),
        last_event_at: seen.lastAtMs === null ? null : isoTime(seen.lastAtMs),
        missed: seen.missed,
        reason: seen.why,
      }
    : null

const WAYS = {
  stream: 'its BMC announces changes by its event stream',
  push: 'its BMC announces changes to the subscription of this conductor',
  poll: 'no events of its BMC: the poll alone finds changes',
} as const

export function seenEvents(seen: EventsSeen | undefined) {
  const view = eventsView(seen)
  if (!view) return []
  const { way, since, last_event_at: last, missed, reason } = view
  const detail = [
    reason ?? '',
    last === null ? '' : `last event ${last}`,
    missed === 0 ? '' : `${missed} ${missed === 1 ? 'change was' : 'changes were'} found by the poll alone`,
  ]
  return [
    { category: 'bmc' as const, what: WAYS[way], at: since, detail: detail.filter((part) => part !== '').join('; ') },
  ]
}
