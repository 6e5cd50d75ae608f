/** Hosts that died, the newest first. */
import { fullTime } from '../format.ts'
import { INCIDENTS, isLost, type Incident } from '../mesh-api.ts'
import { HostState } from '../parts/host.tsx'
import { Freshness } from '../parts/polled.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { usePolled } from '../poll.ts'
import { incidentAddress, Link } from '../router.tsx'
import { mesh } from '../state.ts'

/** Changes are told; what is lost on the way is asked for. */
const EVERY_MS = 20_000

/** So many arrived, so many given up, of so many. */
export function countOf(instances: Incident['instances']): string {
  if (instances.length === 0) return 'none listed'
  const arrived = instances.filter(({ state }) => state === 'CONFIRMED').length
  const lost = instances.filter(isLost).length
  return `${arrived} of ${instances.length} moved${lost > 0 ? `, ${lost} not` : ''}`
}

const Row = ({ one }: { readonly one: Incident }) => (
  <tr>
    <th scope="row">
      <Link to={incidentAddress(one.id)}>{one.host}</Link>
    </th>
    <td>
      <HostState host={one} />
    </td>
    <td class="num">{one.time_line[0] ? fullTime(one.time_line[0].at) : '–'}</td>
    <td>{one.proof?.level ?? 'none'}</td>
    <td class="num">{countOf(one.instances)}</td>
    <td class="says" title={one.time_line.at(-1)?.message}>
      {one.time_line.at(-1)?.message}
    </td>
  </tr>
)

export function Incidents() {
  const changes = [...mesh.value.incidents.values()].reduce((sum, one) => sum + one, 0)
  const answer = usePolled<{ incidents: readonly Incident[] }>(INCIDENTS, EVERY_MS, changes)
  return (
    <>
      <div class="bar">
        <h1>Incidents</h1>
      </div>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} />
      {answer.value && (
        <Windowed
          label="Table of incidents"
          class="incident-table"
          columns={['Host', 'State', 'Since', 'Proof', 'Instances', 'Last']}
          rows={answer.value.incidents}
          row={(one) => <Row key={one.id} one={one} />}
          none="No host has died."
        />
      )}
    </>
  )
}
