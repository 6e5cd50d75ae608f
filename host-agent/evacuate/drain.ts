/** Emptying a host that lives: its instances are moved live, a few at once, as long as it is held for that; then it is
 *  in maintenance. The list of its instances is the only memory: a new leader goes on with what is still there. A live
 *  migration moves or leaves an instance, whoever asks for it how often. Pure. */
import type { Versioned } from '../cluster/versioned.ts'
import { alertOf, type Alert, type Decision } from '../cluster/decision.ts'
import type { Hold, Intent } from '../protocol/records.ts'
import type { DrainEffect } from './effects.ts'
import type { Listing } from './instances.ts'
import type { DrainKnowledge } from './knowledge.ts'
import { intentsFor, placesFor, type Target } from './plan.ts'

const LIST_EVERY_MS = 3_000
const MOVED_AT_ONCE = 2
const WHY_CHARACTERS = 500

export interface DrainView {
  readonly nowMs: number
  readonly writing: ReadonlySet<string>
  readonly targets: () => readonly Target[] | undefined
}

/** The next step of a drain: the hold says that there is one. */
export function drainHost(
  host: string,
  { hold, known }: { hold: Versioned<Hold>; known: DrainKnowledge },
  view: DrainView,
): Decision<DrainEffect>[] {
  const { listing } = known
  const found = !listing
    ? []
    : listing.instances.length === 0
      ? finish(host, hold, view)
      : [migrateSome(host, { listing, known }, view)]
  const mustList = !known.busy && view.nowMs - known.listedMs >= LIST_EVERY_MS
  return [...found, ...(mustList ? [{ effects: [{ do: 'list to drain' as const, host }] }] : [])]
}

/** It runs no instances: from here on it is in maintenance. */
function finish(host: string, { key, value, index }: Versioned<Hold>, { writing }: DrainView): Decision<DrainEffect>[] {
  if (writing.has(key)) return []
  const next: Hold = { ...value, kind: 'maintenance', why: `drained: ${value.why}`.slice(0, WHY_CHARACTERS) }
  return [
    {
      changes: [{ key, value: next, index }],
      alertsOnceStored: [alertOf(host, 'drained', `${host} is drained: it runs no instances`)],
    },
  ]
}

function migrateSome(
  host: string,
  { listing, known }: { listing: Listing; known: DrainKnowledge },
  { nowMs, targets }: DrainView,
): Decision<DrainEffect> {
  const plan = intentsFor(
    listing,
    { incident: 'drain', host, epoch: 0, at: '', mostHops: Infinity, hopWindowMs: 0 },
    [],
  )
  const underWay = (intent: Intent) =>
    known.moving.has(intent.instance)
      ? { ...intent, state: 'REQUESTED' as const, target: known.moving.get(intent.instance) ?? null }
      : intent
  const places = placesFor(plan.map(underWay), targets(), { inFlight: MOVED_AT_ONCE, perTarget: MOVED_AT_ONCE })
  const effects = [...places].flatMap(([instance, target]): DrainEffect[] =>
    nowMs < (known.nextTryMs.get(instance) ?? 0) ? [] : [{ do: 'migrate', host, instance, target }],
  )
  return { effects, alerts: plan.flatMap((intent) => staysBehind(host, intent)) }
}

const staysBehind = (host: string, { instance, name, why }: Intent): Alert[] =>
  why === null ? [] : [alertOf(host, `drain ${instance}`, `${name} stays on ${host}: ${why}`)]
