/** The mesh: who leads, whether it acts, what each host is taken for on which plane, and what is not protected. */
import { useSignal } from '@preact/signals'
import { duration, heard } from '../format.ts'
import { MESH, PLANES, type MeshHost, type ToldHost, type ToldMesh } from '../mesh-api.ts'
import { ArmActs } from '../parts/arm.tsx'
import { Episodes } from '../parts/causes.tsx'
import { HostState, PlaneCell, toneOfHost } from '../parts/host.tsx'
import { armedOf, Fact, Policy } from '../parts/mesh-facts.tsx'
import { Freshness } from '../parts/polled.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { usePolled } from '../poll.ts'
import { incidentAddress, hostAddress, Link } from '../router.tsx'
import { me, mesh, tick } from '../state.ts'

const MAX_LINES = 100
const REFUSED_MS = 60_000

function Summary({ mesh }: { readonly mesh: ToldMesh }) {
  const armed = armedOf(mesh)
  const { budget } = mesh
  return (
    <div class="tiles">
      <dl class="card facts">
        <Fact name="Acts">
          <b class={`tone-${armed.tone}`}>{armed.word}</b>: {armed.means}
        </Fact>
        <Fact name="Because">
          {mesh.reason} <span class="muted">({mesh.requested_by})</span>
          <ArmActs mesh={mesh} />
        </Fact>
      </dl>
      <dl class="card facts">
        <Fact name="Leader">
          {mesh.leader ?? <b class="tone-bad">✖ none: nothing is fenced</b>}
          {mesh.lease_left_seconds !== null && (
            <span class="muted">, its lease has {mesh.lease_left_seconds.toFixed(1)} s left</span>
          )}
        </Fact>
        <Fact name="Arbiters">
          {mesh.arbiters.map(({ name, last_heard_seconds: age }) => (
            <span class={age === null || age > 5 ? 'arbiter tone-bad' : 'arbiter'} key={name}>
              {age === null || age > 5 ? '✖' : '●'} {name} <small>{heard(age)}</small>
            </span>
          ))}
        </Fact>
      </dl>
      <dl class="card facts">
        <Fact name="Budget">
          {budget ? (
            <>
              <span class={budget.fenced >= budget.allowed ? 'tone-bad' : ''}>
                {budget.fenced} of {budget.allowed} hosts fenced
              </span>{' '}
              in the last {Math.round(budget.window_seconds / 60)} minutes
            </>
          ) : (
            'not reported by this arbiter'
          )}
        </Fact>
        <Fact name="Being fenced now">
          {budget ? `${budget.being_fenced}, at most ${budget.at_once} at once` : 'not reported'}
        </Fact>
      </dl>
    </div>
  )
}

/** Silence goes on; of who was heard a moment ago, only that is told. */
const HEARD_S = 5
function heardBy({ last_heard_seconds: age, atMs }: ToldHost): string {
  if (age !== null && age < HEARD_S) return `under ${HEARD_S} s ago`
  return heard(age === null ? null : age + (tick.value - atMs) / 1000)
}

const HostRow = ({ host }: { readonly host: ToldHost }) => (
  <tr>
    <th scope="row">
      <Link to={hostAddress(host.name)}>{host.name}</Link>
    </th>
    <td>{host.rack ?? '–'}</td>
    <td>
      <HostState host={host} />
    </td>
    {PLANES.map((plane) => (
      <td key={plane}>
        <PlaneCell host={host} plane={plane} />
      </td>
    ))}
    <td class="num">{heardBy(host)}</td>
    <td class="num">{host.instances ?? host.guests ?? '–'}</td>
    <td class="says" title={[host.likely_cause, host.message].filter(Boolean).join(': ')}>
      {host.incident && <Link to={incidentAddress(host.incident)}>incident</Link>}{' '}
      {host.likely_cause ?? (host.incident ? '' : host.message.split(' | ')[0])}
    </td>
  </tr>
)

interface Risk {
  readonly host: string
  readonly what: string
}

const risksOf = ({ name, not_fenceable_because: why, unprotected }: MeshHost): Risk[] => [
  ...(why ? [{ host: name, what: `would not be fenced: ${why}` }] : []),
  ...(unprotected ?? []).map((one) => ({ host: name, what: `${one.name} would not be moved: ${one.because}` })),
]

function Risks({ risks }: { readonly risks: readonly Risk[] }) {
  return (
    <section class="card">
      <h2>
        Not protected <small>{risks.length}</small>
      </h2>
      {risks.length === 0 && <p class="muted">Nothing: every host can be fenced, and every instance moved.</p>}
      <ul class="lines">
        {risks.slice(0, MAX_LINES).map(({ host, what }) => (
          <li key={`${host} ${what}`}>
            <Link to={hostAddress(host)}>{host}</Link> {what}
          </li>
        ))}
      </ul>
      {risks.length > MAX_LINES && <p class="muted">And {risks.length - MAX_LINES} more.</p>}
    </section>
  )
}

function Holds({ hosts }: { readonly hosts: readonly MeshHost[] }) {
  const held = hosts.filter(({ hold }) => hold !== null)
  return (
    <section class="card">
      <h2>
        Holds <small>{held.length}</small>
      </h2>
      {held.length === 0 && <p class="muted">None: every host is watched.</p>}
      <ul class="lines">
        {held.slice(0, MAX_LINES).map(({ name, hold }) => (
          <li key={name}>
            <Link to={hostAddress(name)}>{name}</Link> {hold?.kind}: {hold?.reason}{' '}
            <span class="muted">
              ({hold?.requested_by},{' '}
              {hold?.seconds === null ? 'until it is ended' : `for ${duration(hold?.seconds ?? 0)}`})
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Every word must stand somewhere in the row. */
function matches(host: MeshHost, words: readonly string[]): boolean {
  const text = [host.name, host.rack, host.state, host.message, toneOfHost(host) === 'bad' ? 'trouble' : '']
  const all = text.join(' ').toLowerCase()
  return words.every((word) => all.includes(word))
}

/** There is no mesh, or not for this user: the conductor says why. */
function Refused() {
  return <Freshness answer={usePolled<unknown>(MESH, REFUSED_MS)} everyS={REFUSED_MS / 1000} />
}

export function Mesh() {
  const answer = mesh.value
  const filter = useSignal('')
  const report = answer.value
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  const found = report?.hosts.filter((host) => matches(host, words)) ?? []
  return (
    <>
      <div class="bar">
        <h1>Mesh</h1>
        <Link to="/arbiters" class="button">
          Leases and notices
        </Link>
        <input
          id="filter"
          type="search"
          placeholder="Filter: host, rack, state …"
          aria-label="Filter"
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        {report && (
          <span class="muted" role="status">
            {found.length === report.hosts.length ? '' : `${found.length} of `}
            {report.hosts.length} hosts, as {report.reported_by} says
          </span>
        )}
      </div>
      {me.value?.mesh && me.value.project === null ? <Freshness answer={answer} /> : <Refused />}
      {report && (
        <div class={answer.problem ? 'stale' : ''}>
          <Summary mesh={report} />
          {report.unreadable_keys.length > 0 && (
            <p class="problem card">
              Records of the mesh that cannot be read: {report.unreadable_keys.slice(0, 10).join(', ')}
            </p>
          )}
          <Episodes title="Wrong with the mesh" episodes={(report.troubles ?? []).filter(({ to }) => to === null)} />
          <Windowed
            label="Hosts and planes"
            class="matrix"
            columns={['Host', 'Rack', 'State', 'Management', 'Storage', 'Tenant', 'Heard', 'Instances', 'Because']}
            rows={found}
            row={(host) => <HostRow key={host.name} host={host} />}
            none="No host has all of these words."
          />
          <div class="pair">
            <Risks risks={report.hosts.flatMap(risksOf)} />
            <div class="stack">
              <Holds hosts={report.hosts} />
              <Policy mesh={report} />
              <Episodes
                title="What was wrong with the mesh before"
                episodes={(report.troubles ?? []).filter(({ to }) => to !== null)}
              />
            </div>
          </div>
        </div>
      )}
    </>
  )
}
