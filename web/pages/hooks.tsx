/** Where events go (webhooks), and what alerts from outside hold (hooks). */
import { fullTime } from '../format.ts'
import { Freshness } from '../parts/polled.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { usePolled } from '../poll.ts'
import { findNode, nameOf } from '../state.ts'

interface Webhooks {
  readonly webhooks: readonly {
    readonly name: string
    readonly url: string
    readonly format?: string
    readonly kinds: readonly string[] | null
    readonly waiting: number
    readonly failures: number
    readonly last_error: string | null
  }[]
}

interface Hooks {
  readonly hooks: readonly {
    readonly name: string
    readonly from: string | null
    readonly act: string
    readonly holds: readonly { readonly target: string; readonly alert: string; readonly since: string }[]
  }[]
}

const EVERY_MS = 10_000

const Delivered = ({ failures, waiting }: Webhooks['webhooks'][number]) =>
  failures > 0 ? (
    <b class="tone-bad" title={`${failures} failures in a row, ${waiting} events wait`}>
      ✖ {failures} failures in a row, {waiting} events wait
    </b>
  ) : (
    <span class="tone-good">● {waiting === 0 ? 'up to date' : `${waiting} events wait`}</span>
  )

const targetOf = (target: string): string => {
  const node = findNode(target)
  return node ? nameOf(node) : target
}

export function HooksPage() {
  const out = usePolled<Webhooks>('/rackward/v1/webhooks', EVERY_MS)
  const into = usePolled<Hooks>('/rackward/v1/hooks', EVERY_MS)
  return (
    <>
      <div class="bar">
        <h1>Webhooks and hooks</h1>
      </div>
      <Freshness answer={out} everyS={EVERY_MS / 1000} whom="the conductor" />
      {out.value && (
        <Windowed
          label="Webhooks: where events go"
          class="webhook-table"
          columns={['Webhook', 'Format', 'Events', 'Delivery', 'Last error']}
          rows={out.value.webhooks}
          row={(one) => (
            <tr key={one.name}>
              <th scope="row">
                {one.name} <small class="muted">{one.url}</small>
              </th>
              <td>{one.format ?? 'rackward'}</td>
              <td>{one.kinds?.join(', ') ?? 'all'}</td>
              <td>
                <Delivered {...one} />
              </td>
              <td class="says" title={one.last_error ?? ''}>
                {one.last_error ?? '–'}
              </td>
            </tr>
          )}
          none="No webhook is configured: the key webhooks of the configuration sends events elsewhere."
        />
      )}
      {into.value && (
        <Windowed
          label="Hooks: alerts that act"
          class="hook-table"
          columns={['Hook', 'From', 'Act', 'Holds']}
          rows={into.value.hooks}
          row={(one) => (
            <tr key={one.name}>
              <th scope="row">{one.name}</th>
              <td>{one.from ?? <b class="tone-warn">▲ not configured any more</b>}</td>
              <td>{one.act}</td>
              <td>
                {one.holds.length === 0 && <span class="muted">nothing</span>}
                {one.holds.slice(0, 20).map(({ target, alert, since }) => (
                  <p key={`${target} ${alert}`}>
                    {targetOf(target)} for {alert} <span class="muted">since {fullTime(since)}</span>
                  </p>
                ))}
              </td>
            </tr>
          )}
          none="No hook is configured: the key hooks of the configuration lets alerts act."
        />
      )}
    </>
  )
}
