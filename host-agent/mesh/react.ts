/** What the leader does about verdicts before there is an incident: warm the BMC of a suspect, open incidents, look after hosts that lost planes, let holds
 *  run out, take up what operators ask. */
import { drainHosts } from '../evacuate/drain.ts'
import { INCIDENT_ARROWS, isOver } from '../fence/states.ts'
import { findArrow } from '../../kit/arrows.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { Scene } from '../verdict/conditions.ts'
import type { ArbiterCore } from './core.ts'
import { openIncident } from './open.ts'
import { reactToUnfit, shareOnce } from './unfit.ts'
import { intentKey, KEYS } from './records.ts'
import { readBmc } from '../fence/bmc.ts'

const KEPT_INCIDENTS = 200

export function reactTo(core: ArbiterCore, verdicts: ReadonlyMap<string, Verdict>, scene: Scene): void {
  const shared = shareOnce(core, scene)
  for (const verdict of verdicts.values()) {
    const incident = core.shelf.liveIncident(verdict.host)
    if (incident) continue
    if (verdict.state === 'confirmed') openIncident(core, verdict, { cause: 'silent', nowMs: scene.nowMs })
    else if (verdict.state === 'suspect' || verdict.state === 'held') {
      if (!core.shelf.holdOf(verdict.host)) {
        readBmc(core, verdict.host, scene.nowMs)
        core.tellHeld(verdict, scene.nowMs)
      }
    } else {
      if (verdict.state === 'degraded')
        core.page(verdict.host, `degraded ${verdict.action} ${verdict.says}`, `${verdict.host} has lost planes: ${verdict.says}`)
      reactToUnfit(core, verdict, { scene, shared })
    }
  }
  expireHolds(core, scene.nowMs)
  drainHosts(core, scene.nowMs)
  takeRequests(core, scene.nowMs)
  prune(core, scene.nowMs)
}

/** Counted from when it was first seen here, so that no clock that jumps ends it early. */
function expireHolds(core: ArbiterCore, nowMs: number): void {
  for (const [host, { key, value, index, firstMs }] of core.shelf.holds) {
    if (value.seconds === null || nowMs - firstMs < value.seconds * 1_000) continue
    core.put([{ key, value: undefined, index }], { nowMs }, (ok) => ok && core.page(host, 'hold over', `${value.kind} of ${host} has run out`))
  }
}

function takeRequests(core: ArbiterCore, nowMs: number): void {
  for (const { key, index, value: ask } of core.shelf.requests.values()) {
    const gone = { key, value: undefined, index }
    const live = core.shelf.liveIncident(ask.host)
    const at = core.world.wall()
    if (ask.kind === 'fence' && !live) {
      // With the incident or not at all: an order must not be lost.
      openIncident(core, { host: ask.host, says: `ordered by ${ask.by}`, conditions: [] }, { cause: 'operator', nowMs, also: [gone] })
    } else if (!live) core.put([gone], { nowMs })
    else if (ask.kind === 'attest')
      core.put(
        [
          gone,
          {
            key: live.key,
            index: live.index,
            value: { ...live.value, attested: { by: ask.by, at }, lines: [...live.value.lines, { at, says: `${ask.by} attests that it is off` }] },
          },
        ],
        { nowMs },
      )
    else if (ask.kind === 'close' && findArrow(INCIDENT_ARROWS, live.value.state, 'operator'))
      core.put(
        [
          gone,
          { key: live.key, index: live.index, value: { ...live.value, state: 'recovered', lines: [...live.value.lines, { at, says: `closed by ${ask.by}` }] } },
        ],
        { nowMs },
      )
    else if (ask.kind === 'retry') {
      const stuck = core.shelf.intentsOf(live.value.id).filter(({ value }) => value.state === 'FAILED' || value.state === 'UNKNOWN')
      // The count of attempts goes on: its token must be another one than those that were tried.
      const again = stuck.slice(0, 50).map(({ key: at2, index: was, value }) => ({ key: at2, index: was, value: { ...value, state: 'PENDING', why: null } }))
      const reopen =
        live.value.state === 'evacuated' && again.length > 0 ? [{ key: live.key, index: live.index, value: { ...live.value, state: 'evacuating' } }] : []
      core.put([gone, ...again, ...reopen], { nowMs })
    } else core.put([gone], { nowMs })
  }
}

/** Ended incidents are kept for people and for the budget, the newest of them. */
function prune(core: ArbiterCore, nowMs: number): void {
  const over = [...core.shelf.incidents.values()].filter(({ value, firstMs }) => isOver(value) && nowMs - firstMs > core.limits.fenceWindowMs)
  if (over.length <= KEPT_INCIDENTS) return
  const oldest = over.sort((a, b) => a.index - b.index)[0]
  if (!oldest) return
  const intents = core.shelf.intentsOf(oldest.value.id).slice(0, 50)
  const whole = core.shelf.intentsOf(oldest.value.id).length === intents.length
  core.put(
    [
      ...intents.map(({ value, index }) => ({ key: intentKey(value), value: undefined, index })),
      ...(whole ? [{ key: KEYS.incidents + oldest.value.id, value: undefined, index: oldest.index }] : []),
    ],
    { nowMs },
  )
}
