/** Looks for requests to remedy a node, asks the mesh about each, and writes what the mesh finds into it. Of the mesh
 *  it uses the hint alone, as anybody's word does who believes that a host is dead. */
import { asFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import type { Arbiter } from '../arbiter/loop.ts'
import type { KubernetesApi } from '../adapters/instances/kubernetes-api.ts'
import { answerTo, hostOf, type RemedyStanding } from '../adapters/instances/kubernetes-remediation.ts'

interface RemedyParts {
  readonly api: Pick<KubernetesApi, 'remediations' | 'sayOfRemediation'>
  readonly core: Pick<Arbiter, 'cluster' | 'verdicts' | 'hint' | 'leads' | 'quiesced'>
  readonly log: Log
  /** Monotonic, and of the wall: the times in the objects of Kubernetes are of that. */
  readonly nowMs: () => number
  readonly wallMs: () => number
}

/** One round of the arbiter that leads: each request is asked about and answered. */
export async function answerRequests(
  { api, core, log, nowMs, wallMs }: RemedyParts,
  signal: AbortSignal,
): Promise<void> {
  if (!core.leads(nowMs()) || !core.quiesced) return
  const requests = await api.remediations(signal, (fault) =>
    log.warn({ fault: fault.code }, `a request to remedy a node cannot be read: ${fault.detail}`),
  )
  for (const request of requests) {
    // Another may lead by now, and tell another thing.
    if (!core.leads(nowMs())) return
    const host = hostOf(request)
    const answer = answerTo(request, standingOf(core, host), wallMs())
    if (!answer) continue
    if (answer.ask !== null) core.hint(answer.ask, nowMs())
    if (answer.conditions)
      await api.sayOfRemediation(request, answer.conditions, signal).catch((error: unknown) => {
        const fault = asFault(error, 'driver.failed')
        log.warn({ host, fault: fault.code }, `a request to remedy ${host} was not answered: ${fault.message}`)
      })
  }
}

function standingOf({ cluster, verdicts }: RemedyParts['core'], host: string): RemedyStanding | undefined {
  if (cluster.memberOf(host)?.role !== 'host') return undefined
  const incident = cluster.liveIncident(host)?.value
  if (incident)
    return {
      incident: { state: incident.state, isProven: incident.proof !== null },
      says: incident.lines.at(-1)?.says ?? incident.why,
    }
  const hold = cluster.holds.get(host)?.value
  const verdict = verdicts.get(host)
  const says = verdict ? `the mesh takes it for ${verdict.state}: ${verdict.says}` : 'the mesh has not judged it yet'
  return { incident: null, says: hold ? `${says}; it is held: ${hold.kind}` : says }
}
