/** What happens, as it happens: the newest first, with filters that stand in the address of the page, and a pause. */
import { useSignal, useSignalEffect, type Signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { WireEvent } from '../api.ts'
import { after } from '../browser.ts'
import { filterFrom, KINDS, kindsOf, searchOf, SEVERITIES, type EventFilter } from '../event-kinds.ts'
import { sentence } from '../format.ts'
import { EventRows } from '../parts/events.tsx'
import { pastEvents, SHOWN } from '../past-events.ts'
import { Link } from '../router.tsx'
import { board, events, findNode, MAX_EVENTS, me, nameOf, nodesById } from '../state.ts'

const NODES_OFFERED = 50
/** Who types a name asks once. */
const SETTLES_MS = 250

interface Past {
  /** Of which filter these are. */
  readonly search: string
  readonly events: readonly WireEvent[]
  readonly problem?: string
}

function holdsWords(event: WireEvent, words: readonly string[]): boolean {
  const node = event.node_uuid === null ? undefined : nodesById.value.get(event.node_uuid)
  const text = `${event.kind} ${node ? nameOf(node) : ''} ${event.node_uuid ?? ''} ${sentence(event)}`.toLowerCase()
  return words.every((word) => text.includes(word))
}

/** Of the events that come with the stream, which are for everybody: what the conductor was asked for of the others. */
function askedFor(all: readonly WireEvent[], filter: EventFilter): readonly WireEvent[] {
  const kinds = kindsOf(filter)
  // Once for all of them: there may be ten thousand nodes.
  const uuid = filter.node === '' ? undefined : (findNode(filter.node)?.uuid ?? '')
  return all.filter(
    ({ kind, node_uuid }) => (kinds?.includes(kind) ?? true) && (uuid === undefined || node_uuid === uuid),
  )
}

/** Whether the conductor narrows: text is looked for here. */
const isNarrowed = (filter: EventFilter): boolean => filter.node !== '' || kindsOf(filter) !== undefined

const questionOf = (filter: EventFilter): string => searchOf({ ...filter, text: '' })

/** Asked once for each filter; what happens afterwards comes with the stream. */
function usePast(filter: EventFilter): Past {
  const search = questionOf(filter)
  const past = useSignal<Past>({ search: '', events: [] })
  // The board says how far the events have come: a page that is opened by its address is there before it.
  const isBegun = board.value !== undefined
  useEffect(() => {
    if (!isNarrowed(filter) || !isBegun) return
    let over = false
    const lastSeq = events.value[0]?.seq ?? board.value?.seq ?? 0
    const stop = after(SETTLES_MS, () => {
      pastEvents(filter, lastSeq).then(
        (found) => {
          if (!over) past.value = { search, events: found }
        },
        (error: Error) => {
          if (!over) past.value = { search, events: [], problem: error.message }
        },
      )
    })
    return () => {
      over = true
      stop()
    }
  }, [search, isBegun])
  return past.value
}

/** What came with the stream and was asked for since this filter was set: others that come later do not push it out. */
function useHeard(filter: Signal<EventFilter>): readonly WireEvent[] {
  const kept = useSignal<Past>({ search: '', events: [] })
  // With each batch of the stream, drawn or not.
  useSignalEffect(() => {
    const search = questionOf(filter.value)
    const before = kept.peek()
    const fresh = isNarrowed(filter.value) ? askedFor(events.value, filter.value) : []
    kept.value = { search, events: joined(fresh, before.search === search ? before.events : []).slice(0, MAX_EVENTS) }
  })
  return kept.value.events
}

/** Both are in order, the newest first. */
function joined(fresh: readonly WireEvent[], past: readonly WireEvent[]): readonly WireEvent[] {
  const newest = past[0]?.seq ?? 0
  return [...fresh.filter(({ seq }) => seq > newest), ...past]
}

const Choice = (props: {
  readonly label: string
  readonly all: string
  readonly value: string
  readonly among: readonly string[]
  readonly onChoose: (value: string) => void
}) => (
  <select aria-label={props.label} value={props.value} onChange={(event) => props.onChoose(event.currentTarget.value)}>
    <option value="">{props.all}</option>
    {props.among.map((one) => (
      <option key={one} value={one}>
        {one}
      </option>
    ))}
  </select>
)

function Filters({ filter, problem }: { readonly filter: Signal<EventFilter>; readonly problem: string | undefined }) {
  const set = (change: Partial<EventFilter>): void => {
    filter.value = { ...filter.value, ...change }
    history.replaceState(null, '', location.pathname + searchOf(filter.value))
  }
  const typed = filter.value.node.toLowerCase()
  const offered = (board.value?.nodes ?? []).filter((node) => nameOf(node).toLowerCase().includes(typed))
  return (
    <form class="bar filters" role="search" aria-label="Events" onSubmit={(event) => event.preventDefault()}>
      <Choice
        label="Kind"
        all="every kind"
        value={filter.value.kind}
        among={Object.keys(KINDS).toSorted()}
        onChoose={(kind) => set({ kind })}
      />
      <Choice
        label="Severity"
        all="every severity"
        value={filter.value.severity}
        among={SEVERITIES}
        onChoose={(severity) => set({ severity })}
      />
      <input
        type="search"
        list="filter-nodes"
        placeholder="Node: name or UUID"
        aria-label="Node"
        aria-invalid={problem !== undefined}
        aria-describedby={problem === undefined ? undefined : 'filter-problem'}
        value={filter.value.node}
        onInput={(event) => set({ node: event.currentTarget.value.trim() })}
      />
      <datalist id="filter-nodes">
        {offered.slice(0, NODES_OFFERED).map((node) => (
          <option key={node.uuid} value={nameOf(node)} />
        ))}
      </datalist>
      <input
        id="filter"
        type="search"
        placeholder="Text …"
        aria-label="Filter"
        value={filter.value.text}
        onInput={(event) => set({ text: event.currentTarget.value })}
      />
      {searchOf(filter.value) !== '' && (
        <button type="button" onClick={() => set(filterFrom(''))}>
          Show all
        </button>
      )}
      {problem !== undefined && (
        <p class="tone-bad" id="filter-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  )
}

export function Events() {
  const filter = useSignal(filterFrom(location.search))
  const held = useSignal<readonly WireEvent[] | null>(null)
  const past = usePast(filter.value)
  const narrowed = isNarrowed(filter.value)
  const isAnswered = !narrowed || past.search === questionOf(filter.value)
  const words = filter.value.text.toLowerCase().split(/\s+/).filter(Boolean)
  const heard = useHeard(filter)
  const shownUpTo = held.value === null ? Infinity : (held.value[0]?.seq ?? 0)
  const all = narrowed
    ? (isAnswered ? joined(heard, past.events) : heard).filter(({ seq }) => seq <= shownUpTo)
    : (held.value ?? events.value)
  const found = all.filter((event) => holdsWords(event, words))
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
        <span class="grow" />
        <button
          type="button"
          aria-pressed={held.value !== null}
          onClick={() => (held.value = held.value ? null : events.value)}
        >
          {held.value === null ? 'Pause' : `Go on (${missed} new)`}
        </button>
      </div>
      <Filters filter={filter} problem={isAnswered && narrowed ? past.problem : undefined} />
      <section class="card" aria-busy={!isAnswered}>
        {found.length > 0 && <EventRows events={found.slice(0, SHOWN)} withNode />}
        {found.length === 0 && (
          <p class="muted">
            {!isAnswered ? 'Asking the conductor …' : searchOf(filter.value) ? 'Nothing matches.' : 'Nothing yet.'}
          </p>
        )}
        {isAnswered && words.length > 0 && (
          <p class="muted">
            Text was looked for in {all.length} events{narrowed ? '' : ', the latest ones'}.
          </p>
        )}
      </section>
    </>
  )
}
