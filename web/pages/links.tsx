/** Read-only links: made, listed and ended. */
import { useSignal } from '@preact/signals'
import { LINKS, makeLink, send, type ReadLink } from '../api.ts'
import { fullTime } from '../format.ts'
import { Freshness } from '../parts/polled.tsx'
import { usePolled } from '../poll.ts'
import { me } from '../state.ts'

const EVERY_MS = 30_000
const DAY_HOURS = 24
const HOURS = [
  { hours: 1, name: '1 hour' },
  { hours: 12, name: '12 hours' },
  { hours: 7 * DAY_HOURS, name: '7 days' },
  { hours: 30 * DAY_HOURS, name: '30 days' },
]

export function Links() {
  const answer = usePolled<{ links: readonly ReadLink[] }>(LINKS, EVERY_MS)
  const made = useSignal('')
  const problem = useSignal('')
  const attempt = async (change: () => Promise<void>) => {
    problem.value = ''
    await change().catch((error: Error) => (problem.value = error.message))
    answer.again()
  }
  const make = (form: HTMLFormElement) =>
    attempt(async () => {
      made.value = await makeLink(Number(new FormData(form).get('hours')), me.value?.csrf ?? null)
    })
  const end = (id: string) =>
    attempt(() => send({ method: 'DELETE', path: `${LINKS}/${encodeURIComponent(id)}` }, me.value?.csrf ?? null))
  return (
    <>
      <div class="bar">
        <h1>Read-only links</h1>
      </div>
      <form
        class="card link-form"
        onSubmit={(event) => {
          event.preventDefault()
          void make(event.currentTarget)
        }}
      >
        <p>Whoever has such a link sees what you see, without a password, and changes nothing.</p>
        <div class="field">
          <label for="field-hours">Valid for</label>
          <select id="field-hours" name="hours">
            {HOURS.map(({ hours, name }) => (
              <option key={hours} value={hours} selected={hours === 12}>
                {name}
              </option>
            ))}
          </select>
        </div>
        <div class="buttons">
          <button type="submit" class="primary">
            Make a link
          </button>
        </div>
        {made.value && (
          <div class="field">
            <label for="field-link">The link, which is shown this once</label>
            <input id="field-link" readOnly value={made.value} onFocus={(event) => event.currentTarget.select()} />
          </div>
        )}
        {problem.value && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
      </form>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} whom="the conductor" />
      {answer.value && (
        <section class="card">
          <h2>
            Valid links <small>{answer.value.links.length}</small>
          </h2>
          {answer.value.links.length === 0 && <p class="muted">None.</p>}
          <ul class="lines">
            {answer.value.links.map(({ id, user, ends }) => (
              <li key={id}>
                <b>{user}</b>, until {fullTime(ends)}{' '}
                <button type="button" onClick={() => void end(id)} aria-label={`End the link of ${user}`}>
                  End
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  )
}
