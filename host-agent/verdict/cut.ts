/** C5: deaths come one at a time; what falls silent together was cut off together (Rapid, StarlingX MNFA, Ceph's subtree limit). Pure. */
import type { Condition } from './conditions.ts'
import type { Limits } from '../protocol/limits.ts'

export interface Suspect {
  readonly host: string
  readonly rack: string | null
  readonly sinceMs: number
  /** Its BMC says twice that it is off: dead whatever fell silent with it. */
  readonly provenOff: boolean
}

export interface CutView {
  readonly nowMs: number
  readonly hosts: number
  readonly limits: Limits
  /** When a cut was last seen; hosts wait for the cooldown after it. */
  readonly cutAtMs: number | undefined
}

/** Whether those who fell silent lately are too many to be deaths. */
export function isCut(suspects: readonly Suspect[], view: CutView): { cut: boolean; says: string } {
  const { limits, nowMs } = view
  const recent = suspects.filter(({ sinceMs, provenOff }) => !provenOff && nowMs - sinceMs <= limits.cutWindowMs)
  const allowed = Math.max(limits.cutHosts, Math.floor(limits.cutShare * view.hosts))
  // Those that fell silent earlier and are still neither explained nor back belong to the same storm.
  const unproven = suspects.filter(({ provenOff }) => !provenOff)
  const names = unproven.map(({ host }) => host).join(', ')
  if (recent.length > allowed || unproven.length > allowed)
    return {
      cut: true,
      says: `${Math.max(recent.length, unproven.length)} hosts are silent together (${names}), ${allowed} at most are taken for deaths`,
    }
  const racks = new Set(unproven.map(({ rack }) => rack))
  if (unproven.length >= 2 && racks.size === 1 && !racks.has(null))
    return {
      cut: true,
      says: `all that are silent (${names}) are in rack ${[...racks][0]}: a rack’s uplink or power, until a BMC says that they are off`,
    }
  return {
    cut: false,
    says:
      unproven.length <= 1
        ? 'nobody else is silent'
        : `${unproven.length} hosts are silent, ${allowed} at most are taken for deaths`,
  }
}

export function cutCondition(suspect: Suspect, suspects: readonly Suspect[], view: CutView): Condition {
  if (suspect.provenOff) return { id: 'C5', holds: true, says: 'its BMC says twice that it is off' }
  const { cut, says } = isCut(suspects, view)
  if (cut) return { id: 'C5', holds: false, says }
  const { limits, nowMs, cutAtMs } = view
  if (cutAtMs !== undefined && nowMs - cutAtMs < limits.cooldownMs)
    return {
      id: 'C5',
      holds: false,
      says: `hosts fell silent together ${Math.round((nowMs - cutAtMs) / 1000)} s ago: nothing is fenced for ${limits.cooldownMs / 1000} s`,
    }
  const settled = Math.min(...suspects.map(({ sinceMs }) => nowMs - sinceMs))
  return {
    id: 'C5',
    holds: settled >= limits.settleMs,
    says: Number.isFinite(settled) ? `${says}; the last became silent ${(settled / 1000).toFixed(1)} s ago` : says,
  }
}
