/** What a leader decides about the instances of a dead host: lists them, stores an intent for each, and carries each
 *  intent on. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import type { Versioned } from '../cluster/versioned.ts'
import { alertOf, type Decision } from '../cluster/decision.ts'
import { intentKey, type Incident, type Intent } from '../protocol/records.ts'
import { LEADER_COMMAND_MS } from '../protocol/timing.ts'
import type { EvacuationEffect } from './effects.ts'
import type { Instance, Listing } from './instances.ts'
import { isOpen, stepIntent, TRIES, type IntentFacts, type IntentGuards } from './intents.ts'
import { requestOf, type EvacuationKnowledge } from './knowledge.ts'
import { intentsFor, PLAN_LIMITS, placesFor, type Target } from './plan.ts'

type EvacuationDecision = Decision<EvacuationEffect>

const LOCATE_EVERY_MS = 500
const LIST_EVERY_MS = 2_000
/** Consul takes 64 operations in one transaction. */
const STORED_AT_ONCE = 50

/** What is the same for all incidents at one moment. */
export interface EvacuationView {
  readonly nowMs: number
  /** Wall clock, for people alone. */
  readonly at: string
  readonly epoch: number
  readonly leaseLeftMs: number
  readonly quiesced: boolean
  readonly cluster: ClusterState
  /** Keys with a write under way. */
  readonly writing: ReadonlySet<string>
  /** Where instances can go; undefined: the manager chooses. */
  readonly targets: () => readonly Target[] | undefined
  readonly limits: { readonly hops: number; readonly hopWindowMs: number }
  /** How long a request of unknown outcome may leave no trace. */
  readonly graceMs: number
  /** Most moves of one host at once; undefined: as the plan has it. */
  readonly atOnce: number | undefined
  readonly guards: IntentGuards
}

/** The lease outlasts one request, and the leader before is surely done. */
export const mayRequest = ({ quiesced, leaseLeftMs }: Pick<EvacuationView, 'quiesced' | 'leaseLeftMs'>): boolean =>
  quiesced && leaseLeftMs > LEADER_COMMAND_MS

/** Whether all instances stand in the store as intents, and how many are not at their end. */
export function instancesOf(
  incident: Incident,
  known: EvacuationKnowledge,
  cluster: ClusterState,
): { listed: boolean; open: number } {
  return {
    listed: known.listing !== undefined && unstored(incident, known.listing, cluster).length === 0,
    open: cluster.intentsOf(incident.id).filter(({ value }) => isOpen(value)).length,
  }
}

/** What of the listing is not in the store yet. An entry that nobody can read counts as stored: to write it again would
 *  not help. */
function unstored({ id: incident }: Incident, listing: Listing, cluster: ClusterState): Instance[] {
  const stored = new Set(cluster.intentsOf(incident).map(({ value }) => value.instance))
  return listing.instances.filter(
    ({ id: instance }) => !stored.has(instance) && !cluster.broken.has(intentKey({ incident, instance })),
  )
}

/** Tells the manager that the host is down, asks it for all that ran there, and stores an intent for each instance. */
export function listInstances(
  incident: Incident,
  known: EvacuationKnowledge,
  view: EvacuationView,
): EvacuationDecision[] {
  const { host, bootId } = incident
  if (known.listing) return storeIntents(incident, known.listing, view)
  if (known.busy || view.nowMs - known.triedMs < LIST_EVERY_MS) return []
  const why = `fenced by Rackward: ${incident.proof?.says ?? ''}`
  const systemUuid = view.cluster.members.get(host)?.value.systemUuid ?? null
  return [{ effects: [known.prepared ? { do: 'list', host } : { do: 'prepare', host, why, bootId, systemUuid }] }]
}

function storeIntents(
  incident: Incident,
  listing: Listing,
  { cluster, writing, epoch, at, limits }: EvacuationView,
): EvacuationDecision[] {
  const about = {
    incident: incident.id,
    host: incident.host,
    epoch,
    at,
    mostHops: limits.hops,
    hopWindowMs: limits.hopWindowMs,
  }
  const instances = unstored(incident, listing, cluster).slice(0, STORED_AT_ONCE)
  if (instances.length === 0) return []
  const earlier = [...cluster.intents.values()].flatMap(({ value }) => (value.incident === incident.id ? [] : [value]))
  const part = intentsFor({ ...listing, instances }, about, earlier)
  if (part.some((intent) => writing.has(intentKey(intent)))) return []
  return [{ changes: part.map((value) => ({ key: intentKey(value), value, index: 0 })) }]
}

/** Carries each intent of the incident one step on. */
export function moveInstances(
  incident: Incident,
  known: EvacuationKnowledge,
  view: EvacuationView,
): EvacuationDecision[] {
  const kept = view.cluster.intentsOf(incident.id)
  const intents = kept.map(({ value }) => value)
  const places = placesFor(intents, view.targets(), { ...PLAN_LIMITS, inFlight: view.atOnce ?? PLAN_LIMITS.inFlight })
  const decisions: EvacuationDecision[] = []
  let mustLook = intents.some(isOpen)
  for (const one of kept) {
    if (view.writing.has(one.key)) continue
    const { value: intent } = one
    const step = stepIntent(intent, intentFacts(one, { known, place: places.get(intent.instance) }, view), view.guards)
    if (step.effect?.do === 'locate') mustLook = true
    decisions.push({
      changes: step.next ? [{ key: one.key, value: step.next, index: one.index }] : [],
      effects: step.effect?.do === 'start' ? [{ do: 'start', host: incident.host, intent: step.effect.intent }] : [],
      alerts: step.alert ? [alertOf(incident.host, `${intent.instance} ${intent.state}`, step.alert)] : [],
    })
  }

  if (mustLook && !known.busy && view.nowMs - known.locatedMs >= LOCATE_EVERY_MS)
    decisions.push({
      effects: [{ do: 'locate', host: incident.host, instances: unfinished(intents), arrived: arrivedOf(intents) }],
    })
  return decisions
}

const unfinished = (intents: readonly Intent[]): string[] =>
  intents.flatMap(({ instance, state }) => (state === 'CONFIRMED' || state === 'SKIPPED' ? [] : [instance]))

const arrivedOf = (intents: readonly Intent[]): string[] =>
  intents.flatMap(({ instance, state }) => (state === 'CONFIRMED' ? [instance] : []))

function intentFacts(
  { value: intent, stateMs }: Versioned<Intent>,
  { known, place }: { known: EvacuationKnowledge; place: string | null | undefined },
  view: EvacuationView,
): IntentFacts {
  const { nowMs } = view
  const request = requestOf(intent, known, nowMs)
  return {
    nowMs,
    at: view.at,
    epoch: view.epoch,
    mayCommand: mayRequest(view),
    truth: known.locations.get(intent.instance),
    truthAgeMs: nowMs - known.locatedMs,
    request: request.outcome,
    requestWhy: request.why,
    requestAgeMs: nowMs - request.sinceMs,
    graceMs: view.graceMs,
    place,
    targetFenced: intent.target !== null && isFenced(intent.target, intent.incident, view.cluster),
    stateAgeMs: nowMs - stateMs,
    tries: TRIES,
  }
}

/** Proven down by another incident, and the manager of the instances was told so: it will not carry the move on when
 *  the host comes back. */
function isFenced(host: string, otherThan: string, cluster: ClusterState): boolean {
  const live = cluster.liveIncident(host)?.value
  return (
    live !== undefined &&
    live.id !== otherThan &&
    live.proof !== null &&
    (live.state === 'evacuating' || live.state === 'evacuated')
  )
}
