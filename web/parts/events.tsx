/** Events as rows. */
import type { WireEvent } from '../api.ts'
import { severityOf } from '../event-kinds.ts'
import { clockTime, fullTime, sentence } from '../format.ts'
import { Link, nodePath } from '../router.tsx'
import { nameOf, nodesById } from '../state.ts'

const TONES = { fault: 'kind tone-bad', warning: 'kind tone-warn', info: 'kind' } as const

export function EventRows({ events, withNode }: { readonly events: readonly WireEvent[]; readonly withNode: boolean }) {
  return (
    <ol class="events">
      {events.map((event) => {
        const node = event.node_uuid === null ? undefined : nodesById.value.get(event.node_uuid)
        return (
          <li key={event.seq}>
            <time dateTime={event.at} title={fullTime(event.at)}>
              {clockTime(event.at)}
            </time>
            <span class={TONES[severityOf(event.kind)]}>{event.kind}</span>
            {withNode && <span class="of">{node ? <Link to={nodePath(node.uuid)}>{nameOf(node)}</Link> : '–'}</span>}
            <span class="what">{sentence(event)}</span>
          </li>
        )
      })}
    </ol>
  )
}
