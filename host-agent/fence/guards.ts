/** What must be true before each irreversible command. Named and in one table, so that each can be taken away in the
 *  model check or the simulation, which then find what it was for. Pure. */
import type { DeviceLevel, Incident, Level } from '../protocol/records.ts'

export interface PowerRead {
  readonly atMs: number
  readonly power: 'on' | 'off' | 'unknown'
  /** Each session of the BMC has a number of its own: two reads of one session may be one cached answer. */
  readonly session: number
}

export interface DeviceFacts {
  readonly level: DeviceLevel
  readonly lastOffMs: number | null
  readonly off: boolean
  readonly fault: string | undefined
}

export interface SlotFacts {
  /** The poison pill could be written now, and does not stand there. */
  readonly wanted: boolean
  /** When the slot was last read and held this leader's pill, as it has without a gap. */
  readonly readMs: number | null
}

/** What the leader knows at this moment; nothing of it is stored, all of it can be found again. */
export interface Facts {
  readonly nowMs: number
  /** Wall clock, for the time line alone. */
  readonly at: string
  /** The lease: epoch, and how long it surely lasts. Zero or less: none. */
  readonly epoch: number
  readonly leaseLeftMs: number
  /** The commands of the previous leader must be over, and the store was read since. */
  readonly quiesced: boolean
  readonly veto: 'hard' | 'soft' | null
  /** The verdict is still "confirmed", or the host agreed to be switched off. */
  readonly confirmed: boolean
  /** Why no new fence may begin; verification of one that has begun goes on. */
  readonly halted: string | null
  /** Newest last; of this leader, since the incident began. */
  readonly reads: readonly PowerRead[]
  readonly identity: 'match' | 'mismatch' | 'unknown'
  /** Why its BMC is to be left alone: it updates itself; null: it does not, as far as is known. */
  readonly updating: string | null
  /** Commands that were sent and neither answered nor past their deadline. */
  readonly outstanding: number
  readonly lastOffMs: number | null
  /** What else can fence it: when OFF went there, and whether it said twice since then that it is off. */
  readonly devices: readonly DeviceFacts[]
  /** When this leader first saw the record in its state. */
  readonly stateSinceMs: number
  readonly levels: readonly Level[]
  /** When the watchdog must have fired; null: there is none, or leases are still granted, or no poison pill stands in
   *  its slot. */
  readonly resetByMs: number | null
  /** Of a host that reads a slot on the shared storage. */
  readonly slot: SlotFacts | null
  /** The newest authenticated sign of life, on this leader's clock; it may be older by what its way took. */
  readonly lifeAtMs: number | null
  /** The boot that is heard now, when it is another than the one that died. */
  readonly newBoot: { readonly bootId: string; readonly quarantined: boolean; readonly guests: number | null } | null
  readonly instances: { readonly listed: boolean; readonly open: number }
  /** The drivers have cleaned up and taken it back. */
  readonly readmitted: boolean
  readonly gated: boolean
}

/** Read-backs lie this far apart, so that they are not one cached answer. */
export const READ_APART_MS = 1_000
/** A command that was not answered by then is dead: its session is closed. */
export const COMMAND_MS = 5_000
const OFF_WITHIN_MS = 60_000

export const FENCE_GUARDS = {
  /** I5: only the holder of a lease that outlasts the command sends it, and not before the commands of the previous
   *  leader are over. */
  lease: (facts: Facts): boolean => facts.quiesced && facts.leaseLeftMs > COMMAND_MS,
  /** I3: no authenticated or forgeable sign of life at the moment of sending. */
  silent: (facts: Facts): boolean => facts.veto === null && facts.confirmed,
  /** I8. */
  allowed: (facts: Facts): boolean => facts.halted === null,
  /** I15: the BMC is that host's. */
  identity: (facts: Facts): boolean => facts.identity === 'match',
  /** I20: what takes the power from a BMC that writes its own firmware may destroy it. */
  undisturbed: (facts: Facts): boolean => facts.updating === null,
  /** I11: two readings of "off" by its own BMC in two sessions, a second apart, and nothing else in between. */
  proven: (facts: Facts): boolean => facts.identity === 'match' && provenOff(facts.reads, facts.nowMs),
  /** I4: nothing that was sent can still take effect: it did, or its time is over (a chassis may take seconds after the
   *  BMC said yes). */
  deadline: (facts: Facts): boolean =>
    facts.outstanding === 0 &&
    (facts.lastOffMs === null || facts.nowMs - facts.lastOffMs > COMMAND_MS || tookEffect(facts)),
  /** L3: the poison pill stood for as long as the proof counts: it was read back after that. */
  standing: ({ slot, resetByMs }: Facts): boolean =>
    slot === null || (slot.readMs !== null && resetByMs !== null && slot.readMs >= resetByMs),
  /** A proof is none while the host shows life after it. */
  lifeless: (facts: Facts): boolean => facts.veto !== 'hard',
  /** I9: what came back can start no guests. */
  gate: (facts: Facts): boolean => facts.gated,
} as const
export type FenceGuards = { readonly [K in keyof typeof FENCE_GUARDS]: (facts: Facts) => boolean }

const tookEffect = ({ reads, nowMs, lastOffMs }: Facts): boolean =>
  provenOff(
    reads.filter(({ atMs }) => lastOffMs === null || atMs > lastOffMs),
    nowMs,
  )

export function provenOff(reads: readonly PowerRead[], nowMs: number): boolean {
  const newest = reads.at(-1)
  if (newest?.power !== 'off' || nowMs - newest.atMs > OFF_WITHIN_MS) return false
  for (let i = reads.length - 2; i >= 0; i -= 1) {
    const read = reads[i] as PowerRead
    if (read.power !== 'off') return false
    if (read.session !== newest.session && newest.atMs - read.atMs >= READ_APART_MS) return true
  }
  return false
}

/** A sign of life may have been on its way for as long. */
const LIFE_LATE_MS = 1_000

/** A sign of life that only shows that the power had not gone yet says nothing against what the BMC says now; one from
 *  after "off" does. */
export function livesAfterOff({ reads, lifeAtMs }: Facts): boolean {
  let offSinceMs: number | undefined
  for (let i = reads.length - 1; i >= 0 && reads[i]?.power === 'off'; i -= 1) offSinceMs = reads[i]?.atMs
  return offSinceMs === undefined || lifeAtMs === null || lifeAtMs > offSinceMs + LIFE_LATE_MS
}

/** The guards of an OFF command, asked once more at the moment of sending: what spoke against it since it was stored
 *  stops it. */
export const maySendOff = (
  off: { readonly do: 'power off' } | { readonly do: 'device off'; readonly level: DeviceLevel },
  facts: Facts,
  guards: FenceGuards = FENCE_GUARDS,
): boolean =>
  guards.lease(facts) &&
  guards.silent(facts) &&
  guards.allowed(facts) &&
  (off.do === 'device off'
    ? mayDeviceOff(off.level, facts, guards)
    : guards.identity(facts) && guards.undisturbed(facts))

/** Outlets feed the BMC too; the access to the shared storage does not concern it. */
export const mayDeviceOff = (level: DeviceLevel, facts: Facts, guards: FenceGuards): boolean =>
  level !== 'L2' || guards.undisturbed(facts)

/** Epochs never fall: what an older leader wrote last is history, what a newer one wrote is not ours to change. */
export const mayWrite = (incident: Pick<Incident, 'epoch'>, facts: Pick<Facts, 'epoch'>): boolean =>
  facts.epoch >= incident.epoch
