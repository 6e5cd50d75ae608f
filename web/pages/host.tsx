/** One host of the mesh: why it would be fenced now, or why not, condition by condition, and on whose word. */
import { duration, heard } from '../format.ts'
import { hostPath, PLANES, type Episode, type HostAccount } from '../mesh-api.ts'
import { Causes, Episodes } from '../parts/causes.tsx'
import { HostActs } from '../parts/host-acts.tsx'
import { HostState, PlaneCell } from '../parts/host.tsx'
import { Observers } from '../parts/observers.tsx'
import { Freshness } from '../parts/polled.tsx'
import { usePolled } from '../poll.ts'
import { incidentAddress, Link, nodePath } from '../router.tsx'

const EVERY_MS = 2_000
const isOver = ({ to }: Episode): boolean => to !== null

function Conditions({ host }: { readonly host: HostAccount }) {
  return (
    <section class="card">
      <h2>
        Why, and why not <small>a host is fenced when C1 to C7 hold</small>
      </h2>
      <ol class="conditions">
        {host.conditions.map(({ id, holds, message, description }) => (
          <li key={id}>
            <span class={holds ? 'tone-warn' : 'tone-good'}>{holds ? '● holds' : '○ does not hold'}</span>
            <div>
              <b>
                {id}: {description}
              </b>
              <p class="muted">{message}</p>
            </div>
          </li>
        ))}
      </ol>
    </section>
  )
}

function Facts({ host }: { readonly host: HostAccount }) {
  const last = host.bmc?.reads.at(-1)
  const facts: readonly (readonly [string, string])[] = [
    ['Verdict', `${host.verdict}: ${host.verdict_message}`],
    ['Last heard', heard(host.last_heard_seconds)],
    [
      'Sign of life',
      host.veto ? `${host.veto.message}, ${duration(host.veto.age_seconds)} ago (${host.veto.kind})` : 'none',
    ],
    ['Guests', host.guests === null ? 'not known' : String(host.guests)],
    ['Boot gate', host.gate ?? 'not known'],
    ['Hold', host.hold ? `${host.hold.kind}: ${host.hold.reason} (${host.hold.requested_by})` : 'none'],
    [
      'BMC',
      host.bmc
        ? [host.bmc.identity, host.bmc.fault, last && `${last.power} ${duration(last.age_seconds)} ago`]
            .filter(Boolean)
            .join(', ')
        : 'not asked',
    ],
    ['Can be fenced', host.not_fenceable_because === null ? 'yes' : `no: ${host.not_fenceable_because}`],
  ]
  return (
    <dl class="facts card">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

export function Host({ name }: { readonly name: string }) {
  const answer = usePolled<HostAccount>(`${hostPath(name)}/explain`, EVERY_MS)
  const host = answer.value
  return (
    <>
      <div class="bar">
        <h1>{name}</h1>
        {host && <HostState host={host} />}
        {host?.incident && <Link to={incidentAddress(host.incident)}>its incident</Link>}
        {host?.node && <Link to={nodePath(host.node)}>its server</Link>}
      </div>
      <Freshness answer={answer} />
      {host && (
        <div class={`columns ${answer.problem ? 'stale' : ''}`}>
          <div>
            <p class="planes">
              {PLANES.map((plane) => (
                <span key={plane}>
                  {plane} <PlaneCell host={host} plane={plane} />
                </span>
              ))}
            </p>
            <Causes causes={host.causes} />
            <Conditions host={host} />
            <Observers planes={host.observers} />
            <Episodes title="What was wrong with it before" episodes={(host.troubles ?? []).filter(isOver)} />
            <Episodes
              title="What was wrong with the mesh before"
              episodes={(host.mesh_troubles ?? []).filter(isOver)}
            />
          </div>
          <div class="stack">
            <HostActs host={host} onDone={answer.again} />
            <Facts host={host} />
          </div>
        </div>
      )}
    </>
  )
}
