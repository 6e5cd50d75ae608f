/** What happens, as it happens: the newest first, with a filter, and a pause. */
import { useSignal } from '@preact/signals'
import type { WireEvent } from '../api.ts'
import { sentence } from '../format.ts'
import { EventRows } from '../parts/events.tsx'
import { Link } from '../router.tsx'
import { events, me, nameOf, nodesById } from '../state.ts'

function matches(event: WireEvent, words: readonly string[]): boolean {
  const node = event.node_uuid === null ? undefined : nodesById.value.get(event.node_uuid)
  const text = `${event.kind} ${node ? nameOf(node) : ''} ${event.node_uuid ?? ''} ${sentence(event)}`.toLowerCase()
  return words.every((word) => text.includes(word))
}

export function Events() {
  const filter = useSignal('')
  const held = useSignal<readonly WireEvent[] | null>(null)
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  const found = (held.value ?? events.value).filter((event) => matches(event, words))
  const missed = held.value === null ? 0 : events.value.filter(({ seq }) => seq > (held.value?.[0]?.seq ?? 0)).length
  return (
    <>
      <div class="bar">
        <h1>Events</h1>
        {me.value?.project === null && me.value.role !== 'reader' && (
          <Link to="/hooks" class="button">
            Webhooks and hooks
          </Link>
        )}
        <input
          id="filter"
          type="search"
          placeholder="Filter: kind, node, text …"
          aria-label="Filter"
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        <button
          type="button"
          aria-pressed={held.value !== null}
          onClick={() => (held.value = held.value ? null : events.value)}
        >
          {held.value === null ? 'Pause' : `Go on (${missed} new)`}
        </button>
      </div>
      <section class="card">
        {found.length === 0 ? <p class="muted">Nothing yet.</p> : <EventRows events={found.slice(0, 300)} withNode />}
      </section>
    </>
  )
}
