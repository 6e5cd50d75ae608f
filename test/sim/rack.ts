/** A whole mesh on one fake clock and one seed: hosts, arbiters, BMCs, storage, Consul and cloud, with production's own cores inside; and the oracle that
 *  knows what is true. */
import { ArbiterCore } from '../../host-agent/mesh/core.ts'
import { mayGrant, withheld } from '../../host-agent/mesh/grants.ts'
import { LeaseKeeper } from '../../host-agent/mesh/lease.ts'
import type { Ack } from '../../host-agent/mesh/member.ts'
import { mayOpenGate } from '../../host-agent/mesh/react.ts'
import { mustStopGuests } from '../../host-agent/mesh/unfit.ts'
import { FIRST_POLICY, KEYS, type MemberRecord, type Policy } from '../../host-agent/mesh/records.ts'
import { PLANES, type Digest } from '../../host-agent/verdict/evidence.ts'
import type { FenceGuards } from '../../host-agent/fence/guards.ts'
import type { IntentGuards } from '../../host-agent/evacuate/intents.ts'
import { SimBmc } from './bmc.ts'
import { SimCloud } from './cloud.ts'
import { SimConsul } from './consul.ts'
import { Engine } from './engine.ts'
import { lengthOf, type Schedule } from './faults.ts'
import { SimNode } from './node.ts'
import { Oracle } from './oracle.ts'
import { SimPdu } from './pdu.ts'
import { worldOf } from './world.ts'

const TICK_MS = 250

export interface RackOptions {
  readonly fenceGuards?: FenceGuards
  readonly intentGuards?: IntentGuards
}

interface Arbiter {
  readonly node: SimNode
  core: ArbiterCore
  keeper: LeaseKeeper
  readonly seen: Map<string, { tick: number; atMs: number }>
  readingSinceMs: number | undefined
}

export class SimRack {
  readonly engine: Engine
  readonly nodes: SimNode[]
  readonly hosts: SimNode[]
  readonly arbiters: Arbiter[]
  readonly bmcs: SimBmc[]
  readonly pdus: SimPdu[]
  readonly consul: SimConsul
  readonly cloud: SimCloud
  readonly oracle: Oracle
  /** Directed cuts between two nodes, on all planes. */
  readonly cuts: Uint8Array
  lossShare = 0
  jitterMs = 0
  storageOut = 0
  readonly poisoned = new Map<string, string>()
  quorumOut = 0
  cloudAway = 0
  wallMs = 0
  readonly schedule: Schedule
  private nonces = 0
  private readonly byName: ReadonlyMap<string, SimNode>
  private readonly options: RackOptions

  constructor(schedule: Schedule, options: RackOptions = {}) {
    this.schedule = schedule
    this.options = options
    this.engine = new Engine(schedule.seed)
    const names = [...Array.from({ length: schedule.hosts }, (_, i) => `h${i}`), ...Array.from({ length: schedule.arbiters }, (_, i) => `a${i}`)]
    this.cuts = new Uint8Array(names.length * names.length)
    this.oracle = new Oracle(this)
    this.nodes = names.map(
      (name, index) =>
        new SimNode(
          this.engine,
          { name, index, rack: index % schedule.racks, isArbiter: name.startsWith('a'), armed: schedule.watchdogs },
          {
            started: (instance, host) => this.oracle.started(instance, host),
            watchdogFired: (node) => this.oracle.watchdogFired(node),
            belongs: (host) => this.cloud.belongs(host),
          },
        ),
    )
    this.byName = new Map(this.nodes.map((node) => [node.name, node]))
    this.hosts = this.nodes.filter(({ isArbiter }) => !isArbiter)
    this.bmcs = this.hosts.map(
      (node) =>
        new SimBmc(this.engine, node, { onOff: (wired, astray) => this.oracle.offTakesEffect(wired, astray), seen: (wired) => this.oracle.visible(wired) }),
    )
    this.pdus = this.hosts.map((node) => new SimPdu(this.engine, node, (of) => this.oracle.offTakesEffect(of, false)))
    this.consul = new SimConsul(this.engine, {
      reaches: (name) => this.hasQuorum(this.nodeOf(name)),
      onWrite: (changes, by) => this.oracle.written(changes, by),
    })
    this.cloud = new SimCloud(
      this.engine,
      this.hosts.map(({ name }) => name),
      {
        reaches: (name) => this.cloudAway === 0 && !this.isolated(this.nodeOf(name)),
        alive: (name) => this.nodeOf(name).runs && this.nodeOf(name).gateOpen,
        started: (instance, host) => this.nodeOf(host).run(instance),
        violated: (what) => this.oracle.violated(what),
        node: (name) => this.nodeOf(name),
      },
    )
    this.fill()
    this.arbiters = this.nodes.filter(({ isArbiter }) => isArbiter).map((node) => this.newArbiter(node))
    for (const node of this.nodes) this.startTicking(node)
  }

  get policy(): Policy {
    const { pdus, policy } = this.schedule
    return { ...FIRST_POLICY, ...policy, armed: true, levels: pdus ? [...FIRST_POLICY.levels, 'L2'] : FIRST_POLICY.levels }
  }

  nodeOf(name: string): SimNode {
    return this.byName.get(name) as SimNode
  }

  linked(a: SimNode, b: SimNode, plane: number): boolean {
    return a.planeDown[plane] === 0 && b.planeDown[plane] === 0 && this.cuts[a.index * this.nodes.length + b.index] === 0
  }

  /** The process of an arbiter starts anew, with nothing in its memory. */
  restartArbiter(arbiter: Arbiter): void {
    const fresh = this.newArbiter(arbiter.node)
    arbiter.core.onLease(undefined, this.engine.nowMs)
    Object.assign(arbiter, { core: fresh.core, keeper: fresh.keeper, readingSinceMs: undefined })
    arbiter.seen.clear()
    arbiter.node.boots += 1
    arbiter.node.member = arbiter.node.newMember()
  }

  /** To the end, or to where nothing can happen any more: no fault is left, and every host is well or settled. */
  run(): void {
    const { faults, endMs } = this.schedule
    const overMs = Math.max(0, ...faults.map((fault) => fault.atMs + lengthOf(fault)))
    for (let atMs = Math.min(overMs, endMs); ; atMs = Math.min(atMs + 5_000, endMs)) {
      this.engine.runUntil(atMs)
      if (atMs >= endMs) return
      const restless = this.hosts.some((host) => !host.agentUp || !host.gateOpen) || this.oracle.unsettled() || this.consul.holder() === undefined
      const dead = this.hosts.every(
        (host) => (host.agentUp && host.gateOpen) || ((!host.powered || host.stalledMs === Number.POSITIVE_INFINITY) && this.oracle.settledDown(host.name)),
      )
      if (atMs > overMs && (!restless || (dead && !this.oracle.unsettled()))) return
    }
  }

  private fill(): void {
    for (const node of this.nodes) {
      const member: MemberRecord = {
        name: node.name,
        role: node.isArbiter ? 'arbiter' : 'host',
        rack: `r${node.rack}`,
        planes: Object.fromEntries(PLANES.map((plane) => [plane, { address: '10.0.0.1', port: 1 }])),
        ticks: this.schedule.ticks && !node.isArbiter,
        publicKey: `${'A'.repeat(43)}=`,
        systemUuid: node.isArbiter ? null : '00000000-0000-0000-0000-000000000000',
        node: null,
        reserved: false,
        api: null,
      }
      this.consul.set(KEYS.members + node.name, member)
    }
    this.consul.set(KEYS.policy, this.policy)
    for (const node of this.hosts)
      for (const n of [1, 2]) {
        const id = `${node.name}-vm${n}`
        this.cloud.vms.set(id, { id, host: node.name })
        node.guests.add(id)
      }
  }

  private newArbiter(node: SimNode): Arbiter {
    const core = new ArbiterCore({ name: node.name, world: worldOf(this, node), nowMs: this.engine.nowMs, settleMs: 6_000, ...this.options })
    // The process that asked may be gone when the answer comes.
    const live = (run: () => void) => node.defer(() => this.arbiters?.find((one) => one.node === node)?.core === core && run())
    const sessions = this.consul.sessionsOf(node.name)
    const keeper = new LeaseKeeper({
      sessions: {
        create: (done) => sessions.create((value) => live(() => done(value))),
        renew: (id, done) => sessions.renew(id, (value) => live(() => done(value))),
        acquire: (id, done) => sessions.acquire(id, (value) => live(() => done(value))),
        release: (id, done) => sessions.release(id, () => live(() => done())),
      },
      now: () => this.engine.nowMs,
      onLease: (lease) => core.onLease(lease, this.engine.nowMs),
    })
    return { node, core, keeper, seen: new Map(), readingSinceMs: undefined }
  }

  private startTicking(node: SimNode): void {
    let round = 0
    const tick = (): void => {
      this.engine.after(TICK_MS, tick)
      round += 1
      node.watchdog()
      if (!node.runs) return
      this.storage(node)
      if (!node.agentUp) return
      node.member.self = node.selfReport()
      this.probe(node, round)
      const arbiter = node.isArbiter ? this.arbiters.find((one) => one.node === node) : undefined
      if (arbiter) this.arbiterTick(arbiter, round)
      else if (round % 2 === 0) this.send(node, node.member.digest(this.engine.nowMs))
    }
    this.engine.after(this.engine.between(0, TICK_MS), tick)
  }

  private storage(node: SimNode): void {
    const reachable = this.storageOut === 0 && node.planeDown[1] === 0
    if (reachable) node.tick += 1
    if (reachable && this.schedule.ticks && node.agentUp && !node.isArbiter)
      node.member.onSlot({ poisoned: this.poisoned.get(node.name) === node.member.bootId }, this.engine.nowMs)
    node.storageLostSinceMs = reachable ? undefined : (node.storageLostSinceMs ?? this.engine.nowMs)
  }

  private probe(node: SimNode, round: number): void {
    const { nowMs } = this.engine
    node.member.setMembers(this.arbiters[0]?.core.shelf.all ?? [])
    node.member.probe(
      () => String((this.nonces += 1)),
      node.lagMs,
      (peer, plane, nonce) => {
        const other = this.nodeOf(peer)
        const index = PLANES.indexOf(plane)
        if (!other.agentUp || !this.linked(node, other, index) || !this.linked(other, node, index)) return
        if (this.lossShare > 0 && this.engine.chance(1 - (1 - this.lossShare) ** 2)) return
        if (this.jitterMs > 0 && this.engine.chance(0.5)) {
          const { member } = node
          this.engine.after(this.engine.between(0, this.jitterMs), () => node.runs && member.onReply({ peer, plane, nonce }, this.engine.nowMs))
        } else node.member.onReply({ peer, plane, nonce }, nowMs)
      },
    )
    if (round % 4 !== 0) return
    for (const peer of node.member.silent(2)) {
      const other = this.nodeOf(peer)
      if (other.runs && PLANES.some((_, i) => this.linked(node, other, i) && this.linked(other, node, i)) && !this.engine.chance(this.lossShare))
        node.member.onKernel(peer, nowMs)
    }
  }

  private send(node: SimNode, digest: Digest): void {
    for (const arbiter of this.arbiters) {
      if (arbiter.node === node) continue
      const paths = PLANES.filter((_, i) => this.linked(node, arbiter.node, i) && !(this.lossShare > 0 && this.engine.chance(this.lossShare)))
      if (paths.length === 0) continue
      this.engine.after(this.engine.between(1, 8) + (this.jitterMs > 0 && this.engine.chance(0.5) ? this.engine.between(0, this.jitterMs) : 0), () =>
        arbiter.node.defer(() => arbiter.node.agentUp && this.receive(arbiter, node, digest)),
      )
    }
  }

  receive(arbiter: Arbiter, from: SimNode, digest: Digest): void {
    const { nowMs } = this.engine
    const { core } = arbiter
    if (!core.onDigest(digest, nowMs) || from.isArbiter) return
    const grants = mayGrant(core, digest.from, nowMs)
    const order =
      digest.self.state === 'quarantined' && mayOpenGate(core, digest.from, nowMs)
        ? 'open gate'
        : mustStopGuests(core, digest.from, nowMs)
          ? 'stop guests'
          : null
    const ack: Ack = { seq: digest.seq, bootId: digest.bootId, grants, order }
    const reachable = PLANES.some((_, i) => this.linked(arbiter.node, from, i) && !(this.lossShare > 0 && this.engine.chance(this.lossShare)))
    if (!reachable) return
    const { member } = from
    this.engine.after(this.engine.between(1, 8), () =>
      from.defer(() => {
        if (!from.agentUp || from.member !== member || !member.onAck(ack)) return
        if (ack.order === 'open gate') from.openGate()
        if (ack.order === 'stop guests') {
          from.guests.clear()
          from.consents = true
        }
      }),
    )
  }

  private arbiterTick(arbiter: Arbiter, round: number): void {
    const { core, node } = arbiter
    const { nowMs } = this.engine
    if (this.hasQuorum(node)) core.onStore(this.consul.snapshot(), nowMs)
    if (this.schedule.ticks) this.readTicks(arbiter)
    arbiter.keeper.tick()
    core.tick(nowMs)
    const digest = node.member.digest(nowMs, { heard: core.book.heard(nowMs), noGrant: withheld(core), settled: core.settled, ticks: {} })
    core.onDigest(digest, nowMs)
    this.send(node, digest)
    if (round % 4 !== 0) return
    for (const host of this.hosts)
      if (host.runs && (core.book.heardAgeMs(host.name, nowMs) ?? 0) > 1_000 && PLANES.some((_, i) => this.linked(node, host, i) && this.linked(host, node, i)))
        core.book.sawKernel(host.name, nowMs)
  }

  private readTicks(arbiter: Arbiter): void {
    const { nowMs } = this.engine
    const reads = this.storageOut === 0 && arbiter.node.planeDown[1] === 0
    if (!reads) return void (arbiter.readingSinceMs = undefined)
    arbiter.readingSinceMs ??= nowMs
    for (const host of this.hosts) {
      const seen = arbiter.seen.get(host.name)
      if (!seen || seen.tick !== host.tick) arbiter.seen.set(host.name, { tick: host.tick, atMs: nowMs })
      const atMs = arbiter.seen.get(host.name)?.atMs ?? nowMs
      arbiter.core.book.sawTick(host.name, { advanceAgeMs: nowMs - atMs, readingMs: nowMs - arbiter.readingSinceMs }, nowMs)
    }
  }

  /** On the side of a majority of Consul's servers, which run with the arbiters on the management plane. */
  private hasQuorum(node: SimNode): boolean {
    if (this.quorumOut > 0) return false
    const servers = this.nodes.filter(({ isArbiter }) => isArbiter)
    const reached = servers.filter((other) => other === node || (other.runs && this.linked(node, other, 0) && this.linked(other, node, 0)))
    return reached.length > servers.length / 2
  }

  private isolated(node: SimNode): boolean {
    return this.nodes.every((other) => other === node || this.cuts[node.index * this.nodes.length + other.index] !== 0)
  }
}
