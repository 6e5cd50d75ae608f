/** What others ask for on a host that lives: an instance is stopped or started where it is, or the host is to get no
 *  new instances. The leader remembers each by its token; whoever asks again with it hears how far it came. A restart
 *  is two of them, and who asks for it records the first before asking for the second: each does no harm when the next
 *  leader does it again. Nothing here says anything about whether a host is dead. Pure. */
import type { Decision } from '../cluster/decision.ts'
import type { StepTaken } from './instances.ts'

export interface ErrandOrder {
  /** The same for each repetition of one request. */
  readonly token: string
  readonly kind: 'stop' | 'start' | 'disable'
  readonly host: string
  /** Null: `disable` is about the host. */
  readonly instance: string | null
  readonly why: string
}

export interface Errand extends ErrandOrder {
  readonly stage: 'waiting' | 'under way' | 'done' | 'failed'
  readonly message: string | null
  readonly sinceMs: number
  /** When the manager may be asked again. */
  readonly nextMs: number
  /** A request is under way. */
  readonly busy: boolean
}

export interface ErrandEffect {
  readonly do: 'run errand'
  readonly host: string
  readonly errand: Errand
}

export type Errands = ReadonlyMap<string, Errand>

const MOST = 500
const MOST_BUSY = 4
const ASK_EVERY_MS = 2_000
/** After a request that failed: a command driver without this call fails each time. */
const ASK_AFTER_FAILURE_MS = 15_000
const DEADLINE_MS = 300_000
const REMEMBERED_MS = 3_600_000
/** Of one instance within the time that errands are remembered. */
const MOST_RESTARTS = 3

const isOver = ({ stage }: Errand): boolean => stage === 'done' || stage === 'failed'

/** Takes an order, unless it is known. */
export function takeErrand(errands: Errands, order: ErrandOrder, nowMs: number): { errands: Errands; errand: Errand } {
  const known = errands.get(order.token)
  if (known) return { errands, errand: known }
  const recent = [...errands].filter(([, errand]) => !isOver(errand) || nowMs - errand.sinceMs < REMEMBERED_MS)
  // The oldest of those that are over makes room.
  const oldest = recent.length < MOST ? undefined : recent.find(([, errand]) => isOver(errand))?.[0]
  const kept = recent.filter(([token]) => token !== oldest)
  const earlier = kept.filter(([, { kind, instance }]) => kind === 'stop' && instance === order.instance)
  const refusal =
    order.kind === 'stop' && earlier.length >= MOST_RESTARTS
      ? `it was restarted ${earlier.length} times within an hour`
      : kept.length >= MOST
        ? 'too many requests are under way'
        : null
  const errand: Errand = {
    ...order,
    stage: refusal === null ? 'waiting' : 'failed',
    message: refusal,
    sinceMs: nowMs,
    nextMs: nowMs,
    busy: false,
  }
  // A refusal is told, and not remembered: it must not push out what is.
  return refusal === null ? { errands: new Map([...kept, [order.token, errand]]), errand } : { errands, errand }
}

/** The next calls, where `mayRun` allows it. Of one instance they are made one after the other: two who want it
 *  restarted must not stop what the other starts. */
export function decideErrands(
  errands: Errands,
  { nowMs, mayRun }: { nowMs: number; mayRun: (errand: Errand) => boolean },
): Decision<ErrandEffect>[] {
  let free = MOST_BUSY - [...errands.values()].filter(({ busy }) => busy).length
  const taken = new Set<string>()
  const effects: ErrandEffect[] = []
  for (const errand of errands.values()) {
    if (free <= 0) break
    const { host, instance, busy, sinceMs, nextMs } = errand
    if (isOver(errand) || (instance !== null && taken.has(instance))) continue
    if (instance !== null) taken.add(instance)
    if (busy || nowMs < nextMs || nowMs - sinceMs >= DEADLINE_MS || !mayRun(errand)) continue
    effects.push({ do: 'run errand', host, errand })
    free -= 1
  }
  return effects.length === 0 ? [] : [{ effects }]
}

/** Those whose time has passed are given up. */
export function expireErrands(errands: Errands, nowMs: number): Errands {
  const late = [...errands.values()].filter(
    (errand) => !isOver(errand) && !errand.busy && nowMs - errand.sinceMs >= DEADLINE_MS,
  )
  return late.reduce(
    (all, errand) =>
      withErrand(all, { ...errand, stage: 'failed', message: errand.message ?? 'its host is held or not well' }),
    errands,
  )
}

export const errandAsked = (errands: Errands, { errand }: ErrandEffect): Errands =>
  withErrand(errands, { ...errand, stage: 'under way', busy: true })

export function errandAnswered(
  errands: Errands,
  { errand: { token } }: ErrandEffect,
  {
    answer,
    atMs,
  }: {
    readonly answer: { readonly ok: true; readonly step?: StepTaken } | { readonly ok: false; readonly fault: string }
    readonly atMs: number
  },
): Errands {
  const errand = errands.get(token)
  if (!errand) return errands
  const rests = { ...errand, busy: false, nextMs: atMs + ASK_EVERY_MS }
  // It is asked again: none of them does harm when it is done twice.
  if (!answer.ok)
    return withErrand(errands, { ...rests, nextMs: atMs + ASK_AFTER_FAILURE_MS, message: answer.fault.slice(0, 500) })
  const { step } = answer
  if (step?.got === 'refused')
    return withErrand(errands, { ...rests, stage: 'failed', message: step.why.slice(0, 500) })
  return withErrand(errands, step?.got === 'done' ? { ...rests, stage: 'done', message: null } : rests)
}

const withErrand = (errands: Errands, errand: Errand): Errands => new Map(errands).set(errand.token, errand)
