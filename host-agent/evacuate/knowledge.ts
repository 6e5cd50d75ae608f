/** What a leader has found out about moving the instances of one host: what the manager of the instances listed and
 *  located, and what became of each request. A value, replaced as a whole; lost with the leader, and found out again by
 *  the next. Pure. */
import type { Intent } from '../protocol/records.ts'
import type { Listing, Whereabouts } from './instances.ts'
import type { IntentFacts } from './intents.ts'

/** The request for one attempt, as this leader knows it. */
export interface RequestKnowledge {
  readonly outcome: IntentFacts['request']
  readonly why: string | null
  /** When it was sent, or when this leader first saw that an earlier one may have sent it. */
  readonly sinceMs: number
  readonly attempt: number
}

export interface EvacuationKnowledge {
  /** The manager of the instances is being asked about this host. */
  readonly busy: boolean
  /** When the manager was last asked to list the host, or to take it back. */
  readonly triedMs: number
  /** The manager was told that the host is down. */
  readonly prepared: boolean
  /** All instances that ran on the host, until each is stored as an intent. */
  readonly listing: Listing | undefined
  /** Leftovers on the returned host are removed. */
  readonly cleaned: boolean
  /** The manager has taken the host back. */
  readonly enabled: boolean
  /** By instance. */
  readonly requests: ReadonlyMap<string, RequestKnowledge>
  /** Where each instance is, by the last look. */
  readonly locations: ReadonlyMap<string, Whereabouts>
  /** When that look was asked for. */
  readonly locatedMs: number
}

export const NOTHING_ASKED: EvacuationKnowledge = {
  busy: false,
  triedMs: Number.NEGATIVE_INFINITY,
  prepared: false,
  listing: undefined,
  cleaned: false,
  enabled: false,
  requests: new Map(),
  locations: new Map(),
  locatedMs: Number.NEGATIVE_INFINITY,
}

/** At the end of an incident; what is under way remains. */
export const afterEvacuation = ({ busy }: EvacuationKnowledge): EvacuationKnowledge => ({ ...NOTHING_ASKED, busy })

/** A host that is being emptied while it lives. */
export interface DrainKnowledge {
  /** A listing is under way. */
  readonly busy: boolean
  /** When the last listing was asked for. */
  readonly listedMs: number
  /** The last listing, until the next is asked for. */
  readonly listing: Listing | undefined
  /** Instance -> target of the migration that is under way; null: the manager chose it. */
  readonly moving: ReadonlyMap<string, string | null>
  /** Instance -> when it may be asked for again. */
  readonly nextTryMs: ReadonlyMap<string, number>
}

export const NOT_DRAINING: DrainKnowledge = {
  busy: false,
  listedMs: Number.NEGATIVE_INFINITY,
  listing: undefined,
  moving: new Map(),
  nextTryMs: new Map(),
}

/** What became of the request for the present attempt. Where nothing is known of it, an earlier leader may have sent
 *  the one of a claimed intent. */
export function requestOf(
  { instance, attempt, state }: Intent,
  { requests }: EvacuationKnowledge,
  nowMs: number,
): RequestKnowledge {
  const known = requests.get(instance)
  if (known?.attempt === attempt) return known
  return { outcome: state === 'INTENT' ? 'unknown' : 'none', why: null, sinceMs: nowMs, attempt }
}

/** Remembers since when each attempt is known to this leader. */
export function observeIntents(
  known: EvacuationKnowledge,
  intents: readonly Intent[],
  nowMs: number,
): EvacuationKnowledge {
  const fresh = intents.filter(({ instance, attempt }) => known.requests.get(instance)?.attempt !== attempt)
  if (fresh.length === 0) return known
  const requests = new Map(known.requests)
  for (const intent of fresh) requests.set(intent.instance, requestOf(intent, known, nowMs))
  return { ...known, requests }
}
