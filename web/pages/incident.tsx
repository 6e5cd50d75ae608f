/** One incident, from the first silence to the last instance: a time line in lanes, the proof, the evidence, and what
 *  was not moved and why. */
import { fullTime } from '../format.ts'
import { incidentPath, isLost, isOver, type Incident as IncidentAnswer } from '../mesh-api.ts'
import { Causes } from '../parts/causes.tsx'
import { HostState } from '../parts/host.tsx'
import { Freshness } from '../parts/polled.tsx'
import { IncidentActs } from '../parts/incident-acts.tsx'
import { Lanes } from '../parts/lanes.tsx'
import { ObserverTable } from '../parts/observers.tsx'
import { usePolled } from '../poll.ts'
import { hostAddress, Link } from '../router.tsx'
import { mesh } from '../state.ts'
import { countOf } from './incidents.tsx'

/** Changes are told; what is lost on the way is asked for. */
const EVERY_MS = 20_000
const LEVELS: Readonly<Record<string, string>> = {
  L0: 'off already',
  L1: 'switched off by its BMC',
  L2: 'outlets off',
  L3: 'reset by its watchdog',
  L4: 'shut out of the storage',
  L5: 'attested by a person',
}

const Proof = ({ incident }: { readonly incident: IncidentAnswer }) => (
  <section class="card">
    <h2>Proof</h2>
    {incident.proof ? (
      <>
        <p>
          <b>
            {incident.proof.level}, {LEVELS[incident.proof.level] ?? 'a level of another release'}
          </b>{' '}
          at {fullTime(incident.proof.at)}
        </p>
        <p class="muted">{incident.proof.message}</p>
      </>
    ) : (
      <p class="tone-warn">▲ None: nothing is moved before the host is proven to run nothing.</p>
    )}
    {incident.attested && (
      <p class="muted">
        Attested by {incident.attested.requested_by} at {fullTime(incident.attested.at)}.
      </p>
    )}
    <p class="muted">OFF commands to its BMC: {incident.off_commands}.</p>
  </section>
)

function NotMoved({ incident }: { readonly incident: IncidentAnswer }) {
  const lost = incident.instances.filter((one) => isLost(one) || (one.state !== 'CONFIRMED' && one.because !== null))
  return (
    <section class="card">
      <h2>
        Not moved <small>{lost.length}</small>
      </h2>
      {lost.length === 0 && (
        <p class="muted">
          {incident.instances.length === 0 ? 'Its instances are not listed yet.' : 'Nothing was left behind.'}
        </p>
      )}
      <ul class="lines">
        {lost.map((one) => (
          <li key={one.id}>
            <b>{one.name}</b> <span class={isLost(one) ? 'tone-bad' : 'tone-busy'}>{one.state}</span>
            {one.target && `, to ${one.target}`}
            <p class="muted">{one.because ?? 'no reason was given'}</p>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** The conditions in words; who heard it on which plane stands below. */
const Evidence = ({ incident }: { readonly incident: IncidentAnswer }) => (
  <section class="card">
    <h2>Conditions when it was confirmed</h2>
    <ul class="lines">
      {incident.reason.split('\n').map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  </section>
)

export function Incident({ id }: { readonly id: string }) {
  const answer = usePolled<IncidentAnswer>(incidentPath(id), EVERY_MS, mesh.value.incidents.get(id))
  const incident = answer.value
  return (
    <>
      <div class="bar">
        <h1>Incident of {incident?.host ?? id}</h1>
        {incident && <HostState host={incident} />}
        {incident && <span class="muted">{countOf(incident.instances)}</span>}
        {incident && <Link to={hostAddress(incident.host)}>the host</Link>}
      </div>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} />
      {incident && (
        <div class={answer.problem ? 'stale' : ''}>
          <p class="says-head">
            Cause <b>{incident.cause}</b>, boot <b>{incident.boot_id ?? 'never heard'}</b>
            {isOver(incident) && ', over'}
          </p>
          <IncidentActs incident={incident} onDone={answer.again} />
          <div class="stack">
            <Causes causes={incident.causes} />
            <Lanes incident={incident} />
            <section>
              <h2>Who heard it when it was confirmed, by plane</h2>
              {incident.observers ? (
                <ObserverTable planes={incident.observers} />
              ) : (
                <p class="muted">No observer was asked, or the arbiter that confirmed it did not keep it.</p>
              )}
            </section>
          </div>
          <div class="pair">
            <div class="stack">
              <Proof incident={incident} />
              <Evidence incident={incident} />
            </div>
            <NotMoved incident={incident} />
          </div>
        </div>
      )}
    </>
  )
}
