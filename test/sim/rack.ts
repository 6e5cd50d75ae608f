/** A whole mesh on one fake clock and one seed: hosts, arbiters, BMCs, storage, Consul and cloud, with production's own
 *  cores inside; and the oracle that knows what is true. */
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { LeaseKeeper } from '../../host-agent/cluster/leadership.ts'
import { FIRST_POLICY, KEYS, type MemberRecord, type Policy } from '../../host-agent/protocol/records.ts'
import { PLANES } from '../../host-agent/protocol/heartbeat.ts'
import type { FenceGuards } from '../../host-agent/fence/guards.ts'
import type { IntentGuards } from '../../host-agent/evacuate/intents.ts'
import { Beat } from './beat.ts'
import { SimBmc } from './bmc.ts'
import { SimCloud } from './cloud.ts'
import { SimConsul } from './consul.ts'
import { crashing, type Crash } from './crash.ts'
import { Engine } from './engine.ts'
import { lengthOf, type Schedule } from './faults.ts'
import { SimNode } from './node.ts'
import { Oracle } from './oracle.ts'
import { SimPdu } from './pdu.ts'
import { SimStorage } from './storage.ts'
import { environmentOf } from './world.ts'

/** From news to the tick that decides what follows, as in production. */
const NEWS_MS = 10

export interface RackOptions {
  readonly fenceGuards?: FenceGuards
  readonly intentGuards?: IntentGuards
  readonly crash?: Crash
  /** Poison pills are lifted whosever they are, and before the store has answered. */
  readonly liftsEarly?: boolean
}

export interface SimArbiter {
  readonly node: SimNode
  core: Arbiter
  keeper: LeaseKeeper
  readonly seen: Map<string, { tick: number; atMs: number }>
  readingSinceMs: number | undefined
}

export class SimRack {
  readonly engine: Engine
  readonly nodes: SimNode[]
  readonly hosts: SimNode[]
  readonly arbiters: SimArbiter[]
  readonly bmcs: SimBmc[]
  readonly pdus: SimPdu[]
  readonly consul: SimConsul
  readonly cloud: SimCloud
  readonly oracle: Oracle
  readonly beat: Beat
  /** Directed cuts between two nodes, on all planes. */
  readonly cuts: Uint8Array
  lossShare = 0
  jitterMs = 0
  readonly storage: SimStorage
  quorumOut = 0
  cloudAway = 0
  wallMs = 0
  readonly schedule: Schedule
  private readonly byName: ReadonlyMap<string, SimNode>
  readonly options: RackOptions

  constructor(schedule: Schedule, options: RackOptions = {}) {
    this.schedule = schedule
    this.options = options
    this.engine = new Engine(schedule.seed)
    this.storage = new SimStorage(this.engine, { liftsAnything: options.liftsEarly === true })
    const names = [
      ...Array.from({ length: schedule.hosts }, (_, i) => `h${i}`),
      ...Array.from({ length: schedule.arbiters }, (_, i) => `a${i}`),
    ]
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
        new SimBmc(this.engine, node, {
          onOff: (wired, astray) => this.oracle.offTakesEffect(wired, astray),
          seen: (wired) => this.oracle.visible(wired),
        }),
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
    this.beat = new Beat(this)
    for (const node of this.nodes) this.beat.start(node)
  }

  get policy(): Policy {
    const { pdus, policy } = this.schedule
    return {
      ...FIRST_POLICY,
      ...policy,
      armed: true,
      levels: pdus ? [...FIRST_POLICY.levels, 'L2'] : FIRST_POLICY.levels,
    }
  }

  nodeOf(name: string): SimNode {
    return this.byName.get(name) as SimNode
  }

  linked(a: SimNode, b: SimNode, plane: number): boolean {
    return (
      a.planeDown[plane] === 0 && b.planeDown[plane] === 0 && this.cuts[a.index * this.nodes.length + b.index] === 0
    )
  }

  killArbiter(arbiter: SimArbiter, forMs: number): void {
    arbiter.node.agentDownMs = Math.max(arbiter.node.agentDownMs, this.engine.nowMs + forMs)
    this.restartArbiter(arbiter)
  }

  /** The process of an arbiter starts anew, with nothing in its memory. */
  restartArbiter(arbiter: SimArbiter): void {
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
      const isWell = (host: SimNode) => host.agentUp && host.gateOpen && !host.consent.given
      const restless = !this.hosts.every(isWell) || this.oracle.unsettled() || this.consul.holder() === undefined
      const dead = this.hosts.every(
        (host) =>
          isWell(host) ||
          ((!host.powered || host.stalledMs === Number.POSITIVE_INFINITY) && this.oracle.settledDown(host.name)),
      )
      if (atMs > overMs && (!restless || (dead && !this.oracle.unsettled()))) return
    }
  }

  recordOf(node: SimNode): MemberRecord {
    return {
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
      boot: { id: node.member.bootId, watchdogMs: node.selfReport().watchdogMs, leaving: node.leaving },
    }
  }

  private fill(): void {
    for (const node of this.nodes) this.consul.set(KEYS.members + node.name, this.recordOf(node))
    this.consul.set(KEYS.policy, this.policy)
    for (const node of this.hosts)
      for (const n of [1, 2]) {
        const id = `${node.name}-vm${n}`
        this.cloud.vms.set(id, { id, host: node.name })
        node.guests.add(id)
      }
  }

  private newArbiter(node: SimNode): SimArbiter {
    const { crash } = this.options
    const plain = environmentOf(this, node)
    const die = () => this.killArbiter(this.arbiters.find((one) => one.node === node) as SimArbiter, 4_000)
    const environment = crash ? crashing(plain, crash, die) : plain
    const core: Arbiter = new Arbiter({
      name: node.name,
      environment,
      nowMs: this.engine.nowMs,
      graceMs: 6_000,
      ...this.options,
      onNews: this.soon(() => live(() => core.tick(this.engine.nowMs))),
    })
    // The process that asked may be gone when the answer comes.
    const live = (run: () => void) =>
      node.defer(() => this.arbiters?.find((one) => one.node === node)?.core === core && run())
    // As the arbiter's own program does: one that never gets an answer is counted from its start.
    core.onStoreOk(this.engine.nowMs)
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
      onStoreOk: () => core.onStoreOk(this.engine.nowMs),
    })
    return { node, core, keeper, seen: new Map(), readingSinceMs: undefined }
  }

  /** Once, as an event of its own, however often it is asked for meanwhile. */
  private soon(run: () => void): () => void {
    let isDue = false
    return () => {
      if (isDue) return
      isDue = true
      this.engine.after(NEWS_MS, () => {
        isDue = false
        run()
      })
    }
  }

  /** On the side of a majority of Consul's servers, which run with the arbiters on the management plane. */
  hasQuorum(node: SimNode): boolean {
    if (this.quorumOut > 0) return false
    const servers = this.nodes.filter(({ isArbiter }) => isArbiter)
    const reached = servers.filter(
      (other) => other === node || (other.runs && this.linked(node, other, 0) && this.linked(other, node, 0)),
    )
    return reached.length > servers.length / 2
  }

  private isolated(node: SimNode): boolean {
    return this.nodes.every((other) => other === node || this.cuts[node.index * this.nodes.length + other.index] !== 0)
  }
}
