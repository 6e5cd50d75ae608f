/** The beginning of an incident, by what is known: one at a time, so that each counts for the budget of the next.
 *  Pure. */
import type { Decision } from '../cluster/decision.ts'
import type { Change } from '../cluster/store.ts'
import { openIncident } from '../fence/open.ts'
import { KEYS, type Incident } from '../protocol/records.ts'
import type { Verdict } from '../verdict/assess.ts'
import { permissionFor, type Known } from './known.ts'
import { firstNoted } from './record-troubles.ts'

export function openingOf(
  verdict: Pick<Verdict, 'host' | 'says' | 'conditions'>,
  about: { cause: Incident['cause']; also?: readonly Change[] },
  known: Known,
): Decision<never> {
  const { cluster, lease, view, at } = known
  const { host } = verdict
  if (!lease || isOpening(known.writing)) return {}
  return openIncident(verdict, {
    ...about,
    bootId: view.evidence.lastBoot(host, cluster.memberOf(host))?.id ?? null,
    epoch: lease.epoch,
    storeIndex: cluster.index,
    causes: firstNoted(host, known),
    at,
    dryRun: cluster.policy.value.dryRun,
    permission: permissionFor(host, cluster),
  })
}

const isOpening = (writing: ReadonlySet<string>): boolean => {
  for (const key of writing) if (key.startsWith(KEYS.incidents)) return true
  return false
}

/** The first of these that opens an incident, and none of the others that would: they wait until it is stored. */
export function oneOpening<Effect>(decisions: readonly Decision<Effect>[]): Decision<Effect>[] {
  let isOpen = false
  return decisions.filter(({ changes = [] }) => {
    const opens = changes.some(({ key, index }) => index === 0 && key.startsWith(KEYS.incidents))
    if (opens && isOpen) return false
    isOpen ||= opens
    return true
  })
}
