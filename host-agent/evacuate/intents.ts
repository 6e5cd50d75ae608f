/** One instance of a dead host: (intent, what is true, facts) -> what it becomes and what is asked for. Pure. Exactly
 *  once: an attempt is stored before it is asked for, and asked for again only when it surely left no trace (Nova takes
 *  a second evacuation of the same server gladly, and breaks it). */
import { move, type Table } from '../../kit/arrows.ts'
import type { Intent, IntentState } from '../protocol/records.ts'
import type { Whereabouts } from './instances.ts'

type Event = 'claim' | 'asked' | 'arrived' | 'again' | 'give up' | 'skip' | 'lost'
const ROWS: readonly (readonly [from: IntentState, on: Event, to: IntentState, because: string])[] = [
  ['PENDING', 'claim', 'INTENT', 'its turn, and there is a place for it'],
  ['PENDING', 'asked', 'REQUESTED', 'it is under way already'],
  ['PENDING', 'arrived', 'CONFIRMED', 'it is elsewhere already'],
  ['PENDING', 'skip', 'SKIPPED', 'it cannot or shall not be moved'],
  ['INTENT', 'asked', 'REQUESTED', 'the move was accepted'],
  ['INTENT', 'arrived', 'CONFIRMED', 'it runs elsewhere'],
  ['INTENT', 'again', 'PENDING', 'surely not begun: another try'],
  ['INTENT', 'give up', 'FAILED', 'no try is left'],
  ['INTENT', 'skip', 'SKIPPED', 'it does not exist any more'],
  ['REQUESTED', 'arrived', 'CONFIRMED', 'it runs elsewhere'],
  ['REQUESTED', 'again', 'PENDING', 'the move failed, or its target was fenced: another try'],
  ['REQUESTED', 'give up', 'FAILED', 'no try is left'],
  ['REQUESTED', 'lost', 'UNKNOWN', 'nobody can say what became of the move'],
  ['REQUESTED', 'skip', 'SKIPPED', 'it does not exist any more'],
  ['UNKNOWN', 'arrived', 'CONFIRMED', 'it runs elsewhere after all'],
  ['UNKNOWN', 'again', 'PENDING', 'its target was fenced, or an operator ordered another try'],
  ['FAILED', 'again', 'PENDING', 'an operator ordered another try'],
  ['FAILED', 'arrived', 'CONFIRMED', 'it runs elsewhere after all'],
]

export const INTENT_TABLE: Table<IntentState, Event> = {
  arrows: ROWS.map(([from, on, to, because]) => ({ from, on, to, because })),
  first: ['PENDING', 'SKIPPED'],
  final: ['CONFIRMED', 'SKIPPED'],
}

export interface IntentFacts {
  readonly nowMs: number
  readonly at: string
  readonly epoch: number
  /** The lease outlasts one request, and the leader before is surely done. */
  readonly mayCommand: boolean
  /** The newest look at the truth; undefined: none by this leader yet. */
  readonly truth: Whereabouts | undefined
  readonly truthAgeMs: number
  /** What became of the request for this attempt, as far as this leader knows. */
  readonly request: 'none' | 'under way' | 'accepted' | 'refused' | 'refused for good' | 'unknown'
  readonly requestWhy: string | null
  /** Since the request was sent, or, when an earlier leader sent it, since this one took over. */
  readonly requestAgeMs: number
  readonly graceMs: number
  /** A place for it: a host, or null where the manager chooses; undefined: none now. */
  readonly place: string | null | undefined
  /** The host that it was sent to is proven down itself. */
  readonly targetFenced: boolean
  readonly stateAgeMs: number
  readonly tries: number
}

export const INTENT_GUARDS = {
  /** I5, I6: nothing is asked for on an expired lease or beside the leader before. */
  lease: (facts: Pick<IntentFacts, 'mayCommand'>): boolean => facts.mayCommand,
  /** I6: the truth was read just before, and shows no attempt. */
  untraced: (intent: Pick<Intent, 'past'>, facts: IntentFacts): boolean =>
    facts.truthAgeMs <= FRESH_MS && (facts.truth?.at === 'source' || isPast(intent, facts.truth)),
  /** I6: a request that may have been received is given time to leave its trace, and the look is later than that. */
  graceOver: (facts: IntentFacts): boolean =>
    facts.request !== 'under way' &&
    (facts.request === 'refused' || facts.requestAgeMs - facts.truthAgeMs >= facts.graceMs),
  /** I6: epochs never fall. */
  epoch: (intent: Pick<Intent, 'epoch'>, facts: Pick<IntentFacts, 'epoch'>): boolean => facts.epoch >= intent.epoch,
} as const
export interface IntentGuards {
  readonly lease: (facts: Pick<IntentFacts, 'mayCommand'>) => boolean
  readonly untraced: (intent: Pick<Intent, 'past'>, facts: IntentFacts) => boolean
  readonly graceOver: (facts: IntentFacts) => boolean
  readonly epoch: (intent: Pick<Intent, 'epoch'>, facts: Pick<IntentFacts, 'epoch'>) => boolean
}

const isPast = (intent: Pick<Intent, 'past'>, truth: Whereabouts | undefined): boolean =>
  (truth?.at === 'failed' || truth?.at === 'moving') && intent.past !== null && truth.ref === intent.past

const FRESH_MS = 5_000
const LOST_MS = 600_000
const RETRY_MS = 10_000
export const TRIES = 3

export type IntentEffect = { readonly do: 'start'; readonly intent: Intent } | { readonly do: 'locate' }
export interface IntentStep {
  readonly next?: Intent
  readonly effect?: IntentEffect
  readonly alert?: string
}

export function stepIntent(intent: Intent, facts: IntentFacts, guards: IntentGuards = INTENT_GUARDS): IntentStep {
  if (!guards.epoch(intent, facts)) return {}
  const { truth } = facts
  if (INTENT_TABLE.final.includes(intent.state)) return {}
  if (truth?.at === 'moved') return { next: arrived(intent, facts, truth) }
  if (truth?.at === 'gone')
    return intent.state === 'FAILED' || intent.state === 'UNKNOWN'
      ? {}
      : { next: end(intent, facts, { on: 'skip', why: 'it does not exist any more' }) }
  switch (intent.state) {
    case 'PENDING':
      return pending(intent, facts, guards)
    case 'INTENT':
      return claimed(intent, facts, guards)
    case 'REQUESTED':
      return requested(intent, facts)
    case 'UNKNOWN':
      return facts.targetFenced ? { next: again(intent, facts, 'its target was fenced') } : { effect: { do: 'locate' } }
    default:
      return {}
  }
}

function pending(intent: Intent, facts: IntentFacts, guards: IntentGuards): IntentStep {
  const { truth } = facts
  const other = truth?.at === 'moving' && !facts.targetFenced && !isPast(intent, truth)
  if (other)
    return {
      next: asked(intent, facts, { ref: truth.ref, target: truth.to, requestedAt: facts.at }),
      alert: `${intent.name} is being moved, and not by us`,
    }
  const resting = intent.attempt > 0 && facts.stateAgeMs < RETRY_MS && intent.why !== null
  if (!guards.lease(facts) || facts.place === undefined || resting) return {}
  // A move that failed, or that went to a host that was fenced since, is over: what is asked for now must leave another
  // trace.
  const past = truth?.at === 'failed' || truth?.at === 'moving' ? truth.ref : intent.past
  if (!guards.untraced({ past }, facts)) return { effect: { do: 'locate' } }
  const attempt = {
    attempt: intent.attempt + 1,
    target: facts.place,
    why: null,
    ref: null,
    past,
    requestedAt: facts.at,
  }
  const next = move(INTENT_TABLE, intent, { on: 'claim', patch: { ...attempt, epoch: facts.epoch } })
  return { next, effect: { do: 'start', intent: next } }
}

function claimed(intent: Intent, facts: IntentFacts, guards: IntentGuards): IntentStep {
  const { truth, request } = facts
  if (truth?.at === 'moving' && !isPast(intent, truth))
    return { next: asked(intent, facts, { ref: truth.ref, target: truth.to ?? intent.target }) }
  if (request === 'accepted') return { next: asked(intent, facts, {}) }
  if (truth?.at === 'failed' && !isPast(intent, truth)) return { next: another(intent, facts, truth.why) }
  if (request === 'refused for good') return { next: end(intent, facts, { on: 'give up', why: facts.requestWhy }) }
  if (request === 'refused') return { next: another(intent, facts, facts.requestWhy) }
  if (request === 'under way') return {}
  // Nobody knows whether it was asked for: by an answer that got lost, or by a leader that did.
  if (!guards.untraced(intent, facts) || !guards.graceOver(facts)) return { effect: { do: 'locate' } }
  return guards.lease(facts) ? { effect: { do: 'start', intent } } : {}
}

function requested(intent: Intent, facts: IntentFacts): IntentStep {
  const { truth } = facts
  const past = isPast(intent, truth)
  if (truth?.at === 'failed' && !past) return { next: another({ ...intent, ref: truth.ref }, facts, truth.why) }
  const traceless = (truth?.at === 'source' || past) && facts.truthAgeMs <= FRESH_MS
  if (traceless && facts.stateAgeMs > facts.graceMs + RETRY_MS)
    return { next: another(intent, facts, 'it was accepted and left no trace') }
  if (facts.targetFenced) return { next: again(intent, facts, 'its target was fenced') }
  if (facts.stateAgeMs > LOST_MS)
    return {
      next: end(intent, facts, { on: 'lost', why: 'it has been moving for too long' }),
      alert: `${intent.name}: nobody can say what became of its move`,
    }
  if (
    truth?.at === 'moving' &&
    !past &&
    (truth.ref !== intent.ref || (truth.to !== null && truth.to !== intent.target))
  )
    return { next: { ...intent, epoch: facts.epoch, ref: truth.ref, target: truth.to ?? intent.target } }
  return { effect: { do: 'locate' } }
}

const arrived = (intent: Intent, facts: IntentFacts, truth: Extract<Whereabouts, { at: 'moved' }>): Intent => ({
  ...end(intent, facts, { on: 'arrived', why: null }),
  target: truth.to,
  ref: truth.ref,
})

const asked = (intent: Intent, facts: IntentFacts, patch: Partial<Omit<Intent, 'state'>>): Intent =>
  move(INTENT_TABLE, intent, { on: 'asked', patch: { ...patch, epoch: facts.epoch } })

const end = (intent: Intent, facts: IntentFacts, { on, why }: { on: Event; why: string | null }): Intent =>
  move(INTENT_TABLE, intent, { on, patch: { why, epoch: facts.epoch, endedAt: facts.at } })

/** Another try. The count of attempts goes on: its token must be another one than those that were tried. */
export const again = (intent: Intent, facts: Pick<IntentFacts, 'epoch'>, why: string | null): Intent =>
  move(INTENT_TABLE, intent, { on: 'again', patch: { epoch: facts.epoch, why } })

const another = (intent: Intent, facts: IntentFacts, why: string | null): Intent =>
  intent.attempt >= facts.tries ? end(intent, facts, { on: 'give up', why }) : again(intent, facts, why)

export const isOpen = (intent: Pick<Intent, 'state'>): boolean =>
  intent.state === 'PENDING' || intent.state === 'INTENT' || intent.state === 'REQUESTED'
