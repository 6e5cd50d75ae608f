/** What a leader has found out about fencing one host: what its BMC and its fence devices answered, which commands are
 *  on their way, where the poison pill stands. A value, replaced as a whole; lost with the leader, and found out again
 *  by the next. Pure. */
import type { FaultCode } from '../../kit/fault.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import { provenOff, type PowerRead } from './guards.ts'

export type BmcIdentity = 'match' | 'mismatch' | 'unknown'

/** Outlets, or the access to the shared storage. */
export interface DeviceKnowledge {
  /** When OFF was sent there last. */
  readonly lastOffMs: number | null
  /** Readings since then, the newest last. */
  readonly reads: readonly PowerRead[]
  /** A command or a reading is under way. */
  readonly busy: boolean
  /** What went wrong last, for people. */
  readonly fault: string | undefined
}

/** The poison pill in the host's slot, as far as it was read back. */
export interface PillKnowledge {
  /** Counts what this leader wrote: no two pills are alike. */
  readonly attempts: number
  /** When the storage took it; it is read back next. */
  readonly writtenMs: number | undefined
  /** Since when it stands there without a gap. */
  readonly standsSinceMs: number | undefined
  /** When the slot was last read and held it. */
  readonly readMs: number | undefined
  /** An operation on the slot is under way. */
  readonly busy: boolean
  /** When the last operation began. */
  readonly askedMs: number
}

export interface FenceKnowledge {
  /** Readings of its own BMC, the newest last. */
  readonly reads: readonly PowerRead[]
  /** Whether the BMC is the host's. */
  readonly identity: BmcIdentity
  /** When the BMC last said whose it is. */
  readonly identityAtMs: number
  /** What went wrong with the BMC last, for people. */
  readonly bmcFault: string | undefined
  /** Of the registry of faults; undefined: it did not answer in time, or nothing went wrong. */
  readonly bmcFaultCode: FaultCode | undefined
  /** A reading is under way; a BMC is asked one thing at a time. */
  readonly bmcBusy: boolean
  /** Deadlines of OFF commands without an answer. */
  readonly outstanding: readonly number[]
  /** When OFF was last sent to the BMC. */
  readonly lastOffMs: number | null
  readonly devices: ReadonlyMap<DeviceLevel, DeviceKnowledge>
  /** Since when a majority of the arbiters is seen to withhold its watchdog lease. */
  readonly withheldSinceMs: number | undefined
  readonly pill: PillKnowledge
}

const KEPT_READS = 24
/** A BMC that answered longer ago, and is silent since, may be another machine's by now: OFF waits for its next
 *  answer. */
const IDENTITY_MS = 2_000

export const NO_PILL: PillKnowledge = {
  attempts: 0,
  writtenMs: undefined,
  standsSinceMs: undefined,
  readMs: undefined,
  busy: false,
  askedMs: Number.NEGATIVE_INFINITY,
}

export const NOTHING_FOUND: FenceKnowledge = {
  reads: [],
  identity: 'unknown',
  identityAtMs: Number.NEGATIVE_INFINITY,
  bmcFault: undefined,
  bmcFaultCode: undefined,
  bmcBusy: false,
  outstanding: [],
  lastOffMs: null,
  devices: new Map(),
  withheldSinceMs: undefined,
  pill: NO_PILL,
}

export const NO_DEVICE: DeviceKnowledge = { lastOffMs: null, reads: [], busy: false, fault: undefined }

/** At the end of an incident: readings and proofs of the old one say nothing about the next. Whose the BMC is, what is
 *  under way, and the count of pills remain. */
export const afterIncident = (known: FenceKnowledge): FenceKnowledge => ({
  ...NOTHING_FOUND,
  identity: known.identity,
  identityAtMs: known.identityAtMs,
  bmcFault: known.bmcFault,
  bmcFaultCode: known.bmcFaultCode,
  bmcBusy: known.bmcBusy,
  pill: { ...NO_PILL, attempts: known.pill.attempts },
})

/** Whose the BMC is, by an answer of the last seconds: an address may have moved since. */
export const identityAt = ({ identity, identityAtMs }: FenceKnowledge, nowMs: number): BmcIdentity =>
  nowMs - identityAtMs <= IDENTITY_MS ? identity : 'unknown'

/** Its own BMC said twice that it is off. */
export const isProvenOff = (known: FenceKnowledge, nowMs: number): boolean =>
  identityAt(known, nowMs) === 'match' && provenOff(known.reads, nowMs)

/** Commands that were sent, and neither answered nor past their deadline. */
export const outstandingAt = ({ outstanding }: FenceKnowledge, nowMs: number): number =>
  outstanding.filter((deadlineMs) => deadlineMs > nowMs).length

export const withRead = (reads: readonly PowerRead[], read: PowerRead): readonly PowerRead[] =>
  [...reads, read].slice(-KEPT_READS)
