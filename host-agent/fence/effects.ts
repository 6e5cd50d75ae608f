/** What is asked of BMCs, fence devices and slots, as values; and what each request and each answer adds to the
 *  knowledge of the host. Pure. */
import type { FaultCode } from '../../kit/fault.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import { samePill, type PoisonPill } from '../protocol/poison-pill.ts'
import { sameUuid } from './bmc-identity.ts'
import { COMMAND_MS, READ_APART_MS } from './guards.ts'
import {
  NO_DEVICE,
  NO_PILL,
  identityAt,
  withRead,
  type BmcIdentity,
  type DeviceKnowledge,
  type FenceKnowledge,
} from './knowledge.ts'

export type FenceEffect =
  /** Reads the power, and with it whose BMC it is: an address that has moved to another machine must be found before
   *  OFF goes there. */
  | { readonly do: 'read power'; readonly host: string; readonly systemUuid: string | null }
  | { readonly do: 'read device'; readonly host: string; readonly level: DeviceLevel }
  /** Irreversible. The record that counts the command is stored, and the guards are asked once more at the moment of
   *  sending. */
  | { readonly do: 'power off'; readonly host: string; readonly incident: string }
  | { readonly do: 'device off'; readonly host: string; readonly incident: string; readonly level: DeviceLevel }
  | { readonly do: 'write pill'; readonly host: string; readonly pill: PoisonPill }
  /** `sinceMs`: since when the pill stands, should it be found. */
  | { readonly do: 'read pill'; readonly host: string; readonly pill: PoisonPill; readonly sinceMs: number }

/** Irreversible: the guards are asked once more at the moment of sending. */
export type OffEffect = Extract<FenceEffect, { do: 'power off' | 'device off' }>

/** How long after it was decided a command may begin. */
const OFF_BEGINS_MS = 500
const PILL_MS = 5_000
const READ_EVERY_MS = READ_APART_MS / 2

/** When an effect must have begun, and when it is broken off. */
export const timesOf = (effect: FenceEffect, nowMs: number): { notAfterMs: number; deadlineMs: number } => {
  const deadlineMs = nowMs + (isPill(effect) ? PILL_MS : COMMAND_MS)
  return { notAfterMs: isOff(effect) ? nowMs + OFF_BEGINS_MS : deadlineMs, deadlineMs }
}

export const isOff = (effect: { readonly do: string }): effect is OffEffect =>
  effect.do === 'power off' || effect.do === 'device off'

const isPill = (effect: FenceEffect) => effect.do === 'write pill' || effect.do === 'read pill'

export const mayReadPower = ({ bmcBusy, reads }: FenceKnowledge, nowMs: number): boolean => {
  const last = reads.at(-1)
  return !bmcBusy && (last === undefined || nowMs - last.atMs >= READ_EVERY_MS)
}

/** Devices that OFF was sent to are asked whether they are off. */
export const devicesToRead = (known: FenceKnowledge, nowMs: number): DeviceLevel[] =>
  [...known.devices].flatMap(([level, { busy, lastOffMs, reads }]) => {
    const last = reads.at(-1)
    return busy || lastOffMs === null || (last && nowMs - last.atMs < READ_EVERY_MS) ? [] : [level]
  })

/** The knowledge once the request is on its way. */
export function fenceAsked(known: FenceKnowledge, effect: FenceEffect, nowMs: number): FenceKnowledge {
  const { deadlineMs } = timesOf(effect, nowMs)
  switch (effect.do) {
    case 'read power':
      return { ...known, bmcBusy: true }
    case 'read device':
      return withDevice(known, effect.level, { busy: true })
    case 'power off':
      return { ...known, lastOffMs: nowMs, outstanding: [...known.outstanding, deadlineMs] }
    case 'device off':
      return withDevice({ ...known, outstanding: [...known.outstanding, deadlineMs] }, effect.level, {
        lastOffMs: nowMs,
        reads: [],
        busy: true,
      })
    case 'write pill':
      return {
        ...known,
        pill: { ...NO_PILL, attempts: effect.pill.attempt, busy: true, askedMs: nowMs },
      }
    case 'read pill':
      return { ...known, pill: { ...known.pill, busy: true, askedMs: nowMs } }
  }
}

/** What a BMC or a fence device answered. */
export interface PowerAnswer {
  readonly power?: 'on' | 'off' | 'unknown'
  /** Another number for each session. */
  readonly session?: number
  readonly systemUuid?: string | null
  /** What went wrong, for people. */
  readonly fault?: string
  /** Of the registry of faults; absent: it did not answer in time. */
  readonly code?: FaultCode
}

/** The knowledge once a BMC or a device has answered what was asked at `askedMs`. */
export function powerAnswered(
  known: FenceKnowledge,
  effect: Exclude<FenceEffect, { do: 'write pill' | 'read pill' }>,
  answer: PowerAnswer & { readonly askedMs: number; readonly atMs: number },
): FenceKnowledge {
  const { atMs, fault } = answer
  const acknowledged = fault === undefined ? withoutDeadline(known, timesOf(effect, answer.askedMs).deadlineMs) : known
  switch (effect.do) {
    case 'read power':
      return powerRead(known, effect.systemUuid, answer)
    case 'read device': {
      // Each reading of a device is a session of its own.
      const read = { atMs, power: answer.power ?? ('unknown' as const), session: atMs }
      const reads = withRead(known.devices.get(effect.level)?.reads ?? [], read)
      return withDevice(known, effect.level, { busy: false, fault, reads })
    }
    // An answer ends the command; without one it may still be on its way until its deadline.
    case 'power off':
      return { ...acknowledged, bmcFault: fault, bmcFaultCode: answer.code }
    case 'device off':
      return withDevice(acknowledged, effect.level, { busy: false, fault })
  }
}

function powerRead(
  known: FenceKnowledge,
  systemUuid: string | null,
  answer: PowerAnswer & { readonly atMs: number },
): FenceKnowledge {
  const { atMs } = answer
  const told = { ...known, bmcBusy: false, bmcFault: answer.fault, bmcFaultCode: answer.code }
  const named: FenceKnowledge =
    answer.systemUuid === undefined
      ? told
      : { ...told, identity: identityOf(answer.systemUuid, systemUuid), identityAtMs: atMs }

  // What another machine's BMC says is no reading of this one.
  const power = identityAt(named, atMs) === 'match' ? (answer.power ?? 'unknown') : 'unknown'
  return { ...named, reads: withRead(named.reads, { atMs, power, session: answer.session ?? -1 }) }
}

const identityOf = (answered: string | null, wanted: string | null): BmcIdentity =>
  wanted === null ? 'unknown' : sameUuid(answered, wanted) ? 'match' : 'mismatch'

/** What the slot on the shared storage was found to hold. */
export type PillAnswer =
  { readonly ok: true; readonly found: PoisonPill | undefined } | { readonly ok: false; readonly fault: string }

/** The knowledge once the storage has answered. A pill is believed to stand only as far as it was read back: storage
 *  that hangs may do what it was asked for long after it was given up. */
export function pillAnswered(
  known: FenceKnowledge,
  effect: Extract<FenceEffect, { do: 'write pill' | 'read pill' }>,
  { answer, askedMs, atMs }: { answer: PillAnswer; askedMs: number; atMs: number },
): FenceKnowledge {
  const { pill } = known
  // Answers for a pill that was replaced since say nothing.
  if (!pill.busy || pill.attempts !== effect.pill.attempt) return known

  const rests = { ...pill, busy: false, writtenMs: undefined }
  if (effect.do === 'write pill') return { ...known, pill: answer.ok ? { ...rests, writtenMs: atMs } : rests }
  if (!answer.ok) return { ...known, pill: rests }
  // As old as the question. Another pill, or none: it was lifted or written over, and what was counted since is void.
  return samePill(effect.pill, answer.found)
    ? { ...known, pill: { ...rests, standsSinceMs: effect.sinceMs, readMs: askedMs } }
    : { ...known, pill: { ...rests, standsSinceMs: undefined, readMs: undefined } }
}

const withoutDeadline = (known: FenceKnowledge, deadlineMs: number): FenceKnowledge => {
  const at = known.outstanding.indexOf(deadlineMs)
  return at < 0 ? known : { ...known, outstanding: known.outstanding.filter((_, i) => i !== at) }
}

const withDevice = (known: FenceKnowledge, level: DeviceLevel, patch: Partial<DeviceKnowledge>): FenceKnowledge => ({
  ...known,
  devices: new Map(known.devices).set(level, { ...(known.devices.get(level) ?? NO_DEVICE), ...patch }),
})
