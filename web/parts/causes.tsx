/** What is likely wrong, with what was seen and what to do; and what was wrong before. */
import { duration, fullTime } from '../format.ts'
import type { Cause, Episode } from '../mesh-api.ts'

type Named = Omit<Cause, 'code'>

function CauseList({ causes }: { readonly causes: readonly Named[] }) {
  return (
    <ol class="causes">
      {causes.map(({ cause, evidence, remedy, named_at: at }) => (
        <li key={cause}>
          <b>{cause}</b>
          {at !== undefined && (
            <p class="muted">
              named at <time dateTime={at}>{fullTime(at)}</time>
            </p>
          )}
          {evidence.filter(Boolean).map((one) => (
            <p class="muted" key={one}>
              {one}
            </p>
          ))}
          <p>→ {remedy}</p>
        </li>
      ))}
    </ol>
  )
}

/** Nothing when there are none. */
export const Causes = ({ causes }: { readonly causes: readonly Named[] | undefined }) =>
  causes && causes.length > 0 ? (
    <section class="card">
      <h2>Likely causes</h2>
      <CauseList causes={causes} />
    </section>
  ) : null

function lasted({ from, to }: Episode): string {
  if (to === null) return `since ${fullTime(from)}`
  return `${fullTime(from)}, for ${duration((Date.parse(to) - Date.parse(from)) / 1000)}`
}

/** Failures that led to no incident, the newest first. */
export const Episodes = ({ title, episodes }: { readonly title: string; readonly episodes: readonly Episode[] }) =>
  episodes.length === 0 ? null : (
    <section class="card">
      <h2>
        {title} <small>{episodes.length}</small>
      </h2>
      <ul class="lines">
        {episodes.map((episode) => (
          <li key={`${episode.from} ${episode.causes[0]?.code}`}>
            <details open={episode.to === null}>
              <summary>
                {episode.to === null && <span class="tone-bad">✖ lasts </span>}
                <b>{episode.causes[0]?.cause ?? 'no cause was named'}</b> <span class="muted">{lasted(episode)}</span>
              </summary>
              <CauseList causes={episode.causes} />
            </details>
          </li>
        ))}
      </ul>
    </section>
  )
