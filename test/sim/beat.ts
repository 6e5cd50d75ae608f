/** What goes on all the time in the simulated rack: probes, heartbeats, storage heartbeats, and the arbiters that
 *  listen. */
import { replyTo } from '../../host-agent/arbiter/heartbeat-reply.ts'
import { statementOf } from '../../host-agent/arbiter/leases.ts'
import { KEYS, type MemberRecord } from '../../host-agent/protocol/records.ts'
import { PLANES, type Heartbeat } from '../../host-agent/protocol/heartbeat.ts'
import type { SimNode } from './node.ts'
import type { SimArbiter, SimRack } from './rack.ts'

const TICK_MS = 250

export class Beat {
  private readonly rack: SimRack
  private nonces = 0

  constructor(rack: SimRack) {
    this.rack = rack
  }

  start(node: SimNode): void {
    let round = 0
    const tick = (): void => {
      this.rack.engine.after(TICK_MS, tick)
      round += 1
      node.watchdog()
      if (!node.runs) return
      this.storage(node)
      if (!node.agentUp) return
      node.look()
      node.member.self = node.selfReport()
      this.probe(node, round)
      if (round % 4 === 0) this.register(node)
      const arbiter = node.isArbiter ? this.rack.arbiters.find((one) => one.node === node) : undefined
      if (arbiter) this.arbiterTick(arbiter, round)
      else if (round % 2 === 0) this.send(node, node.member.heartbeat(this.rack.engine.nowMs))
    }
    this.rack.engine.after(this.rack.engine.between(0, TICK_MS), tick)
  }

  private storage(node: SimNode): void {
    const reachable = this.rack.storage.out === 0 && node.planeDown[1] === 0
    if (reachable) node.tick += 1
    if (reachable && this.rack.schedule.ticks && node.agentUp && !node.isArbiter) {
      const pill = this.rack.storage.pillFor(node.name, node.member.bootId)
      if (pill) this.rack.oracle.pillRead(node, pill)
      node.member.onSlot({ poisoned: pill !== undefined }, this.rack.engine.nowMs)
    }
    node.storageLostSinceMs = reachable ? undefined : (node.storageLostSinceMs ?? this.rack.engine.nowMs)
  }

  private probe(node: SimNode, round: number): void {
    const { nowMs } = this.rack.engine
    node.member.setMembers(this.rack.arbiters[0]?.core.cluster.all ?? [])
    node.member.probe(
      () => String((this.nonces += 1)),
      node.lagMs,
      (peer, plane, nonce) => {
        const other = this.rack.nodeOf(peer)
        const index = PLANES.indexOf(plane)
        if (!other.agentUp || !this.rack.linked(node, other, index) || !this.rack.linked(other, node, index)) return
        if (this.rack.lossShare > 0 && this.rack.engine.chance(1 - (1 - this.rack.lossShare) ** 2)) return
        if (this.rack.jitterMs > 0 && this.rack.engine.chance(0.5)) {
          const { member } = node
          this.rack.engine.after(
            this.rack.engine.between(0, this.rack.jitterMs),
            () => node.runs && member.onProbeReply({ peer, plane, nonce }, this.rack.engine.nowMs),
          )
        } else node.member.onProbeReply({ peer, plane, nonce }, nowMs)
      },
    )
    if (round % 4 !== 0) return
    for (const peer of node.member.silent(2)) {
      const other = this.rack.nodeOf(peer)
      if (
        other.runs &&
        PLANES.some((_, i) => this.rack.linked(node, other, i) && this.rack.linked(other, node, i)) &&
        !this.rack.engine.chance(this.rack.lossShare)
      )
        node.member.onKernel(peer, nowMs)
    }
  }

  private send(node: SimNode, heartbeat: Heartbeat): void {
    for (const arbiter of this.rack.arbiters) {
      if (arbiter.node === node) continue
      const paths = PLANES.filter(
        (_, i) =>
          this.rack.linked(node, arbiter.node, i) &&
          !(this.rack.lossShare > 0 && this.rack.engine.chance(this.rack.lossShare)),
      )
      if (paths.length === 0) continue
      this.rack.engine.after(
        this.rack.engine.between(1, 8) +
          (this.rack.jitterMs > 0 && this.rack.engine.chance(0.5)
            ? this.rack.engine.between(0, this.rack.jitterMs)
            : 0),
        () => arbiter.node.defer(() => arbiter.node.agentUp && this.receive(arbiter, node, heartbeat)),
      )
    }
  }

  receive(arbiter: SimArbiter, from: SimNode, heartbeat: Heartbeat): void {
    const { nowMs } = this.rack.engine
    const { core } = arbiter
    if (!core.onHeartbeat(heartbeat, nowMs) || from.isArbiter) return
    const ack = replyTo(core, heartbeat, nowMs)
    if (ack.grants) this.rack.oracle.granted(from, arbiter.node)
    const reachable = PLANES.some(
      (_, i) =>
        this.rack.linked(arbiter.node, from, i) &&
        !(this.rack.lossShare > 0 && this.rack.engine.chance(this.rack.lossShare)),
    )
    if (!reachable) return
    const { member } = from
    this.rack.engine.after(this.rack.engine.between(1, 8), () =>
      from.defer(() => {
        if (!from.agentUp || from.member !== member || !member.onHeartbeatReply(ack)) return
        if (ack.order === 'open gate') from.openGate()
        if (ack.order === 'stop guests') {
          from.guests.clear()
          from.consent.asked(this.rack.engine.nowMs)
          from.consent.give()
        }
      }),
    )
  }

  private arbiterTick(arbiter: SimArbiter, round: number): void {
    const { core, node } = arbiter
    const { nowMs } = this.rack.engine
    if (this.rack.hasQuorum(node)) core.onStore(this.rack.consul.snapshot(), nowMs)
    if (this.rack.schedule.ticks) this.readTicks(arbiter)
    arbiter.keeper.tick()
    core.tick(nowMs)
    const heartbeat = node.member.heartbeat(nowMs, { ...statementOf(core, nowMs), ticks: {} })
    core.onHeartbeat(heartbeat, nowMs)
    this.send(node, heartbeat)
    if (round % 4 !== 0) return
    for (const host of this.rack.hosts)
      if (
        host.runs &&
        (core.evidence.heardAgeMs(host.name, nowMs) ?? 0) > 1_000 &&
        PLANES.some((_, i) => this.rack.linked(node, host, i) && this.rack.linked(host, node, i))
      )
        core.evidence.sawKernel(host.name, nowMs)
  }

  private readTicks(arbiter: SimArbiter): void {
    const { nowMs } = this.rack.engine
    // What is asked for late says nothing.
    const reads = this.rack.storage.out === 0 && this.rack.storage.lateMs === 0 && arbiter.node.planeDown[1] === 0
    if (!reads) return void (arbiter.readingSinceMs = undefined)
    arbiter.readingSinceMs ??= nowMs
    for (const host of this.rack.hosts) {
      const seen = arbiter.seen.get(host.name)
      if (!seen || seen.tick !== host.tick) arbiter.seen.set(host.name, { tick: host.tick, atMs: nowMs })
      const atMs = arbiter.seen.get(host.name)?.atMs ?? nowMs
      arbiter.core.evidence.sawStorageHeartbeat(
        host.name,
        { advanceAgeMs: nowMs - atMs, readingMs: nowMs - arbiter.readingSinceMs },
        nowMs,
      )
    }
  }

  /** Once a boot and at its end, once it can. */
  register(node: SimNode): void {
    const { consul } = this.rack
    const record = consul.entries.get(KEYS.members + node.name)?.value as MemberRecord
    const same = record.boot?.id === node.member.bootId && record.boot.leaving === node.leaving
    if (!same && this.rack.hasQuorum(node)) consul.set(KEYS.members + node.name, this.rack.recordOf(node))
  }
}
