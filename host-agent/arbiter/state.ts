/** What an arbiter holds: the evidence, its copy of the store, its memory, its lease. Decides nothing and asks
 *  nobody. */
import { INTENT_GUARDS, type IntentGuards } from '../evacuate/intents.ts'
import { FENCE_GUARDS, type FenceGuards } from '../fence/guards.ts'
import { NOTHING_STANDS, type Standing, type Unwritten } from '../causes/named.ts'
import type { Lease } from '../cluster/leadership.ts'
import { ClusterState } from '../cluster/state.ts'
import type { Snapshot } from '../cluster/store.ts'
import type { Environment } from '../adapters/environment.ts'
import type { Heartbeat } from '../protocol/heartbeat.ts'
import { LIMITS, type Limits } from '../protocol/limits.ts'
import { LEADER_COMMAND_MS } from '../protocol/timing.ts'
import type { Episode } from '../protocol/trouble.ts'
import type { Verdict } from '../verdict/assess.ts'
import { EvidenceStore } from '../verdict/evidence-store.ts'
import { viewOf, type View } from '../verdict/view.ts'
import { goneOf } from './gone.ts'
import type { Known } from './known.ts'
import { ArbiterMemory } from './memory.ts'

export interface ArbiterOptions {
  readonly name: string
  readonly environment: Environment
  readonly nowMs: number
  readonly fenceGuards?: FenceGuards
  readonly intentGuards?: IntentGuards
  /** What of a leader before may still be under way. */
  readonly quiesceMs?: number
  /** The driver's: how long a request of unknown outcome may leave no trace. */
  readonly graceMs?: number
  /** Most moves of one host at once. */
  readonly atOnce?: number | undefined
  /** Something was stored or answered: a tick would find more than the last one. Never calls back into the arbiter
   *  itself. */
  readonly onNews?: () => void
}

export class ArbiterState {
  readonly name: string
  readonly environment: Environment
  readonly evidence: EvidenceStore
  readonly cluster = new ClusterState()
  /** Replaced with each new lease: answers to what was asked before say nothing to the new one. */
  memory = new ArbiterMemory()
  readonly startedMs: number
  readonly fenceGuards: FenceGuards
  readonly intentGuards: IntentGuards
  readonly graceMs: number
  readonly atOnce: number | undefined
  readonly quiesceMs: number
  readonly onNews: () => void
  lease: Lease | undefined
  leaderSinceMs = 0
  /** The leader before is surely done, and the store was read since. */
  quiesced = false
  /** The store is being read. */
  reading = false
  /** It has read the store since it started. */
  settled = false
  /** What the last tick found, and when that was. */
  verdicts: ReadonlyMap<string, Verdict> = new Map()
  assessedMs = Number.NEGATIVE_INFINITY
  /** How many times it judged the hosts since it started. */
  rounds = 0
  /** Hosts that must stop their guests, by the last tick. */
  stopping: ReadonlySet<string> = new Set()
  /** When the store last took a session of this arbiter or its renewal; undefined: it was not asked yet. */
  storeOkMs: number | undefined
  /** What is wrong with the mesh as a whole; what of it could not be written yet, and what of that is over. */
  meshStanding: Standing = NOTHING_STANDS
  unwritten: Unwritten | undefined
  ended: Episode | undefined
  /** Keys with a write under way. */
  readonly writing = new Set<string>()
  /** Alerts about the mesh as a whole, and when each was sent. */
  readonly alerts = new Map<string, number>()
  private gone: ReadonlySet<string> = new Set()
  private limitsOf: { readonly policy: unknown; readonly limits: Limits } = { policy: undefined, limits: LIMITS }

  constructor(options: ArbiterOptions) {
    this.name = options.name
    this.environment = options.environment
    this.startedMs = options.nowMs
    this.evidence = new EvidenceStore(options.name)
    this.fenceGuards = options.fenceGuards ?? FENCE_GUARDS
    this.intentGuards = options.intentGuards ?? INTENT_GUARDS
    this.graceMs = options.graceMs ?? 0
    this.atOnce = options.atOnce
    this.quiesceMs = options.quiesceMs ?? LEADER_COMMAND_MS
    this.onNews = options.onNews ?? (() => undefined)
  }

  get limits(): Limits {
    const { policy } = this.cluster
    if (this.limitsOf.policy !== policy) this.limitsOf = { policy, limits: { ...LIMITS, ...policy.value.limits } }
    return this.limitsOf.limits
  }

  onHeartbeat(heartbeat: Heartbeat, nowMs: number): boolean {
    return this.evidence.take(heartbeat, nowMs)
  }

  onStore(snapshot: Snapshot, nowMs: number): void {
    if (this.cluster.takeSnapshot(snapshot, nowMs)) this.settled = true
  }

  /** The store took a session of this arbiter, or its renewal. */
  onStoreOk(nowMs: number): void {
    this.storeOkMs = nowMs
  }

  /** A lease, renewed or new; undefined: it is lost, and nothing more is begun. */
  onLease(lease: Lease | undefined, nowMs: number): void {
    const isNew = lease !== undefined && lease.epoch !== this.lease?.epoch
    this.lease = lease
    if (!isNew) return
    this.leaderSinceMs = nowMs
    this.quiesced = false
    this.memory = new ArbiterMemory()
    this.writing.clear()
    this.stopping = new Set()
  }

  leads(nowMs: number): boolean {
    return this.lease !== undefined && this.lease.endsMs > nowMs
  }

  leaseLeftMs(nowMs: number): number {
    return this.lease ? this.lease.endsMs - nowMs : 0
  }

  /** All that is known at this moment, for decisions and questions. */
  known(nowMs: number): Known {
    const { environment } = this
    return {
      nowMs,
      at: environment.wall(),
      name: this.name,
      view: this.view(nowMs),
      cluster: this.cluster,
      memory: this.memory,
      verdicts: this.verdicts,
      lease: this.lease,
      leaderSinceMs: this.leaderSinceMs,
      quiesced: this.quiesced,
      writing: this.writing,
      meshStanding: this.meshStanding,
      ended: this.ended,
      deviceLevels: (host) => environment.deviceLevels(host),
      fenceGuards: this.fenceGuards,
      intentGuards: this.intentGuards,
      graceMs: this.graceMs,
      atOnce: this.atOnce,
    }
  }

  private view(nowMs: number): View {
    const { cluster, evidence, limits } = this
    return viewOf({
      nowMs,
      evidence,
      limits,
      members: cluster.all,
      arbiters: cluster.arbiters,
      uptimeMs: nowMs - this.startedMs,
      gone: (this.gone = goneOf({ cluster, evidence, limits }, nowMs, this.gone)),
      observers: cluster.observers,
      memberOf: (name) => cluster.memberOf(name),
    })
  }
}
