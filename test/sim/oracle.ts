/** Knows the truth, and holds the protocol to its invariants (the numbers are those of the design). */
import { mayBecome } from '../../kit/arrows.ts'
import { INTENT_TABLE } from '../../host-agent/evacuate/intents.ts'
import { type Intent } from '../../host-agent/protocol/records.ts'
import { INCIDENT_TABLE } from '../../host-agent/fence/states.ts'
import { type Incident } from '../../host-agent/protocol/records.ts'
import type { PoisonPill } from '../../host-agent/protocol/poison-pill.ts'
import { TICKET_MS } from '../../host-agent/protocol/timing.ts'
import { holdKey, KEYS, type Hold, type MemberRecord, type Policy } from '../../host-agent/protocol/records.ts'
import type { Change } from '../../host-agent/cluster/store.ts'
import type { Alert } from '../../host-agent/cluster/decision.ts'
import type { SimBmc } from './bmc.ts'
import type { SimNode } from './node.ts'
import type { SimRack } from './rack.ts'

const SEEN_MS = 2_500

export class Oracle {
  readonly violations: string[] = []
  readonly alerts: Alert[] = []
  falseFences = 0
  doubleRuns = 0
  /** Host -> when it was confirmed, fenced. */
  readonly confirmedMs = new Map<string, number>()
  readonly fencedMs = new Map<string, number>()
  readonly incidents = new Map<string, Incident>()
  private readonly intents = new Map<string, Intent>()
  readonly trace: string[] = []
  /** Since when each host is linked to somebody that the leader hears, without a gap. */
  private readonly linkedSince = new Map<string, number>()
  private readonly grantableSince = new Map<string, number>()
  /** Boots of hosts that read a poison pill in their slot: nothing takes it back, and they reset themselves. */
  private readonly poisonedBoots = new Set<string>()
  private readonly rack: SimRack
  private readonly fencedFirst: { host: string; atMs: number }[] = []

  constructor(rack: SimRack) {
    this.rack = rack
  }

  violated(what: string): void {
    if (this.violations.length < 20) this.violations.push(`${(this.rack.engine.nowMs / 1000).toFixed(2)} s: ${what}`)
  }

  note(what: string): void {
    if (this.trace.length < 2_000) this.trace.push(`${(this.rack.engine.nowMs / 1000).toFixed(2)} ${what}`)
  }

  alerted(alert: Alert): void {
    this.alerts.push(alert)
    this.note(`alert: ${alert.says.slice(0, 300)}`)
  }

  /** I1, I9. */
  started(instance: string, host: string): void {
    const proven = [...this.incidents.values()].find(
      (one) => one.host === host && (one.state === 'fenced' || one.state === 'evacuating' || one.state === 'evacuated'),
    )
    if (proven) this.violated(`I9: ${instance} starts on ${host}, which is ${proven.state}`)
    const where = this.rack.hosts.filter((node) => node.guests.has(instance)).map(({ name }) => name)
    this.note(`${instance} starts on ${host}`)
    if (where.length < 2) return
    this.doubleRuns += 1
    this.violated(`I1: ${instance} runs on ${where.join(' and ')}`)
  }

  /** I3, I5, I15. */
  offSent(by: SimNode, host: SimNode, sent: { deadlineMs: number; bmc?: SimBmc }): void {
    const { bmc } = sent
    this.leaseOutlasts(by, sent.deadlineMs, `OFF to ${host.name}`)
    this.note(`${by.name} sends OFF to the ${bmc ? 'BMC' : 'outlets'} of ${host.name}`)
    if (this.rack.consul.holder() !== by.name && this.rack.engine.nowMs > this.rack.consul.excusedUntilMs(by.name))
      this.violated(
        `I5: ${by.name} sends OFF to ${host.name} and does not hold the lock (${this.rack.consul.holder()} does)`,
      )
    // What is rewired within the last look cannot be seen by anybody.
    if (bmc && bmc.wired !== host && this.rack.engine.nowMs - bmc.rewiredMs > SEEN_MS)
      this.violated(`I15: OFF for ${host.name} goes to the machine of ${bmc.wired.name}`)
    const since = this.linkedSince.get(host.name)
    // That it took its word back (a guest had come to it meanwhile) is known once it was heard.
    if (
      this.rack.engine.nowMs - host.consentedMs < SEEN_MS ||
      !this.visible(host) ||
      since === undefined ||
      this.rack.engine.nowMs - since < SEEN_MS
    )
      return
    this.falseFences += 1
    this.violated(`I3: OFF is sent to ${host.name}, which is alive and can be seen`)
  }

  /** I5, I6: what a leader asks for is over before its lease is. */
  leaseOutlasts(by: SimNode, deadlineMs: number, what: string): void {
    const lease = this.rack.arbiters.find(({ node }) => node === by)?.core.lease
    if (!lease || lease.endsMs < deadlineMs)
      this.violated(`I5: ${by.name} sends ${what}, which may last longer than its lease`)
  }

  /** I4: nothing takes effect on a host that nobody is fencing any more. */
  offTakesEffect(node: SimNode, astray: boolean): void {
    if (!node.powered) return
    const live = [...this.incidents.values()].find(
      ({ host, state }) => host === node.name && state !== 'recovered' && state !== 'cancelled',
    )
    this.note(`${node.name} loses its power by OFF`)
    if (!live && !astray) this.violated(`I4: ${node.name} is switched off after its incident was over`)
    node.powerOff()
  }

  /** I19: once a majority of the arbiters was seen to withhold it, and the tickets are over, nobody grants it. */
  granted(host: SimNode, by: SimNode): void {
    const { nowMs } = this.rack.engine
    for (const { core } of this.rack.arbiters) {
      const withheldMs = core.leads(nowMs) ? core.memory.of(host.name).fence.withheldSinceMs : undefined
      if (withheldMs !== undefined && nowMs > withheldMs + TICKET_MS)
        this.violated(`I19: ${by.name} grants ${host.name} a lease that is withheld`)
    }
  }

  /** I12: a pill is read only while its incident goes on. */
  pillRead(node: SimNode, pill: PoisonPill): void {
    if (this.poisonedBoots.has(pill.boot)) return
    this.poisonedBoots.add(pill.boot)
    this.note(`${node.name} reads a poison pill`)
    const incident = this.incidents.get(pill.incident)
    if (incident?.host !== node.name || incident.state === 'recovered' || incident.state === 'cancelled')
      this.violated(`I12: ${node.name} reads a poison pill, and ${pill.incident} is ${incident?.state ?? 'unknown'}`)
  }

  /** I12. */
  watchdogFired(node: SimNode): void {
    this.note(`the watchdog of ${node.name} fires`)
    if (!node.agentUp || this.poisonedBoots.has(node.member.bootId)) return
    const since = this.grantableSince.get(node.name)
    const pursued = [...this.incidents.values()].some(
      ({ host, state }) => host === node.name && state !== 'recovered' && state !== 'cancelled',
    )
    const arbitersUp = this.rack.arbiters.filter(({ node: one }) => one.agentUp).length
    const calm =
      this.rack.lossShare === 0 &&
      this.rack.jitterMs === 0 &&
      arbitersUp === this.rack.arbiters.length &&
      this.rack.cuts.every((cut) => cut === 0)
    if (!pursued && calm && since !== undefined && this.rack.engine.nowMs - since > 20_000)
      this.violated(`I12: ${node.name} resets itself with a live channel`)
  }

  /** Every stored change is one that the tables know; I2, I7, I8, I10, I11, I13, I14, I16, I18. */
  written(changes: readonly Change[], by: string): void {
    for (const { key, value } of changes) {
      if (key.startsWith(KEYS.intents) && value !== undefined) this.intentWritten(key, value as Intent)
      if (!key.startsWith(KEYS.incidents) || value === undefined) continue
      const next = value as Incident
      const before = this.incidents.get(next.id)
      this.incidents.set(next.id, next)
      if (!mayBecome(INCIDENT_TABLE, before?.state, next.state))
        this.violated(
          `the table of incidents has no arrow from ${before?.state ?? 'the beginning'} to ${next.state} (${next.id})`,
        )
      if (before?.state !== next.state)
        this.note(`${by}: ${next.host} is ${next.state}: ${next.lines.at(-1)?.says.split('\n')[0]}`)
      if (before && next.epoch < before.epoch) this.violated(`I16: the epoch of ${next.id} falls`)
      if (!this.rack.hasQuorum(this.rack.nodeOf(by))) this.violated(`I18: ${by} writes ${next.id} without a quorum`)
      if (!before && next.cause === 'silent') this.taken(next)
      if (next.state === 'recovered' && before?.state === 'returning' && this.rack.cloud.isLeaving(next.host))
        this.violated(`I10: ${next.host} is taken back while instances are on their way from it`)
      if (!before) this.confirmedMs.set(next.host, this.confirmedMs.get(next.host) ?? this.rack.engine.nowMs)
      if (next.offs > (before?.offs ?? 0)) this.offOwed(next, before)
      if (next.proof && !before?.proof) this.proved(next)
      if (next.state === 'evacuating' && !next.proof) this.violated(`I2: ${next.host} is evacuated without a proof`)
    }
  }

  private intentWritten(key: string, next: Intent): void {
    const before = this.intents.get(key)
    this.intents.set(key, next)
    if (!mayBecome(INTENT_TABLE, before?.state, next.state))
      this.violated(
        `the table of intents has no arrow from ${before?.state ?? 'the beginning'} to ${next.state} (${key})`,
      )
    if (before && next.epoch < before.epoch) this.violated(`I16: the epoch of ${key} falls`)
  }

  /** I13, I14: taken for dead. */
  private taken({ host }: Incident): void {
    const node = this.rack.nodeOf(host)
    const since = this.linkedSince.get(host)
    if (this.visible(node) && since !== undefined && this.rack.engine.nowMs - since >= SEEN_MS)
      this.violated(`I13: ${host} is taken for dead, and can be seen`)
    const boot = (this.rack.consul.entries.get(KEYS.members + host)?.value as MemberRecord | undefined)?.boot
    if (boot?.leaving && boot.id === node.member.bootId)
      this.violated(`I14: ${host} left as planned, and is taken for dead`)
  }

  private offOwed(next: Incident, before: Incident | undefined): void {
    const { entries } = this.rack.consul
    const policy = entries.get(KEYS.policy)?.value as Policy
    // An order of a person stands above both, but not above a deploy.
    const ordered = next.cause === 'operator'
    if (!policy.armed && !ordered) this.violated(`I8: OFF is owed to ${next.host} while the mesh is disarmed`)
    const hold = entries.get(holdKey(next.host))?.value as Hold | undefined
    if (hold && hold.kind !== 'drain' && !(ordered && hold.kind === 'maintenance'))
      this.violated(`I8: OFF is owed to ${next.host}, which is held`)
    if (before?.offs) return
    const nowMs = this.rack.engine.nowMs
    const others = this.fencedFirst.filter(({ host, atMs }) => host !== next.host && nowMs - atMs < 600_000)
    if (others.length >= 1)
      this.violated(`I7: ${next.host} is fenced, and ${others.map(({ host }) => host).join()} was already`)
    this.fencedFirst.push({ host: next.host, atMs: nowMs })
  }

  /** I11: a proof is true. */
  private proved(next: Incident): void {
    const node = this.rack.nodeOf(next.host)
    this.fencedMs.set(next.host, this.fencedMs.get(next.host) ?? this.rack.engine.nowMs)
    if (node.guests.size > 0)
      this.violated(`I11: ${next.host} is proven down by ${next.proof?.level} and runs ${[...node.guests].join()}`)
  }

  /** Whether an incident is on its way to somewhere. */
  unsettled(): boolean {
    return [...this.incidents.values()].some(
      ({ state }) => state !== 'recovered' && state !== 'cancelled' && state !== 'evacuated',
    )
  }

  settledDown(host: string): boolean {
    return [...this.incidents.values()].some((incident) => incident.host === host && incident.state === 'evacuated')
  }

  /** Sampled: whether the host shows itself to somebody whom the leader hears. */
  sample(): void {
    const { nowMs } = this.rack.engine
    for (const host of this.rack.hosts) {
      if (this.visible(host)) this.linkedSince.set(host.name, this.linkedSince.get(host.name) ?? nowMs)
      else this.linkedSince.delete(host.name)
      // Leases come from arbiters themselves, and only while a majority of them hears each other.
      const near = this.rack.arbiters.filter(
        ({ node }) =>
          node.agentUp &&
          [0, 1, 2].some((plane) => this.rack.linked(host, node, plane) && this.rack.linked(node, host, plane)),
      )
      if (host.agentUp && near.length === this.rack.arbiters.length)
        this.grantableSince.set(host.name, this.grantableSince.get(host.name) ?? nowMs)
      else this.grantableSince.delete(host.name)
    }
  }

  visible(host: SimNode): boolean {
    const { rack } = this
    if (!host.agentUp || rack.lossShare > 0.3 || rack.jitterMs > 500) return false
    const leader = rack.consul.lock?.by
    if (leader === undefined) return false
    const node = rack.nodeOf(leader)
    const path = (a: SimNode, b: SimNode) =>
      [0, 1, 2].some((plane) => rack.linked(a, b, plane) && rack.linked(b, a, plane))
    if (!node.agentUp) return false
    return (
      path(host, node) ||
      rack.nodes.some(
        (other) => other !== host && other !== node && other.agentUp && path(host, other) && path(other, node),
      )
    )
  }
}
