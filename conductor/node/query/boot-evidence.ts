/** What rules about boots look at, and how a sign becomes evidence. Pure. */
import { SIGNS, type Sign, type SignSeen } from '../../boot/signs.ts'
import type { Milestone } from '../../boot/wire.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'
import type { Live } from './sightings.ts'

export interface BootEvidence {
  readonly node: NodeRecord
  readonly live: Live
  /** The milestones that this boot passes. */
  readonly path: readonly Milestone[]
  readonly nowMs: number
  /** MACs that nobody knows and that wanted to boot: since this boot began, and in the hour before. */
  readonly strangers: readonly string[]
  readonly strangersBefore: readonly string[]
  /** Other nodes whose DHCP requests arrived since this boot began. */
  readonly othersHeard?: number | undefined
}

export type BootRule = (at: BootEvidence) => readonly Cause[]

/** The sign, unless the boot reached what it stands in the way of, or something behind that, later. */
export function stopping(
  { live: { seen, signs }, path }: BootEvidence,
  sign: Sign,
  stops: Milestone,
): SignSeen | undefined {
  const found = signs.get(sign)
  if (!found) return undefined
  const from = path.indexOf(stops)
  const passed = path.slice(Math.max(0, from)).some((step) => (seen.get(step)?.atMs ?? -1) > found.atMs)
  return passed ? undefined : found
}

export const evidenceOf = (sign: Sign, { count, details }: SignSeen): string => {
  const times = count > 1 ? ` (${count} times)` : ''
  const told = details.length > 0 ? `: ${details.join('; ')}` : ''
  return `${SIGNS[sign]}${times}${told}`
}

/** A rule that holds when one sign is there. */
export const rule =
  (
    sign: Sign,
    stops: Milestone,
    says: (seen: SignSeen, at: BootEvidence) => readonly [cause: string, remedy: string],
  ) =>
  (at: BootEvidence): readonly Cause[] => {
    const seen = stopping(at, sign, stops)
    if (!seen) return []
    const [cause, remedy] = says(seen, at)
    return [{ cause, evidence: [evidenceOf(sign, seen)], remedy }]
  }
