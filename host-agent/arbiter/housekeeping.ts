/** What ends by itself: holds that run out, incidents that are over for long, and troubles of hosts that are no
 *  members any more. Pure. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import { incidentKey, intentKey, isOver, KEYS } from '../protocol/records.ts'
import { WHOLE_MESH } from '../protocol/trouble.ts'
import type { Known } from './known.ts'

/** Kept for people and for the budget, the newest of them. */
const KEPT_INCIDENTS = 200
/** Consul takes 64 operations in one transaction. */
const DELETED_AT_ONCE = 50

/** A hold counts from when it was seen here, so that no clock that jumps ends it early; one that is set again counts
 *  anew. */
export function endHolds({ cluster, nowMs, writing }: Known): Decision<never>[] {
  return [...cluster.holds].flatMap(([host, { key, value, index, changedMs }]) => {
    if (value.seconds === null || nowMs - changedMs < value.seconds * 1_000 || writing.has(key)) return []
    return [
      {
        changes: [{ key, value: undefined, index }],
        alertsOnceStored: [alertOf(host, 'hold over', `${value.kind} of ${host} has run out`)],
      },
    ]
  })
}

/** The oldest of those that are too many, with its intents; the record goes with the last of them. */
export function pruneIncidents({ cluster, nowMs, writing, view }: Known): Decision<never>[] {
  if (cluster.incidents.size <= KEPT_INCIDENTS) return []
  const over = [...cluster.incidents.values()].filter(
    ({ value, firstMs }) => isOver(value) && nowMs - firstMs > view.limits.fenceWindowMs,
  )
  const oldest = over.sort((a, b) => a.index - b.index)[0]
  if (over.length <= KEPT_INCIDENTS || !oldest) return []

  const { id } = oldest.value
  const intents = cluster.intentsOf(id)
  const part = intents.slice(0, DELETED_AT_ONCE)
  const changes = [
    ...part.map(({ value, index }) => ({ key: intentKey(value), value: undefined, index })),
    ...(part.length === intents.length ? [{ key: incidentKey(id), value: undefined, index: oldest.index }] : []),
  ]
  return changes.some(({ key }) => writing.has(key)) ? [] : [{ changes }]
}

/** A leader that had not heard of the removal yet may have written one more. */
export function pruneTroubles({ cluster, writing }: Known): Decision<never>[] {
  const orphan = [...cluster.troubles].find(([name, { key }]) => {
    const isMember = cluster.members.has(name) || cluster.broken.has(KEYS.members + name)
    return name !== WHOLE_MESH && !isMember && !writing.has(key)
  })
  if (!orphan) return []
  const [, { key, index }] = orphan
  return [{ changes: [{ key, value: undefined, index }] }]
}
