/** C5: deaths come one at a time; what falls silent together was cut off together (Rapid, StarlingX MNFA, Ceph's
 *  subtree limit). Pure. */
import type { Limits } from '../protocol/limits.ts'
import type { Condition } from './conditions.ts'

/** A host that is silent, and that nothing explains. */
export interface Suspect {
  readonly host: string
  readonly rack: string | null
  readonly sinceMs: number
  /** Its BMC says twice that it is off: dead whatever fell silent with it. */
  readonly provenOff: boolean
}

export interface CutParts {
  readonly nowMs: number
  /** How many hosts there are. */
  readonly hosts: number
  readonly limits: Limits
  /** When a cut was last seen; hosts wait for the cooldown after it. */
  readonly cutAtMs: number | undefined
}

/** What all suspects have in common, found once for all of them. */
export interface CutFinding extends CutParts {
  /** Those who fell silent lately are too many to be deaths. */
  readonly isCut: boolean
  /** Since the last of them became silent; infinity: nobody is. */
  readonly quietForMs: number
  readonly says: string
}

const NAMED_AT_MOST = 10

export function findCut(suspects: readonly Suspect[], parts: CutParts): CutFinding {
  const { limits, nowMs } = parts
  const allowed = deathsAllowed(limits, parts.hosts)
  // Those that fell silent earlier and are still neither explained nor back belong to the same storm.
  const unproven = suspects.filter(({ provenOff }) => !provenOff)
  const recent = unproven.filter(({ sinceMs }) => nowMs - sinceMs <= limits.cutWindowMs)
  const quietForMs = suspects.reduce((least, { sinceMs }) => Math.min(least, nowMs - sinceMs), Infinity)
  const found = (isCut: boolean, says: string) => ({ ...parts, isCut, quietForMs, says })

  if (recent.length > allowed || unproven.length > allowed)
    return found(
      true,
      `${Math.max(recent.length, unproven.length)} hosts are silent together (${namesOf(unproven)}), ${allowed} at most are taken for deaths`,
    )
  const racks = new Set(unproven.map(({ rack }) => rack))
  if (unproven.length >= 2 && racks.size === 1 && !racks.has(null))
    return found(
      true,
      `all that are silent (${namesOf(unproven)}) are in rack ${[...racks][0]}: a rack’s uplink or power, until a BMC says that they are off`,
    )
  return found(
    false,
    unproven.length <= 1
      ? 'nobody else is silent'
      : `${unproven.length} hosts are silent, ${allowed} at most are taken for deaths`,
  )
}

/** Up to this many hosts may have the same failure and still be judged one by one. */
export const deathsAllowed = (limits: Pick<Limits, 'cutHosts' | 'cutShare'>, hosts: number): number =>
  Math.max(limits.cutHosts, Math.floor(limits.cutShare * hosts))

const namesOf = (suspects: readonly Suspect[]): string => {
  const named = suspects.slice(0, NAMED_AT_MOST).map(({ host }) => host)
  const left = suspects.length - named.length
  return named.join(', ') + (left > 0 ? ` and ${left} more` : '')
}

export function cutCondition({ provenOff }: Pick<Suspect, 'provenOff'>, found: CutFinding): Condition {
  const { isCut, limits, nowMs, cutAtMs, quietForMs, says } = found
  if (provenOff) return { id: 'C5', holds: true, says: 'its BMC says twice that it is off' }
  if (isCut) return { id: 'C5', holds: false, says }

  if (cutAtMs !== undefined && nowMs - cutAtMs < limits.cooldownMs)
    return {
      id: 'C5',
      holds: false,
      says: `hosts fell silent together ${Math.round((nowMs - cutAtMs) / 1000)} s ago: nothing is fenced for ${limits.cooldownMs / 1000} s`,
    }
  return {
    id: 'C5',
    holds: quietForMs >= limits.settleMs,
    says: Number.isFinite(quietForMs)
      ? `${says}; the last became silent ${(quietForMs / 1000).toFixed(1)} s ago`
      : says,
  }
}
