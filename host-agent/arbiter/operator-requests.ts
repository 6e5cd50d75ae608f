/** What operators ask of the leader: taken up and deleted in one transaction, so that none is lost or done twice.
 *  Pure. */
import { findArrow } from '../../kit/arrows.ts'
import type { Decision } from '../cluster/decision.ts'
import type { Versioned } from '../cluster/versioned.ts'
import type { Change } from '../cluster/store.ts'
import { again } from '../evacuate/intents.ts'
import { move, note } from '../fence/record.ts'
import { INCIDENT_TABLE } from '../fence/states.ts'
import type { Incident, OperatorRequest } from '../protocol/records.ts'
import type { Known } from './known.ts'
import { openingOf } from './opening.ts'

/** Consul takes 64 operations in one transaction. */
const RETRIED_AT_ONCE = 50

export function takeRequests(known: Known): Decision<never>[] {
  const { cluster, writing } = known
  return [...cluster.requests.values()].flatMap(({ key, index, value: request }) => {
    if (writing.has(key)) return []
    const taken: Change = { key, value: undefined, index }
    const live = cluster.liveIncident(request.host)
    if (request.kind === 'fence' && !live) {
      const verdict = { host: request.host, says: `ordered by ${request.by}`, conditions: [] }
      return [openingOf(verdict, { cause: 'operator', also: [taken] }, known)]
    }
    return [{ changes: [taken, ...(live ? changesOf(request, live, known) : [])] }]
  })
}

/** What a request changes of an incident that is not over. */
function changesOf(
  { kind, by }: OperatorRequest,
  { key, index, value: incident }: Versioned<Incident>,
  known: Known,
): Change[] {
  const now = { at: known.at, epoch: known.lease?.epoch ?? 0 }
  const become = (value: Incident): Change[] => [{ key, index, value }]
  if (kind === 'attest') {
    const attested = { ...incident, attested: { by, at: now.at }, epoch: now.epoch }
    return become(note(attested, now, `${by} attests that it is off`))
  }
  if (kind === 'close' && findArrow(INCIDENT_TABLE.arrows, incident.state, 'operator'))
    return become(move(incident, now, { on: 'operator', says: `closed by ${by}` }))
  if (kind !== 'retry') return []

  const retries = retriesOf(incident, known, now.epoch)
  if (incident.state !== 'evacuated' || retries.length === 0) return retries
  return [...retries, ...become(move(incident, now, { on: 'retry', says: `${by} ordered another try` }))]
}

/** Another try of the instances that could not be moved. */
const retriesOf = ({ id }: Incident, { cluster }: Known, epoch: number): Change[] =>
  cluster
    .intentsOf(id)
    .filter(({ value }) => value.state === 'FAILED' || value.state === 'UNKNOWN')
    .slice(0, RETRIED_AT_ONCE)
    .map(({ key, index, value }) => ({ key, index, value: again(value, { epoch }, null) }))
