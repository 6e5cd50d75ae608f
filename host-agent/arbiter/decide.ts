/** What the leader does about verdicts before there is an incident: warm the BMC of a suspect, open incidents, look after hosts that lost planes, let holds
 *  run out, take up what operators ask. */
import { drainHosts } from '../evacuate/drain.ts'
import { again } from '../evacuate/intents.ts'
import { INCIDENT_TABLE } from '../fence/states.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { move, note } from '../fence/step.ts'
import { findArrow } from '../../kit/arrows.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { View } from '../verdict/conditions.ts'
import type { ArbiterState } from './state.ts'
import { openIncident } from './open-incident.ts'
import { reactToUnfit, shareOnce } from './plane-policy.ts'
import { intentKey, KEYS, type OperatorRequest } from '../protocol/records.ts'
import type { Kept } from '../cluster/state.ts'
import type { Change } from '../cluster/store.ts'
import { readBmc } from '../fence/bmc.ts'

const KEPT_INCIDENTS = 200
/** Consul takes 64 operations in one transaction. */
const RETRIED_AT_ONCE = 50

export function reactTo(core: ArbiterState, verdicts: ReadonlyMap<string, Verdict>, view: View): void {
  const shared = shareOnce(core, view)
  for (const verdict of verdicts.values()) {
    const incident = core.cluster.liveIncident(verdict.host)
    if (incident) continue
    if (verdict.state === 'confirmed') openIncident(core, verdict, { cause: 'silent', nowMs: view.nowMs })
    else if (verdict.state === 'suspect' || verdict.state === 'held') {
      if (!core.cluster.holdOf(verdict.host)) {
        readBmc(core, verdict.host, view.nowMs)
        core.tellHeld(verdict, view.nowMs)
      }
    } else {
      if (verdict.state === 'degraded')
        core.page(
          verdict.host,
          `degraded ${verdict.action} ${verdict.says}`,
          `${verdict.host} has lost planes: ${verdict.says}`,
        )
      reactToUnfit(core, verdict, { view, shared })
    }
  }
  expireHolds(core, view.nowMs)
  drainHosts(core, view.nowMs)
  takeRequests(core, view.nowMs)
  prune(core, view.nowMs)
}

/** Counted from when it was first seen here, so that no clock that jumps ends it early. */
function expireHolds(core: ArbiterState, nowMs: number): void {
  for (const [host, { key, value, index, firstMs }] of core.cluster.holds) {
    if (value.seconds === null || nowMs - firstMs < value.seconds * 1_000) continue
    core.put(
      [{ key, value: undefined, index }],
      { nowMs },
      (ok) => ok && core.page(host, 'hold over', `${value.kind} of ${host} has run out`),
    )
  }
}

function takeRequests(core: ArbiterState, nowMs: number): void {
  for (const { key, index, value: ask } of core.cluster.requests.values()) {
    const gone = { key, value: undefined, index }
    const live = core.cluster.liveIncident(ask.host)
    // With the incident or not at all: an order must not be lost.
    if (ask.kind === 'fence' && !live)
      openIncident(
        core,
        { host: ask.host, says: `ordered by ${ask.by}`, conditions: [] },
        { cause: 'operator', nowMs, also: [gone] },
      )
    else core.put([gone, ...(live ? requested(core, ask, live) : [])], { nowMs })
  }
}

/** What a person's request changes of an incident that is not over. */
function requested(core: ArbiterState, ask: OperatorRequest, live: Kept<Incident>): Change[] {
  const { key, index, value: incident } = live
  const now = { at: core.world.wall(), epoch: core.lease?.epoch ?? 0 }
  const become = (value: Incident): Change[] => [{ key, index, value }]
  if (ask.kind === 'attest')
    return become(
      note(
        { ...incident, attested: { by: ask.by, at: now.at }, epoch: now.epoch },
        now,
        `${ask.by} attests that it is off`,
      ),
    )
  if (ask.kind === 'close' && findArrow(INCIDENT_TABLE.arrows, incident.state, 'operator'))
    return become(move(incident, now, { on: 'operator', says: `closed by ${ask.by}` }))
  if (ask.kind !== 'retry') return []
  const stuck = core.cluster
    .intentsOf(incident.id)
    .filter(({ value }) => value.state === 'FAILED' || value.state === 'UNKNOWN')
  const tries = stuck
    .slice(0, RETRIED_AT_ONCE)
    .map((one): Change => ({ key: one.key, index: one.index, value: again(one.value, now, null) }))
  if (incident.state !== 'evacuated' || tries.length === 0) return tries
  return [...tries, ...become(move(incident, now, { on: 'retry', says: `${ask.by} ordered another try` }))]
}

/** Ended incidents are kept for people and for the budget, the newest of them. */
function prune(core: ArbiterState, nowMs: number): void {
  const over = [...core.cluster.incidents.values()].filter(
    ({ value, firstMs }) => isOver(value) && nowMs - firstMs > core.limits.fenceWindowMs,
  )
  if (over.length <= KEPT_INCIDENTS) return
  const oldest = over.sort((a, b) => a.index - b.index)[0]
  if (!oldest) return
  const intents = core.cluster.intentsOf(oldest.value.id).slice(0, 50)
  const whole = core.cluster.intentsOf(oldest.value.id).length === intents.length
  core.put(
    [
      ...intents.map(({ value, index }) => ({ key: intentKey(value), value: undefined, index })),
      ...(whole ? [{ key: KEYS.incidents + oldest.value.id, value: undefined, index: oldest.index }] : []),
    ],
    { nowMs },
  )
}
