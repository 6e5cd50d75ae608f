/** (incident, facts) -> what the incident becomes and which actions follow. Pure: production, the simulation and the
 *  model check run this one. No action precedes the record that it follows from; what was found out and lost with a
 *  leader is found out again. */
import { LEVELS, type DeviceLevel, type Incident, type Level } from '../protocol/records.ts'
import {
  COMMAND_MS,
  FENCE_GUARDS,
  livesAfterOff,
  mayDeviceOff,
  mayWrite,
  READ_APART_MS,
  type DeviceFacts,
  type Facts,
  type FenceGuards,
} from './guards.ts'
import { lifeAfterOff, noProof, offRefusal, saysOff } from './reasons.ts'
import { move, noteCommand } from './record.ts'

/** What an incident asks for next. `arbiter/decide.ts` makes effects of it. */
export type FenceAction =
  | { readonly do: 'read power' }
  /** Sent only after the record that counts it is stored. */
  | { readonly do: 'power off'; readonly n: number }
  | { readonly do: 'device off'; readonly level: DeviceLevel }
  | { readonly do: 'write pill' }
  | { readonly do: 'read pill' }
  | { readonly do: 'list instances' }
  | { readonly do: 'move instances' }
  | { readonly do: 'readmit' }

export interface Step {
  /** Stored before any action. */
  readonly next?: Incident
  readonly actions?: readonly FenceAction[]
  /** For a person. */
  readonly alert?: string
  /** The host lives although its BMC says "off": another machine may have been switched off, and nobody is to be fenced
   *  until a person has looked. */
  readonly disproved?: true
}

/** After this long without a proof the incident says so, and keeps trying. */
export const FENCE_MS = 20_000
const RETRY_MS = 30_000
/** Two readings that lie READ_APART_MS apart are wanted; reading oftener finds the first one sooner. */
const READ_EVERY_MS = READ_APART_MS / 2
/** A BMC is given this long, and each level of devices after it. */
const DEVICE_AFTER_MS = 6_000
const GUARD_EVERY_MS = 5_000
const AGAIN_MS = 3_000

export function stepIncident(incident: Incident, facts: Facts, guards: FenceGuards = FENCE_GUARDS): Step {
  if (!mayWrite(incident, facts) || facts.leaseLeftMs <= 0 || !facts.quiesced) return {}
  switch (incident.state) {
    case 'confirmed':
      return confirmed(incident, facts, guards)
    case 'fencing':
      return fencing(incident, facts, guards)
    case 'fence failed':
      return failed(incident, facts, guards)
    case 'fenced':
      return fenced(incident, facts, guards)
    case 'evacuating':
      return evacuating(incident, facts, guards)
    case 'evacuated':
      return evacuated(incident, facts, guards)
    case 'returning':
      return returning(incident, facts, guards)
    default:
      return {}
  }
}

function confirmed(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  if (!guards.lifeless(facts))
    return { next: move(incident, facts, { on: 'life', says: 'it showed life before OFF was sent' }) }
  if (incident.attested) return { next: proveBy(incident, 'L5', facts) }
  if (guards.proven(facts)) return { next: proveBy(incident, 'L0', facts) }
  if (!guards.allowed(facts))
    return facts.confirmed
      ? {}
      : { next: move(incident, facts, { on: 'life', says: `given up: ${facts.halted ?? ''}` }) }
  if (!facts.confirmed) return { next: move(incident, facts, { on: 'life', says: 'the verdict no longer holds' }) }
  // L1 needs to know whose BMC it is; without it the slower levels are left, which run in "fencing" as well.
  if (!mayOff(facts, guards) && facts.nowMs - facts.stateSinceMs < AGAIN_MS) return read(facts)
  return mayOff(facts, guards)
    ? sendOff(move(incident, facts, { on: 'fence', says: 'OFF goes to its BMC' }), facts)
    : {
        next: move(incident, facts, { on: 'fence', says: offRefusal(facts) }),
        alert: `cannot switch off ${incident.host}: ${offRefusal(facts)}`,
      }
}

function fencing(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  const proof = proofOf(incident, facts, guards)
  if (proof && guards.lifeless(facts) && guards.deadline(facts)) return { next: proveBy(incident, proof, facts) }
  if (!guards.lifeless(facts) && guards.deadline(facts) && wasSentOff(facts) && livesAfterOff(facts))
    return {
      next: move(incident, facts, { on: 'life', says: lifeAfterOff(facts) }),
      alert: `${incident.host} shows life after OFF was sent: ${lifeAfterOff(facts)}`,
      ...(saysOff(facts) ? { disproved: true as const } : {}),
    }
  if (facts.nowMs - facts.stateSinceMs > FENCE_MS && guards.deadline(facts))
    return {
      next: move(incident, facts, { on: 'no proof', says: noProof(facts) }),
      alert: `${incident.host} is not fenced: ${noProof(facts)}`,
    }
  const last = facts.reads.at(-1)
  const again =
    facts.lastOffMs === null ||
    (facts.nowMs - facts.lastOffMs > AGAIN_MS &&
      last !== undefined &&
      last.atMs > facts.lastOffMs &&
      last.power === 'on')
  if (again && facts.outstanding === 0 && mayOff(facts, guards)) return sendOff(incident, facts)
  const device = nextDevice(facts, guards)
  if (device)
    return {
      next: noteCommand({ ...incident, epoch: facts.epoch }, facts, `OFF by ${device.level}: ${LEVELS[device.level]}`),
      actions: [{ do: 'device off', level: device.level }],
    }
  return { actions: [...(read(facts).actions ?? []), ...keepPill(facts, guards)] }
}

/** Outlets and storage come after the BMC: at once when it cannot be used, otherwise when it gave no proof. */
function nextDevice(facts: Facts, guards: FenceGuards): DeviceFacts | undefined {
  const bmc = facts.levels.includes('L1') && facts.identity === 'match' && guards.undisturbed(facts)
  if (bmc && facts.nowMs - facts.stateSinceMs < DEVICE_AFTER_MS) return undefined
  if (facts.outstanding > 0 || !guards.lease(facts) || !guards.silent(facts) || !guards.allowed(facts)) return undefined
  // One after the other: the next level only when the one before did not answer for long enough.
  for (const device of facts.devices) {
    if (!facts.levels.includes(device.level) || !mayDeviceOff(device.level, facts, guards)) continue
    if (device.lastOffMs === null || facts.nowMs - device.lastOffMs > RETRY_MS) return device
    if (facts.nowMs - device.lastOffMs < DEVICE_AFTER_MS) return undefined
  }
  return undefined
}

/** L3: the poison pill stands in the slot that the host reads, and is read back when the watchdog must have fired. */
function keepPill(facts: Facts, guards: FenceGuards): FenceAction[] {
  const { slot, resetByMs, nowMs } = facts
  if (slot === null || !facts.levels.includes('L3')) return []
  if (slot.wanted)
    return guards.lease(facts) && guards.silent(facts) && guards.allowed(facts) ? [{ do: 'write pill' }] : []
  return resetByMs !== null && nowMs >= resetByMs && (slot.readMs === null || slot.readMs < resetByMs)
    ? [{ do: 'read pill' }]
    : []
}

function failed(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  const proof = proofOf(incident, facts, guards)
  if (proof && guards.lifeless(facts) && guards.deadline(facts)) return { next: proveBy(incident, proof, facts) }
  const longAlive = !guards.lifeless(facts) && guards.deadline(facts) && facts.nowMs - facts.stateSinceMs > AGAIN_MS
  if (longAlive && facts.newBoot === null)
    return { next: move(incident, facts, { on: 'life', says: 'it lives; nothing was moved' }) }
  if (longAlive && facts.newBoot)
    return { next: move(incident, facts, { on: 'life', says: 'it has booted again; nothing was moved' }) }
  const since = Math.max(facts.stateSinceMs, facts.lastOffMs ?? Number.NEGATIVE_INFINITY)
  if (guards.lifeless(facts) && guards.allowed(facts) && facts.confirmed && facts.nowMs - since > RETRY_MS)
    return { next: move(incident, facts, { on: 'retry', says: 'still silent' }) }
  return { actions: [...(read(facts).actions ?? []), ...keepPill(facts, guards)] }
}

function fenced(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  const back = powerReturned(incident, facts, guards)
  if (back) return back
  if (!facts.instances.listed) return { actions: [{ do: 'list instances' }] }
  return {
    next: move({ ...incident, listed: true }, facts, {
      on: 'evacuate',
      says: `${facts.instances.open} instances to move`,
    }),
  }
}

function evacuating(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  const back = powerReturned(incident, facts, guards)
  if (back) return back
  if (facts.instances.open === 0)
    return { next: move(incident, facts, { on: 'done', says: 'every instance has arrived or is named with a reason' }) }
  return { actions: [{ do: 'move instances' }] }
}

function evacuated(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  const boot = facts.newBoot
  if (boot && boot.quarantined && boot.guests === 0 && guards.gate(facts))
    return {
      next: move({ ...incident, returnedBoot: boot.bootId }, facts, {
        on: 'back',
        says: `it is back as boot ${boot.bootId}, behind its gate, without guests`,
      }),
    }
  return {}
}

function returning(incident: Incident, facts: Facts, guards: FenceGuards): Step {
  if (facts.newBoot === null || facts.newBoot.bootId !== incident.returnedBoot)
    return facts.nowMs - facts.stateSinceMs > FENCE_MS
      ? { next: move(incident, facts, { on: 'done', says: 'it went away again' }) }
      : {}
  // I4: whatever was sent to its BMC must be over before it serves again.
  if (!facts.readmitted || !guards.deadline(facts)) return { actions: [{ do: 'readmit' }] }
  return { next: move(incident, facts, { on: 'admitted', says: 'it takes instances again' }) }
}

/** A host whose power is back is harmless behind a gate; without one it is fenced again before anything else is started
 *  elsewhere. */
function powerReturned(incident: Incident, facts: Facts, guards: FenceGuards): Step | undefined {
  if (guards.gate(facts)) return undefined
  const last = facts.reads.at(-1)
  if (last?.power === 'on' || facts.veto === 'hard')
    return {
      next: move({ ...incident, proof: null }, facts, {
        on: 'power returned',
        says: 'its power is back and no gate holds its guests',
      }),
      alert: `the power of ${incident.host} came back during its evacuation`,
    }
  return last === undefined || facts.nowMs - last.atMs >= GUARD_EVERY_MS ? read(facts) : undefined
}

const wasSentOff = ({ lastOffMs, devices }: Facts) =>
  lastOffMs !== null || devices.some((device) => device.lastOffMs !== null)

/** The best proof there is. */
function proofOf(incident: Incident, facts: Facts, guards: FenceGuards): Level | undefined {
  if (incident.attested) return 'L5'
  if (guards.proven(facts)) return incident.offs > 0 ? 'L1' : 'L0'
  const device = facts.devices.find(({ level, off }) => off && facts.levels.includes(level))
  if (device) return device.level
  if (
    facts.levels.includes('L3') &&
    facts.resetByMs !== null &&
    facts.nowMs >= facts.resetByMs &&
    guards.standing(facts)
  )
    return 'L3'
  return undefined
}

const mayOff = (facts: Facts, guards: FenceGuards) =>
  facts.levels.includes('L1') &&
  guards.lease(facts) &&
  guards.silent(facts) &&
  guards.allowed(facts) &&
  guards.identity(facts) &&
  guards.undisturbed(facts)

/** The record counts the command before it is sent. */
function sendOff(incident: Incident, facts: Facts): Step {
  const next = noteCommand(
    { ...incident, offs: incident.offs + 1, epoch: facts.epoch },
    facts,
    `OFF, command ${incident.offs + 1}, at most ${COMMAND_MS / 1000} s`,
  )
  return { next, actions: [{ do: 'power off', n: next.offs }] }
}

const read = (facts: Facts): Step => {
  const last = facts.reads.at(-1)
  return last && facts.nowMs - last.atMs < READ_EVERY_MS ? {} : { actions: [{ do: 'read power' }] }
}

function proveBy(incident: Incident, level: Level, facts: Facts): Incident {
  const says = level === 'L5' ? `${LEVELS.L5}: ${incident.attested?.by}` : LEVELS[level]
  return move({ ...incident, proof: { level, says, epoch: facts.epoch, at: facts.at } }, facts, {
    on: 'proof',
    says: `${level}: ${says}`,
  })
}
