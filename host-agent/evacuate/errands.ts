/** What others ask for on a host that lives: an instance is stopped and started again where it is, or the host is to
 *  get no new instances. The leader remembers each by its token; whoever asks again with it hears how far it came.
 *  Nothing here says anything about whether a host is dead. Pure. */
import type { Decision } from '../cluster/decision.ts'
import type { StepTaken } from './instances.ts'

export interface ErrandOrder {
  /** The same for each repetition of one request. */
  readonly token: string
  readonly kind: 'restart' | 'disable'
  readonly host: string
  /** Of a restart. */
  readonly instance: string | null
  readonly why: string
}

export interface Errand extends ErrandOrder {
  readonly stage: 'waiting' | 'under way' | 'done' | 'failed'
  /** Of a restart. */
  readonly step: 'stop' | 'start'
  readonly message: string | null
  readonly sinceMs: number
  /** When the manager was last asked. */
  readonly askedMs: number
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
  const earlier = kept.filter(([, { kind, instance }]) => kind === 'restart' && instance === order.instance)
  const refusal =
    order.kind === 'restart' && earlier.length >= MOST_RESTARTS
      ? `it was restarted ${earlier.length} times within an hour`
      : kept.length >= MOST
        ? 'too many requests are under way'
        : null
  const errand: Errand = {
    ...order,
    stage: refusal === null ? 'waiting' : 'failed',
    step: 'stop',
    message: refusal,
    sinceMs: nowMs,
    askedMs: Number.NEGATIVE_INFINITY,
    busy: false,
  }
  // A refusal is told, and not remembered: it must not push out what is.
  return refusal === null ? { errands: new Map([...kept, [order.token, errand]]), errand } : { errands, errand }
}

/** The next calls: only while the host is well, which the mesh knows by itself. */
export function decideErrands(
  errands: Errands,
  { nowMs, isWell }: { nowMs: number; isWell: (host: string) => boolean },
): Decision<ErrandEffect>[] {
  let free = MOST_BUSY - [...errands.values()].filter(({ busy }) => busy).length
  const effects: ErrandEffect[] = []
  for (const errand of errands.values()) {
    if (free <= 0) break
    if (isOver(errand) || errand.busy || nowMs - errand.askedMs < ASK_EVERY_MS) continue
    if (nowMs - errand.sinceMs >= DEADLINE_MS || !isWell(errand.host)) continue
    effects.push({ do: 'run errand', host: errand.host, errand })
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
    (all, errand) => withErrand(all, { ...errand, stage: 'failed', message: errand.message ?? 'its host is not well' }),
    errands,
  )
}

export const errandAsked = (errands: Errands, { errand }: ErrandEffect, nowMs: number): Errands =>
  withErrand(errands, { ...errand, stage: 'under way', busy: true, askedMs: nowMs })

export function errandAnswered(
  errands: Errands,
  { errand: { token } }: ErrandEffect,
  answer: { readonly ok: true; readonly step?: StepTaken } | { readonly ok: false; readonly fault: string },
): Errands {
  const errand = errands.get(token)
  if (!errand) return errands
  const rests = { ...errand, busy: false }
  // It is asked again: no step does harm when it is done twice.
  if (!answer.ok) return withErrand(errands, { ...rests, message: answer.fault.slice(0, 500) })
  const { step } = answer
  if (step?.got === 'refused')
    return withErrand(errands, { ...rests, stage: 'failed', message: step.why.slice(0, 500) })
  if (step?.got !== 'done') return withErrand(errands, rests)
  if (errand.kind === 'restart' && errand.step === 'stop')
    return withErrand(errands, { ...rests, step: 'start', askedMs: Number.NEGATIVE_INFINITY })
  return withErrand(errands, { ...rests, stage: 'done', message: null })
}

const withErrand = (errands: Errands, errand: Errand): Errands => new Map(errands).set(errand.token, errand)
