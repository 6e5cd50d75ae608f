/** One step of every incident that is not over: its fence, and the instances of its host. Pure. */
import type { Decision } from '../cluster/decision.ts'
import type { Versioned } from '../cluster/versioned.ts'
import { instancesOf, listInstances, moveInstances, type EvacuationView } from '../evacuate/decide.ts'
import { readmit } from '../evacuate/readmit.ts'
import { decisionOf, disarm, fenceEffects } from '../fence/decide.ts'
import { factsOf } from '../fence/facts.ts'
import { mayWrite, type Facts } from '../fence/guards.ts'
import { stepIncident, type Step } from '../fence/step.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import type { Effect } from './effects.ts'
import { noted } from './record-troubles.ts'
import { leaseLeftMs, permissionFor, targetsOnce, type Known } from './known.ts'

export function decideIncidents(known: Known): Decision<Effect>[] {
  const view = evacuationView(known)
  return [...known.cluster.incidents.values()].flatMap((incident) =>
    isOver(incident.value) || known.writing.has(incident.key) ? [] : decideIncident(incident, known, view),
  )
}

function decideIncident(before: Versioned<Incident>, known: Known, view: EvacuationView): Decision<Effect>[] {
  const { value: incident, stateMs } = before
  const { cluster, nowMs, memory } = known
  const { fence, evacuation } = memory.of(incident.host)
  const step = withNote(
    stepIncident(incident, incidentFacts(incident, stateMs, known), known.fenceGuards),
    incident,
    known,
  )
  const about = {
    incident: step.next ?? incident,
    known: fence,
    systemUuid: cluster.members.get(incident.host)?.value.systemUuid ?? null,
    epoch: view.epoch,
  }
  const effects = (step.actions ?? []).flatMap((action) => fenceEffects(action, about, nowMs))
  const permission = permissionFor(incident.host, cluster)
  const disarmed = step.disproved && disarm<Effect>(incident, cluster.policy)

  // Actions that concern the instances follow from the record as it stands.
  const moves = (step.actions ?? []).flatMap((action): Decision<Effect>[] => {
    if (action.do === 'list instances') return listInstances(incident, evacuation, view)
    if (action.do === 'move instances') return moveInstances(incident, evacuation, view)
    return action.do === 'readmit' ? readmitHost(incident, known) : []
  })
  return [decisionOf<Effect>(before, step, { effects, permission }), ...(disarmed ? [disarmed] : []), ...moves]
}

/** The causes go into the record with whatever changes it, and by themselves where nothing else does. */
function withNote(step: Step, incident: Incident, known: Known): Step {
  if (!mayWrite(incident, { epoch: known.lease?.epoch ?? 0 })) return step
  const next = noted(step.next ?? incident, incident, known)
  return next === incident ? step : { ...step, next }
}

const readmitHost = ({ id, host, ...rest }: Incident, { cluster, memory, nowMs, verdicts, view }: Known) =>
  readmit({ id, host, ...rest }, memory.of(host).evacuation, {
    nowMs,
    verdict: verdicts.get(host),
    intents: cluster.intentsOf(id).map(({ value }) => value),
    gate: view.evidence.selfOf(host)?.gate,
  })

/** `stateSinceMs`: when this leader first saw the record in its state. */
export function incidentFacts(incident: Incident, stateSinceMs: number, known: Known): Facts {
  const { cluster, view, memory } = known
  const { host } = incident
  const { fence, evacuation, softSinceMs } = memory.of(host)
  const member = cluster.memberOf(host)
  return factsOf(
    {
      incident,
      stateSinceMs,
      known: fence,
      member,
      verdict: known.verdicts.get(host),
      hold: cluster.holdOf(host),
      lastBoot: view.evidence.lastBoot(host, member),
      softSinceMs,
      updating: cluster.bmcUpdating(host, known.nowMs),
      deviceLevels: known.deviceLevels(host),
      instances: instancesOf(incident, evacuation, cluster),
      readmitted: evacuation.enabled,
    },
    {
      view,
      at: known.at,
      policy: cluster.policy.value,
      epoch: known.lease?.epoch ?? 0,
      leaseLeftMs: leaseLeftMs(known),
      quiesced: known.quiesced,
    },
  )
}

const evacuationView = (known: Known): EvacuationView => ({
  nowMs: known.nowMs,
  at: known.at,
  epoch: known.lease?.epoch ?? 0,
  leaseLeftMs: leaseLeftMs(known),
  quiesced: known.quiesced,
  cluster: known.cluster,
  writing: known.writing,
  targets: targetsOnce(known),
  limits: known.view.limits,
  graceMs: known.graceMs,
  atOnce: known.atOnce,
  guards: known.intentGuards,
})
