/** What is asked of the manager of the instances, as values; and what each request and each answer adds to what is
 *  known of the host. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import { alertOf, type Alert } from '../cluster/decision.ts'
import { isOver, type Intent } from '../protocol/records.ts'
import { LEADER_COMMAND_MS } from '../protocol/timing.ts'
import type {
  Death,
  Inventory,
  Listing,
  MigrationRequest,
  MoveRequest,
  RestartRequest,
  StepTaken,
  Started,
  Whereabouts,
} from './instances.ts'
import type { DrainKnowledge, EvacuationKnowledge, RequestKnowledge } from './knowledge.ts'

/** Of an incident. */
export type EvacuationEffect =
  | ({ readonly do: 'prepare'; readonly host: string } & Death)
  | { readonly do: 'list'; readonly host: string }
  | {
      readonly do: 'locate'
      readonly host: string
      readonly instances: readonly string[]
      /** Those of the host that have arrived elsewhere. */
      readonly arrived: readonly string[]
    }
  /** Must not be done twice. The attempt is stored, and the lease is looked at once more at the moment of sending. */
  | { readonly do: 'start'; readonly host: string; readonly intent: Intent }
  | { readonly do: 'readmit'; readonly host: string; readonly step: 'clean' | 'enable' }

/** Of a host that lives. */
export type DrainEffect =
  | { readonly do: 'list to drain'; readonly host: string }
  | { readonly do: 'migrate'; readonly host: string; readonly instance: string; readonly target: string | null }

/** A call of the driver. */
export type DriverCall =
  | { readonly call: 'survey' }
  | { readonly call: 'list'; readonly host: string }
  | ({ readonly call: 'prepare'; readonly host: string } & Death)
  | {
      readonly call: 'locate'
      readonly host: string
      readonly instances: readonly string[]
      readonly arrived: readonly string[]
    }
  | { readonly call: 'start'; readonly order: MoveRequest }
  /** Moves an instance off a host that lives. */
  | { readonly call: 'migrate'; readonly order: MigrationRequest }
  | { readonly call: 'restart'; readonly order: RestartRequest }
  | { readonly call: 'disable'; readonly host: string; readonly why: string }
  | { readonly call: 'readmit'; readonly host: string; readonly step: 'clean' | 'enable' }

export type DriverAnswer =
  | {
      readonly ok: true
      readonly survey?: Inventory
      readonly listing?: Listing
      readonly where?: ReadonlyMap<string, Whereabouts>
      readonly started?: Started
      readonly done?: boolean
      readonly step?: StepTaken
    }
  /** `sent`: it may have been received. */
  | { readonly ok: false; readonly fault: string; readonly sent: boolean }

const LIST_TO_DRAIN_MS = 10_000
/** A migration of a big guest under load takes its time. */
const MIGRATE_MS = 15 * 60_000
/** A migration that was refused is asked for again after this long; one that was accepted is in the listing until it
 *  has left. */
const REFUSED_AGAIN_MS = 60_000
const ACCEPTED_AGAIN_MS = 15_000

export function driverCallOf(
  effect: EvacuationEffect | DrainEffect,
  cluster: ClusterState,
): { call: DriverCall; withinMs: number } {
  const { host } = effect
  switch (effect.do) {
    case 'prepare':
      return {
        call: { call: 'prepare', host, why: effect.why, bootId: effect.bootId, systemUuid: effect.systemUuid },
        withinMs: LEADER_COMMAND_MS,
      }
    case 'list':
      return { call: { call: 'list', host }, withinMs: LEADER_COMMAND_MS }
    case 'locate':
      return {
        call: { call: 'locate', host, instances: effect.instances, arrived: effect.arrived },
        withinMs: LEADER_COMMAND_MS,
      }
    case 'start':
      return { call: { call: 'start', order: moveRequestOf(effect.intent, cluster) }, withinMs: LEADER_COMMAND_MS }
    case 'readmit':
      return { call: { call: 'readmit', host, step: effect.step }, withinMs: LEADER_COMMAND_MS }
    case 'list to drain':
      return { call: { call: 'list', host }, withinMs: LIST_TO_DRAIN_MS }
    case 'migrate':
      return {
        call: { call: 'migrate', order: { instance: effect.instance, source: host, target: effect.target } },
        withinMs: MIGRATE_MS,
      }
  }
}

const moveRequestOf = (intent: Intent, cluster: ClusterState): MoveRequest => ({
  instance: intent.instance,
  source: intent.source,
  target: intent.target,
  token: `${intent.incident}/${intent.instance}/${intent.attempt}`,
  down: [...cluster.incidents.values()].flatMap(({ value }) =>
    value.proof !== null && !isOver(value) ? [value.host] : [],
  ),
})

/** What is known once the request is on its way. */
export function evacuationAsked(
  known: EvacuationKnowledge,
  effect: EvacuationEffect,
  nowMs: number,
): EvacuationKnowledge {
  switch (effect.do) {
    case 'prepare':
    case 'list':
    case 'readmit':
      return { ...known, busy: true, triedMs: nowMs }
    case 'locate':
      return { ...known, busy: true }
    case 'start':
      return withRequest(known, effect.intent, { outcome: 'under way', why: null, sinceMs: nowMs })
  }
}

/** What is known once the manager has answered what was asked at `askedMs`. */
export function evacuationAnswered(
  known: EvacuationKnowledge,
  effect: EvacuationEffect,
  { answer, askedMs, atMs }: { answer: DriverAnswer; askedMs: number; atMs: number },
): EvacuationKnowledge {
  const rests = { ...known, busy: false }
  switch (effect.do) {
    case 'prepare':
      return answer.ok ? { ...rests, prepared: true, triedMs: Number.NEGATIVE_INFINITY } : rests
    case 'list':
      return answer.ok && answer.listing?.complete ? { ...rests, listing: answer.listing } : rests
    case 'locate':
      // As old as the question: what changed meanwhile may not be in the answer.
      return answer.ok && answer.where ? { ...rests, locations: answer.where, locatedMs: askedMs } : rests
    case 'readmit':
      if (!answer.ok || answer.done !== true) return rests
      return effect.step === 'clean' ? { ...rests, cleaned: true } : { ...rests, enabled: true }
    case 'start': {
      const { intent } = effect
      const sent = known.requests.get(intent.instance)
      // Another attempt, or an answer that came before.
      if (sent?.attempt !== intent.attempt || sent.sinceMs !== askedMs || sent.outcome !== 'under way') return known
      return withRequest(known, intent, { ...outcomeOf(answer), sinceMs: atMs })
    }
  }
}

function outcomeOf(answer: DriverAnswer): Pick<RequestKnowledge, 'outcome' | 'why'> {
  if (!answer.ok) return { outcome: answer.sent ? 'unknown' : 'refused', why: answer.fault }
  const { started } = answer
  if (started?.got !== 'refused') return { outcome: 'accepted', why: null }
  return { outcome: started.final ? 'refused for good' : 'refused', why: started.why }
}

const withRequest = (
  known: EvacuationKnowledge,
  { instance, attempt }: Intent,
  request: Omit<RequestKnowledge, 'attempt'>,
): EvacuationKnowledge => ({ ...known, requests: new Map(known.requests).set(instance, { ...request, attempt }) })

export function drainAsked(known: DrainKnowledge, effect: DrainEffect, nowMs: number): DrainKnowledge {
  return effect.do === 'migrate'
    ? { ...known, moving: new Map(known.moving).set(effect.instance, effect.target) }
    : { ...known, busy: true, listedMs: nowMs, listing: undefined }
}

export function drainAnswered(
  known: DrainKnowledge,
  effect: DrainEffect,
  { answer, atMs }: { answer: DriverAnswer; atMs: number },
): DrainKnowledge {
  if (effect.do === 'list to drain')
    return { ...known, busy: false, listing: answer.ok && answer.listing?.complete ? answer.listing : undefined }

  const moving = new Map(known.moving)
  moving.delete(effect.instance)
  const againMs = refusalOf(answer) === undefined ? ACCEPTED_AGAIN_MS : REFUSED_AGAIN_MS
  return { ...known, moving, nextTryMs: new Map(known.nextTryMs).set(effect.instance, atMs + againMs) }
}

const refusalOf = (answer: DriverAnswer): string | undefined =>
  !answer.ok ? answer.fault : answer.started?.got === 'refused' ? answer.started.why : undefined

/** What a person should know of an answer. */
export function alertOfAnswer(effect: EvacuationEffect | DrainEffect, answer: DriverAnswer): Alert | undefined {
  const { host } = effect
  switch (effect.do) {
    case 'prepare':
    case 'list': {
      const fault = listingFault(answer, effect.do)
      return fault === undefined
        ? undefined
        : alertOf(host, 'listing', `the instances of ${host} cannot be moved yet: ${fault}`)
    }
    case 'list to drain': {
      const fault = listingFault(answer, 'list')
      return fault === undefined
        ? undefined
        : alertOf(host, 'drain', `the instances of ${host} cannot be listed: ${fault}`)
    }
    case 'locate':
      return answer.ok && answer.where
        ? undefined
        : alertOf(
            host,
            'locate',
            `where the instances of ${host} are cannot be looked up: ${answer.ok ? 'no answer' : answer.fault}`,
          )
    case 'readmit':
      return answer.ok
        ? undefined
        : alertOf(host, `readmit ${effect.step}`, `${host} cannot be taken back yet: ${answer.fault}`)
    case 'migrate': {
      const why = refusalOf(answer)
      return why === undefined
        ? undefined
        : alertOf(host, `drain ${effect.instance} ${why}`, `${effect.instance} could not be moved off ${host}: ${why}`)
    }
    case 'start':
      return undefined
  }
}

function listingFault(answer: DriverAnswer, asked: 'prepare' | 'list'): string | undefined {
  if (!answer.ok) return answer.fault
  if (asked === 'prepare') return undefined
  if (!answer.listing) return 'no list'
  return answer.listing.complete ? undefined : 'part of its instances could not be looked up'
}
