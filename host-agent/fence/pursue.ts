/** Carries the incidents of the store on: gathers the facts, asks the pure step, stores what it says, and only then acts. */
import { pursueIntents, listInstances, openIntents } from '../evacuate/pursue.ts'
import type { ArbiterState } from '../arbiter/state.ts'
import { incidentKey } from '../protocol/records.ts'
import { lastBoot } from '../arbiter/leader-context.ts'
import { CLOCK_DRIFT, HOST_LEASE_MS, RESET_MARGIN_MS, TICKET_MS } from '../protocol/timing.ts'
import { isUnfit } from '../verdict/planes.ts'
import { lifeVeto, type View } from '../verdict/conditions.ts'
import { readBmc, readDevices, sendDeviceOff, sendOff } from './bmc.ts'
import { provenOff, type DeviceFacts, type Facts, type SlotFacts } from './guards.ts'
import { checkOrder, liftPills, orderDeath } from './pills.ts'
import { isCooperative } from './states.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { stepIncident, type Act } from './step.ts'
import { readmit } from './return.ts'

export function stepIncidents(core: ArbiterState, view: View): void {
  for (const { value: incident, key, index, stateMs } of Array.from(core.cluster.incidents.values())) {
    if (isOver(incident) || core.isWriting(key)) continue
    const facts = factsOf(core, incident, { view, stateMs })
    const step = stepIncident(incident, facts, core.fenceGuards)
    if (step.page) core.page(incident.host, `${incident.id} ${incident.state} ${step.page}`, step.page)
    const acts = step.acts ?? []
    const act = () => acts.forEach((one) => perform(core, step.next ?? incident, one))
    if (!step.next) {
      act()
      continue
    }
    const next = step.next
    const ordered = next.offs > incident.offs || acts.some((one) => one.do === 'device off')
    const guards = ordered ? core.permission(incident.host) : []
    core.put([{ key: incidentKey(next.id), value: next, index }], { nowMs: view.nowMs, guards }, (ok) => {
      if (!ok) return
      announce(core, incident, next)
      act()
      core.tick(core.world.now())
    })
    if (step.disproved) disarm(core, next, view.nowMs)
  }
  liftPills(core, view.nowMs)
}

export function factsOf(core: ArbiterState, incident: Incident, at: { view: View; stateMs: number }): Facts {
  const { view } = at
  const { nowMs } = view
  const post = core.remembered(incident.host)
  const member = core.cluster.memberOf(incident.host)
  const self = core.evidence.selfOf(incident.host)
  const policy = core.cluster.policy.value
  const hold = core.cluster.holdOf(incident.host)
  const boot = core.evidence.bootOf(incident.host)
  const cooperative = isCooperative(incident)
  // Its word is good while the trouble lasts: when that is over, it starts its guests again.
  const consents =
    cooperative &&
    isUnfit(core.verdicts.get(incident.host)?.action) &&
    self?.consents === true &&
    boot?.bootId === incident.bootId
  const veto = member ? lifeVeto(member, view, policy.agentLost === 'fence' ? post.softSinceMs : undefined) : undefined
  const fresh = self !== undefined && boot !== undefined && nowMs - boot.atMs <= view.limits.vetoMs
  const verdict = core.verdicts.get(incident.host)?.state
  const intents = core.cluster.intentsOf(incident.id).map(({ value }) => value)
  return {
    nowMs,
    at: core.world.wall(),
    epoch: core.lease?.epoch ?? 0,
    leaseLeftMs: core.leaseLeftMs(nowMs),
    quiesced: core.quiesced,
    // A person's order, or the host's own, stands above its signs of life.
    veto: consents || incident.cause === 'operator' ? null : (veto?.kind ?? null),
    confirmed:
      consents || incident.cause === 'operator' || verdict === 'confirmed' || (cooperative && verdict !== 'healthy'),
    halted:
      !policy.armed && incident.cause !== 'operator'
        ? `the mesh is disarmed: ${policy.why}`
        : hold && hold.kind !== 'maintenance'
          ? hold.why
          : hold && incident.cause !== 'operator'
            ? hold.why
            : null,
    reads: post.reads,
    identity: post.identityNow(nowMs),
    outstanding: post.pending(nowMs),
    lastOffMs: post.lastOffMs,
    devices: devicesOf(core, incident.host, nowMs),
    stateSinceMs: at.stateMs,
    levels: policy.levels,
    ...resetBy(core, incident),
    lifeAtMs: veto?.kind === 'hard' ? nowMs - veto.ageMs : null,
    newBoot:
      fresh && boot.bootId !== incident.bootId
        ? { bootId: boot.bootId, quarantined: self.state === 'quarantined', guests: self.guests }
        : null,
    instances: { listed: incident.listed || post.listed, open: openIntents(intents) },
    readmitted: post.enabled,
    // No word of its gate since it died is as good as the word before: it was asked for at every boot before it was let in.
    gated: self === undefined || self.gate !== 'none',
  }
}

const devicesOf = (core: ArbiterState, host: string, nowMs: number): DeviceFacts[] =>
  core.world.deviceLevels(host).map((level) => {
    const device = core.remembered(host).devices.get(level)
    if (!device) return { level, lastOffMs: null, fault: undefined, off: false }
    return {
      level,
      lastOffMs: device.lastOffMs,
      fault: device.fault,
      off: device.lastOffMs !== null && provenOff(device.reads, nowMs),
    }
  })

/** L3: from when a majority of arbiters were seen to grant it nothing, and the order to die stood in its slot, tickets, its lease and its watchdog must run
 *  out, one after the other. A host that reads its slot would otherwise go on petting by that channel alone. */
function resetBy(core: ArbiterState, incident: Incident): { resetByMs: number | null; slot: SlotFacts | null } {
  const boot = lastBoot(core, incident.host)
  const watchdogMs = boot?.watchdogMs ?? null
  const isSlotted = core.cluster.memberOf(incident.host)?.ticks === true
  const { withheldAtMs, pill } = core.remembered(incident.host)
  const slot = (wanted: boolean) => (isSlotted ? { wanted, readMs: pill.readMs ?? null } : null)
  if (watchdogMs === null || boot?.id !== incident.bootId || withheldAtMs === undefined)
    return { resetByMs: null, slot: slot(false) }
  if (!isSlotted) return { resetByMs: deadline(withheldAtMs, watchdogMs), slot: null }
  if (pill.standsSinceMs === undefined) return { resetByMs: null, slot: slot(true) }
  return { resetByMs: deadline(Math.max(withheldAtMs, pill.standsSinceMs), watchdogMs), slot: slot(false) }
}

const deadline = (fromMs: number, watchdogMs: number) =>
  fromMs + (TICKET_MS + HOST_LEASE_MS + watchdogMs) * CLOCK_DRIFT + RESET_MARGIN_MS

function perform(core: ArbiterState, incident: Incident, act: Act): void {
  const nowMs = core.world.now()
  switch (act.do) {
    case 'read power':
      readDevices(core, incident.host, nowMs)
      return readBmc(core, incident.host, nowMs)
    case 'power off': {
      // I3: the look just before. The record owes it; when something speaks against it now, the next step decides again.
      const facts = factsOf(core, incident, { view: core.view(nowMs), stateMs: nowMs })
      const { lease, silent, allowed, identity } = core.fenceGuards
      if (lease(facts) && silent(facts) && allowed(facts) && identity(facts)) sendOff(core, incident.host, nowMs)
      return
    }
    case 'device off': {
      const facts = factsOf(core, incident, { view: core.view(nowMs), stateMs: nowMs })
      const { lease, silent, allowed } = core.fenceGuards
      if (lease(facts) && silent(facts) && allowed(facts))
        sendDeviceOff(core, { host: incident.host, level: act.level }, nowMs)
      return
    }
    case 'order death':
      return orderDeath(core, incident)
    case 'check the order':
      return checkOrder(core, incident)
    case 'list instances':
      return listInstances(core, incident)
    case 'move instances':
      return pursueIntents(core, incident, nowMs)
    case 'readmit':
      return readmit(core, incident, nowMs)
  }
}

function announce(core: ArbiterState, before: Incident, after: Incident): void {
  if (before.state === after.state) return
  core.page(
    after.host,
    `${after.id} ${after.state} ${after.offs}`,
    `${after.host}: ${after.lines.at(-1)?.says ?? after.state}`,
  )
}

function disarm(core: ArbiterState, incident: Incident, nowMs: number): void {
  const { policy } = core.cluster
  if (!policy.value.armed) return
  const value = {
    ...policy.value,
    armed: false,
    by: 'rackward',
    why: `the BMC of ${incident.host} says "off" while the host is heard: its address may be another machine’s`,
  }
  core.put(
    [{ key: policy.key, value, index: policy.index }],
    { nowMs },
    (ok) => ok && core.page(null, `disarmed ${incident.id}`, `disarmed: ${value.why}`),
  )
}
