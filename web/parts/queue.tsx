/** The queue of admission: how many servers boot and fetch at once, and who waits for a place. The same as
 *  `rackward node queue`. */
import type { AdmissionView } from '../api.ts'
import { about, fullTime } from '../format.ts'
import { usePolled } from '../poll.ts'
import { Link, nodePath } from '../router.tsx'
import { Freshness } from './polled.tsx'
import { Windowed } from './windowed.tsx'

const EVERY_MS = 3_000

function bounds({ boots, writes, per_rack: perRack, per_group: perGroup }: AdmissionView): string {
  if (!boots || !writes) return 'Nothing waits: admission.enabled is false.'
  const more = [
    ...(perRack === null ? [] : [`at most ${perRack} of a rack`]),
    ...(perGroup === null ? [] : [`at most ${perGroup} of a group`]),
  ]
  return [
    `${boots.used} of ${boots.limit} servers boot the ramdisk`,
    `${writes.used} of ${writes.limit} get their image`,
    ...more,
  ].join(', ')
}

export function Queue() {
  const answer = usePolled<AdmissionView>('/rackward/v1/admission', EVERY_MS)
  const found = answer.value
  return (
    <section class="queue">
      <h2>
        Queue <small>{found ? bounds(found) : ''}</small>
      </h2>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} whom="the conductor" />
      {found?.enabled && (
        <Windowed
          label="Servers that wait for their turn"
          class="queue-table"
          columns={['Server', 'Place', 'Turn in', 'Priority', 'Since', 'Because']}
          rows={found.waiting}
          row={({ node, name, place, priority, since, left_seconds: left, why }) => (
            <tr key={node}>
              <th scope="row">
                <Link to={nodePath(node)}>{name ?? node.slice(0, 8)}</Link>
              </th>
              <td class="num">{place}</td>
              <td class="num">{left === null ? 'not known' : about(Math.max(1, left))}</td>
              <td class="num">{priority}</td>
              <td class="num">{fullTime(since)}</td>
              <td class="says" title={why}>
                {why}
              </td>
            </tr>
          )}
          none="Nobody waits: there is room for one more server."
        />
      )}
    </section>
  )
}
