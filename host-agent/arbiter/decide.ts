/** What the leader decides in one tick, as values: nothing is stored, asked or sent here. Pure. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import { drainHost } from '../evacuate/drain.ts'
import { decideErrands, type Errand } from '../evacuate/errands.ts'
import { mayReadPower } from '../fence/effects.ts'
import { pillToLift } from '../fence/lift.ts'
import type { Verdict } from '../verdict/assess.ts'
import { isUnfit } from '../verdict/planes.ts'
import { decideIncidents } from './decide-incidents.ts'
import type { Effect } from './effects.ts'
import { endHolds, pruneIncidents, pruneTroubles } from './housekeeping.ts'
import { targetsOnce, type Known } from './known.ts'
import type { SharedContext } from './leader-context.ts'
import { oneOpening, openingOf } from './opening.ts'
import { takeRequests } from './operator-requests.ts'
import { recordTroubles } from './record-troubles.ts'
import { decidePlaneLoss } from './plane-policy.ts'

const INVENTORY_MS = 30_000
const HELD_ALERT_MS = 6_000
const HINT_MS = 5_000

export function decide(known: Known, shared: SharedContext): Decision<Effect>[] {
  return oneOpening<Effect>([
    ...takeInventory(known),
    ...[...known.verdicts.values()].flatMap((verdict) => decideHost(verdict, known, shared)),
    ...endHolds(known),
    ...decideDrains(known),
    ...decideErrands(known.memory.errands, { nowMs: known.nowMs, mayRun: (errand) => mayRun(errand, known) }),
    ...takeRequests(known),
    ...pruneIncidents(known),
    ...decideIncidents(known),
    ...liftPills(known),
    ...recordTroubles(known),
    ...pruneTroubles(known),
  ])
}

/** A host without an incident. Its BMC is asked as soon as it is suspect, so that its answers are there when the
 *  verdict is. */
function decideHost(verdict: Verdict, known: Known, shared: SharedContext): Decision<Effect>[] {
  const { host, state, action, says } = verdict
  const { cluster } = known
  if (cluster.liveIncident(host)) return []
  if (state === 'healthy') return isHinted(host, known) ? [readPowerOf(host, known)] : []
  if (state === 'confirmed') return [openingOf(verdict, { cause: 'silent' }, known)]
  if (state === 'suspect' || state === 'held')
    return cluster.holdOf(host) ? [] : [readPowerOf(host, known), heldBack(verdict, known)]

  const lost = alertOf(host, `degraded ${action} ${says}`, `${host} has lost planes: ${says}`)
  return [{ alerts: [lost] }, decidePlaneLoss(verdict, known, shared)]
}

/** A hint has the BMC asked before the host is suspect; what it answers is evidence as always, the hint is none. */
function isHinted(host: string, { memory, cluster, nowMs }: Known): boolean {
  const { hintedMs } = memory.of(host)
  return hintedMs !== undefined && nowMs - hintedMs <= HINT_MS && !cluster.holdOf(host)
}

function readPowerOf(host: string, { cluster, memory, nowMs }: Known): Decision<Effect> {
  const member = cluster.members.get(host)?.value
  if (!member || !mayReadPower(memory.of(host).fence, nowMs)) return {}
  return { effects: [{ do: 'read power', host, systemUuid: member.systemUuid }] }
}

/** A person learns within ten seconds why a silent host is not fenced. */
function heldBack({ host, says, veto }: Verdict, { memory, nowMs }: Known): Decision<Effect> {
  const { quietSinceMs } = memory.of(host)
  if (quietSinceMs === undefined || nowMs - quietSinceMs < HELD_ALERT_MS) return {}
  const alert =
    veto?.kind === 'soft'
      ? alertOf(host, 'agent lost', `its machine answers, its agent does not: ${says}`)
      : alertOf(host, 'held', `silent and not fenced: ${says}`)
  return { alerts: [alert] }
}

/** By the mesh's own verdict: what is silent, held or dead is left alone, and so is a host that has to stop its guests,
 *  or was not let in since it started. An instance that was stopped to be started again is started although a person
 *  holds its host meanwhile. */
function mayRun({ host, kind }: Errand, { cluster, verdicts, view }: Known): boolean {
  const verdict = verdicts.get(host)
  const self = view.evidence.selfOf(host)
  if (cluster.liveIncident(host) || isUnfit(verdict?.action)) return false
  if (verdict?.state !== 'healthy' && verdict?.state !== 'degraded') return false
  if (self?.state !== 'member' || self.consents) return false
  const hold = cluster.holds.get(host)?.value
  return !hold || (kind === 'start' && (hold.kind === 'maintenance' || hold.kind === 'drain'))
}

function decideDrains(known: Known): Decision<Effect>[] {
  const { cluster, memory, nowMs, writing } = known
  const view = { nowMs, writing, targets: targetsOnce(known) }
  return [...cluster.holds].flatMap(([host, hold]) =>
    hold.value.kind !== 'drain' || cluster.liveIncident(host)
      ? []
      : drainHost(host, { hold, known: memory.of(host).drain }, view),
  )
}

function liftPills({ cluster, memory, nowMs }: Known): Decision<Effect>[] {
  const effect = pillToLift(cluster, memory.lifts, nowMs)
  return effect ? [{ effects: [effect] }] : []
}

function takeInventory({ memory, nowMs }: Known): Decision<Effect>[] {
  const { busy, askedMs } = memory.inventory
  return busy || nowMs - askedMs < INVENTORY_MS ? [] : [{ effects: [{ do: 'take inventory' }] }]
}
