/** The arbiters: who leads and until when, who hears whom, why the mesh acts or does not, and what people were told. */
import { fullTime, heard } from '../format.ts'
import { MESH, type Notices, type ToldMesh } from '../mesh-api.ts'
import { armedOf, Fact } from '../parts/mesh-facts.tsx'
import { Freshness } from '../parts/polled.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { usePolled } from '../poll.ts'
import { hostAddress, Link } from '../router.tsx'
import { mesh } from '../state.ts'

const EVERY_MS = 20_000
const MAX_NOTICES = 100
/** An arbiter that is heard counts for this long. */
const HEARD_S = 5

function Lead({ mesh: report }: { readonly mesh: ToldMesh }) {
  const armed = armedOf(report)
  const withheld = report.hosts.filter((host) => host.lease_withheld)
  return (
    <dl class="card facts">
      <Fact name="Leader">{report.leader ?? <b class="tone-bad">✖ none: nothing is fenced</b>}</Fact>
      <Fact name="Its lease">
        {report.lease_left_seconds === null
          ? `not known to ${report.reported_by}, which answers`
          : `${report.lease_left_seconds.toFixed(1)} s left${report.epoch ? `, epoch ${report.epoch}` : ''}`}
      </Fact>
      <Fact name="Last verdicts">
        {heard(report.judged_seconds_ago)}
        {report.settled === false && <b class="tone-warn"> ▲ it has not watched long enough to judge</b>}
      </Fact>
      <Fact name="Acts">
        <b class={`tone-${armed.tone}`}>{armed.word}</b>: {armed.means}
      </Fact>
      <Fact name="Because">
        {report.reason} <span class="muted">({report.requested_by})</span>
      </Fact>
      <Fact name="Hosts without a lease">
        {withheld.length === 0 ? 'none' : withheld.map(({ name }) => name).join(', ')}
      </Fact>
    </dl>
  )
}

function NoticeList() {
  const answer = usePolled<Notices>(`${MESH}/pages`, EVERY_MS)
  const all = answer.value?.pages.toReversed() ?? []
  return (
    <section class="card">
      <h2>
        Told to people <small>{all.length}</small>
      </h2>
      <Freshness answer={answer} everyS={EVERY_MS / 1000} />
      {answer.value && all.length === 0 && <p class="muted">Nothing since this leader began.</p>}
      <ul class="lines">
        {all.slice(0, MAX_NOTICES).map(({ at, host, message }, i) => (
          <li key={`${at} ${i}`}>
            <time dateTime={at}>{fullTime(at)}</time> {host !== null && <Link to={hostAddress(host)}>{host}</Link>}
            <p class="muted">{message}</p>
          </li>
        ))}
      </ul>
    </section>
  )
}

export function Arbiters() {
  const answer = mesh.value
  const report = answer.value
  return (
    <>
      <div class="bar">
        <h1>Arbiters</h1>
        {report && <span class="muted">as {report.reported_by} says</span>}
      </div>
      <Freshness answer={answer} />
      {report && (
        <div class={answer.problem ? 'stale' : ''}>
          <Windowed
            label="Table of arbiters"
            columns={['Arbiter', 'Role', 'Heard', 'API']}
            rows={report.arbiters}
            row={({ name, last_heard_seconds: age, api }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{name === report.leader ? <b class="tone-good">● leads</b> : 'stands by'}</td>
                <td class={age === null || age > HEARD_S ? 'tone-bad' : 'tone-good'}>
                  {age === null || age > HEARD_S ? '✖' : '●'} {heard(age)}
                </td>
                <td>{api ?? '–'}</td>
              </tr>
            )}
            none="No arbiter is a member of the mesh."
          />
          <div class="pair">
            <Lead mesh={report} />
            <NoticeList />
          </div>
        </div>
      )}
    </>
  )
}
