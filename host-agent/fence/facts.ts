/** The facts that an incident is decided by, gathered from what is known. Pure: to look is not to act. */
import { CLOCK_DRIFT, HOST_LEASE_MS, RESET_MARGIN_MS, TICKET_MS } from '../protocol/timing.ts'
import type { DeviceLevel, Hold, Incident, Policy } from '../protocol/records.ts'
import type { BootRecord, Member } from '../protocol/heartbeat.ts'
import type { Verdict } from '../verdict/assess.ts'
import { lifeVeto } from '../verdict/conditions.ts'
import type { View } from '../verdict/view.ts'
import { isUnfit } from '../verdict/planes.ts'
import { provenOff, type DeviceFacts, type Facts, type SlotFacts } from './guards.ts'
import { identityAt, outstandingAt, type FenceKnowledge } from './knowledge.ts'
import { isCooperative } from './states.ts'

/** What is known of an incident and of its host. */
export interface IncidentView {
  readonly incident: Incident
  /** When this leader first saw the record in its state. */
  readonly stateSinceMs: number
  readonly known: FenceKnowledge
  readonly member: Member | undefined
  readonly verdict: Verdict | undefined
  /** Maintenance, a deploy, a planned leave. */
  readonly hold: Hold | undefined
  /** The newest boot of the host that anybody knows. */
  readonly lastBoot: Pick<BootRecord, 'id' | 'watchdogMs'> | undefined
  /** Since when only forgeable signs of life have held up the fence. */
  readonly softSinceMs: number | undefined
  /** Why its BMC is to be left alone. */
  readonly updating: string | undefined
  readonly deviceLevels: readonly DeviceLevel[]
  readonly instances: Facts['instances']
  readonly readmitted: boolean
}

/** What is the same for all incidents at one moment. */
export interface LeaderView {
  readonly view: View
  /** Wall clock, for people alone. */
  readonly at: string
  readonly policy: Policy
  readonly epoch: number
  readonly leaseLeftMs: number
  readonly quiesced: boolean
}

export function factsOf(about: IncidentView, leader: LeaderView): Facts {
  const { incident, known, member, verdict } = about
  const { view, policy } = leader
  const { nowMs, evidence, limits } = view
  const self = evidence.selfOf(incident.host)
  const boot = evidence.bootOf(incident.host)
  const isFresh = self !== undefined && boot !== undefined && nowMs - boot.atMs <= limits.vetoMs
  const consents = hasConsent(about, view)
  const isOrdered = incident.cause === 'operator'
  const veto = member && lifeVeto(member, view, policy.agentLost === 'fence' ? about.softSinceMs : undefined)

  return {
    nowMs,
    at: leader.at,
    epoch: leader.epoch,
    leaseLeftMs: leader.leaseLeftMs,
    quiesced: leader.quiesced,
    // A person's order, or the host's own consent, stands above its signs of life.
    veto: consents || isOrdered ? null : (veto?.kind ?? null),
    confirmed:
      consents ||
      isOrdered ||
      verdict?.state === 'confirmed' ||
      (isCooperative(incident) && verdict?.state !== 'healthy'),
    halted: haltOf(about, policy),
    reads: known.reads,
    identity: identityAt(known, nowMs),
    updating: about.updating ?? null,
    outstanding: outstandingAt(known, nowMs),
    lastOffMs: known.lastOffMs,
    devices: devicesOf(about, nowMs),
    stateSinceMs: about.stateSinceMs,
    levels: policy.levels,
    ...resetBy(about),
    lifeAtMs: veto?.kind === 'hard' ? nowMs - veto.ageMs : null,
    newBoot:
      isFresh && boot.bootId !== incident.bootId
        ? { bootId: boot.bootId, quarantined: self.state === 'quarantined', guests: self.guests }
        : null,
    instances: { listed: incident.listed || about.instances.listed, open: about.instances.open },
    readmitted: about.readmitted,
    // If the host has not reported its gate since it died, its last report stands; a host without a gate is not
    // admitted at boot.
    gated: self === undefined || self.gate !== 'none',
  }
}

/** Its consent is valid while its planes are down: when they are back, it starts its guests again. */
function hasConsent({ incident, verdict }: IncidentView, { evidence }: View): boolean {
  return (
    isCooperative(incident) &&
    isUnfit(verdict?.action) &&
    evidence.selfOf(incident.host)?.consents === true &&
    evidence.bootOf(incident.host)?.bootId === incident.bootId
  )
}

/** Why no new fence may begin. A person's order stands above disarming and maintenance, but not above a deploy. */
function haltOf({ incident, hold }: IncidentView, policy: Policy): string | null {
  const isOrdered = incident.cause === 'operator'
  if (!policy.armed && !isOrdered) return `the mesh is disarmed: ${policy.why}`
  if (!hold) return null
  return hold.kind !== 'maintenance' || !isOrdered ? hold.why : null
}

const devicesOf = ({ deviceLevels, known }: IncidentView, nowMs: number): DeviceFacts[] =>
  deviceLevels.map((level) => {
    const device = known.devices.get(level)
    if (!device) return { level, lastOffMs: null, fault: undefined, off: false }
    const { lastOffMs, fault, reads } = device
    return { level, lastOffMs, fault, off: lastOffMs !== null && provenOff(reads, nowMs) }
  })

/** L3: since a majority of arbiters was seen to withhold its lease, and the poison pill to stand in its slot, tickets,
 *  its lease and its watchdog must run out, one after the other. A host that reads its slot would otherwise go on
 *  petting by that channel alone. */
function resetBy(about: IncidentView): { resetByMs: number | null; slot: SlotFacts | null } {
  const { incident, known, lastBoot } = about
  const watchdogMs = lastBoot?.watchdogMs ?? null
  const isSlotted = about.member?.writesStorageHeartbeat === true
  const { withheldSinceMs, pill } = known
  const slot = (wanted: boolean) => (isSlotted ? { wanted, readMs: pill.readMs ?? null } : null)

  if (watchdogMs === null || lastBoot?.id !== incident.bootId || withheldSinceMs === undefined)
    return { resetByMs: null, slot: slot(false) }
  if (!isSlotted) return { resetByMs: resetDeadline(withheldSinceMs, watchdogMs), slot: null }
  if (pill.standsSinceMs === undefined) return { resetByMs: null, slot: slot(true) }
  return { resetByMs: resetDeadline(Math.max(withheldSinceMs, pill.standsSinceMs), watchdogMs), slot: slot(false) }
}

const resetDeadline = (fromMs: number, watchdogMs: number) =>
  fromMs + (TICKET_MS + HOST_LEASE_MS + watchdogMs) * CLOCK_DRIFT + RESET_MARGIN_MS
