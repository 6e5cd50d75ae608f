/** The time line of an incident as a picture of lanes, and the same as a list. */
import { fullTime } from '../format.ts'
import { lanesOf, offset, type Lane } from '../incident-lanes.ts'
import type { Incident } from '../mesh-api.ts'

const MARKS = 5

export function Lanes({ incident }: { readonly incident: Incident }) {
  if (incident.time_line.length === 0) return <p class="muted card">Nothing has happened yet.</p>
  const { fromMs, toMs, lanes, hidden } = lanesOf(incident)
  if (!Number.isFinite(fromMs)) return <p class="problem card">No entry of its time line has a time.</p>
  const at = (ms: number) => `${(100 * (ms - fromMs)) / (toMs - fromMs)}%`
  return (
    <section class="card">
      <h2>
        Time line <small>from the first silence, {fullTime(new Date(fromMs).toISOString())}</small>
      </h2>
      <div class="axis" aria-hidden="true">
        {Array.from({ length: MARKS }, (_, i) => (
          <span key={i}>{offset(((toMs - fromMs) * i) / (MARKS - 1))}</span>
        ))}
      </div>
      <ol class="lanes">
        {lanes.map((lane, i) => (
          <LaneRow key={`${lane.kind} ${lane.name} ${i}`} lane={lane} at={at} end={at(toMs)} />
        ))}
      </ol>
      {hidden > 0 && <p class="muted">And {hidden} more instances.</p>}
      <details open={incident.time_line.length <= 40}>
        <summary>Everything that happened, in order</summary>
        <ol class="events">
          {incident.time_line.map(({ at: wall, message }, i) => (
            <li key={`${wall} ${i}`}>
              <time dateTime={wall} title={fullTime(wall)}>
                {offset(Date.parse(wall) - fromMs)}
              </time>
              <span class="what">{message}</span>
            </li>
          ))}
        </ol>
      </details>
    </section>
  )
}

interface LaneProps {
  readonly lane: Lane
  readonly at: (ms: number) => string
  readonly end: string
}

function LaneRow({ lane, at, end }: LaneProps) {
  const { bar } = lane
  return (
    <li>
      <span class="name" title={lane.name}>
        {lane.name}
      </span>
      <span class="track" aria-hidden="true">
        {bar && (
          <span
            class={`span ${bar.tone}`}
            style={{
              left: at(bar.fromMs),
              width: `max(2px, calc(${bar.toMs === null ? end : at(bar.toMs)} - ${at(bar.fromMs)}))`,
            }}
          />
        )}
        {lane.marks.map(({ atMs, text }, i) => (
          <i key={`${atMs} ${i}`} style={{ left: at(atMs) }} title={text} />
        ))}
      </span>
      <span class="ends muted">{lane.text}</span>
    </li>
  )
}
