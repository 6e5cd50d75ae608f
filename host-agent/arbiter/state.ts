/** What an arbiter knows and remembers, and the one way to write to the store. Decides nothing: `core.ts` does, with what the functions around it say. */
import { isDown } from '../fence/states.ts'
import type { Verdict } from '../verdict/assess.ts'
import { EvidenceStore } from '../verdict/evidence-store.ts'
import type { View } from '../verdict/conditions.ts'
import type { Heartbeat } from '../protocol/heartbeat.ts'
import { LIMITS, type Limits } from '../protocol/limits.ts'
import type { Inventory } from '../evacuate/instances.ts'
import { FENCE_GUARDS, type FenceGuards } from '../fence/guards.ts'
import { INTENT_GUARDS, type IntentGuards } from '../evacuate/intents.ts'
import { ACT_MS } from '../protocol/timing.ts'
import type { Lease } from '../cluster/leadership.ts'
import { BLANK, noLifts, HostMemory, type Lifts } from './memory.ts'
import { holdKey, KEYS } from '../protocol/records.ts'
import { ClusterState } from '../cluster/state.ts'
import type { Change, Snapshot, Stored } from '../cluster/store.ts'
import type { Alert, Environment } from '../adapters/environment.ts'

export interface CoreOptions {
  readonly name: string
  readonly world: Environment
  readonly nowMs: number
  readonly fenceGuards?: FenceGuards
  readonly intentGuards?: IntentGuards
  /** What of a leader before may still be under way. */
  readonly quiesceMs?: number
  /** The driver's: how long a request of unknown outcome may leave no trace. */
  readonly settleMs?: number
}

const SURVEY_MS = 30_000
const QUIET_PAGE_MS = 6_000
/** What is still wrong is told again. */
const TELL_AGAIN_MS = 600_000

export abstract class ArbiterState {
  readonly name: string
  readonly world: Environment
  readonly evidence: EvidenceStore
  readonly cluster = new ClusterState()
  readonly memories = new Map<string, HostMemory>()
  readonly startedMs: number
  readonly fenceGuards: FenceGuards
  readonly intentGuards: IntentGuards
  lease: Lease | undefined
  leaderSinceMs = 0
  /** The leader before is surely done, and the store was read since. */
  quiesced = false
  cutAtMs: number | undefined
  survey: Inventory | undefined
  lifts: Lifts = noLifts()
  /** Has read the store since it started. */
  settled = false
  /** What the last look found, and when that was. */
  verdicts: ReadonlyMap<string, Verdict> = new Map()
  /** Hosts that must stop their guests, by the last tick. */
  stopping: ReadonlySet<string> = new Set()
  lookedMs = Number.NEGATIVE_INFINITY
  readonly settleMs: number
  private readonly quiesceMs: number
  private reading = false
  private surveyedMs = Number.NEGATIVE_INFINITY
  private surveying = false
  private readonly writing = new Set<string>()
  private readonly told = new Map<string, number>()
  private kept: { of: unknown; limits: Limits } = { of: undefined, limits: LIMITS }

  constructor(options: CoreOptions) {
    this.name = options.name
    this.world = options.world
    this.startedMs = options.nowMs
    this.evidence = new EvidenceStore(options.name)
    this.fenceGuards = options.fenceGuards ?? FENCE_GUARDS
    this.intentGuards = options.intentGuards ?? INTENT_GUARDS
    this.settleMs = options.settleMs ?? 0
    this.quiesceMs = options.quiesceMs ?? ACT_MS
  }

  get limits(): Limits {
    const { policy } = this.cluster
    if (this.kept.of !== policy) this.kept = { of: policy, limits: { ...LIMITS, ...policy.value.limits } }
    return this.kept.limits
  }

  onHeartbeat(heartbeat: Heartbeat, nowMs: number): boolean {
    return this.evidence.take(heartbeat, nowMs)
  }

  onStore(snapshot: Snapshot, nowMs: number): void {
    if (this.cluster.take(snapshot, nowMs)) this.settled = true
  }

  /** A lease, renewed or new; undefined: it is lost, and nothing more is begun. */
  onLease(lease: Lease | undefined, nowMs: number): void {
    const isNew = lease !== undefined && lease.epoch !== this.lease?.epoch
    this.lease = lease
    if (!isNew) return
    this.leaderSinceMs = nowMs
    this.quiesced = false
    this.cutAtMs = undefined
    this.memories.clear()
    this.writing.clear()
    this.stopping = new Set()
    this.lifts = noLifts()
    this.survey = undefined
    this.surveyedMs = Number.NEGATIVE_INFINITY
  }

  leads(nowMs: number): boolean {
    return this.lease !== undefined && this.lease.endsMs > nowMs
  }

  leaseLeftMs(nowMs: number): number {
    return this.lease ? this.lease.endsMs - nowMs : 0
  }

  /** What is remembered of a host, for whoever only reads. */
  remembered(host: string): Readonly<HostMemory> {
    return this.memories.get(host) ?? BLANK
  }

  post(host: string): HostMemory {
    let post = this.memories.get(host)
    if (!post) this.memories.set(host, (post = new HostMemory()))
    return post
  }

  /** What there is news for: everything that follows is decided anew. */
  abstract tick(nowMs: number): void

  view(nowMs: number): View {
    const { cluster, evidence, limits } = this
    const gone = new Set(
      [...cluster.incidents.values()].filter(({ value }) => isDown(value)).map(({ value }) => value.host),
    )
    for (const [host, { value }] of cluster.holds)
      if (
        (value.kind !== 'maintenance' && value.kind !== 'drain') ||
        (evidence.heardAgeMs(host, nowMs) ?? Number.POSITIVE_INFINITY) > limits.suspectMs
      )
        gone.add(host)
    return {
      nowMs,
      evidence,
      members: cluster.all,
      arbiters: cluster.arbiters,
      limits,
      uptimeMs: nowMs - this.startedMs,
      gone,
      observers: cluster.observers,
    }
  }

  /** Compare-and-set under our lease. Whatever else than `ok` comes back, the store is read before anything more is done. */
  put(
    changes: readonly Change[],
    options: { nowMs: number; guards?: readonly { key: string; index: number }[] },
    done?: (ok: boolean) => void,
  ): void {
    if (!this.lease || changes.some(({ key }) => this.writing.has(key))) return done?.(false)
    const epoch = this.lease.epoch
    for (const { key } of changes) this.writing.add(key)
    this.world.store({ changes, guards: options.guards ?? [], epoch }, (stored: Stored) => {
      if (this.lease?.epoch !== epoch) return
      for (const { key } of changes) this.writing.delete(key)
      if (stored.got === 'ok') this.cluster.wrote(changes, stored.index, options.nowMs)
      else this.reread()
      done?.(stored.got === 'ok')
    })
  }

  isWriting(key: string): boolean {
    return this.writing.has(key)
  }

  /** Incidents are opened one at a time, so that each counts for the budget of the next. */
  isOpening(): boolean {
    for (const key of this.writing) if (key.startsWith(KEYS.incidents)) return true
    return false
  }

  /** The policy and the host's hold as they must still be when an intent to fence is stored (I8). */
  permission(host: string): { key: string; index: number }[] {
    return [
      { key: KEYS.policy, index: this.cluster.policy.index },
      { key: holdKey(host), index: this.cluster.holds.get(host)?.index ?? 0 },
    ]
  }

  page(host: string | null, key: string, says: string): void {
    const page: Alert = { key: `${host ?? 'mesh'}: ${key}`, host, says }
    const nowMs = this.world.now()
    const known = host === null ? this.told : this.post(host).pages
    if (nowMs - (known.get(page.key) ?? Number.NEGATIVE_INFINITY) < TELL_AGAIN_MS) return
    known.set(page.key, nowMs)
    this.world.page(page)
  }

  /** What the leader before may still be doing is waited for; then the store is read. */
  protected quiesce(nowMs: number): void {
    if (nowMs - this.leaderSinceMs < this.quiesceMs) return
    this.reread()
  }

  private reread(): void {
    this.quiesced = false
    if (this.reading) return
    this.reading = true
    const epoch = this.lease?.epoch
    this.world.readStore((snapshot) => {
      this.reading = false
      if (!snapshot || this.lease?.epoch !== epoch) return
      // What this says is newer than anything that we believe of our own writes.
      this.cluster.doubt()
      this.onStore(snapshot, this.world.now())
      this.quiesced = true
    })
  }

  protected takeSurvey(nowMs: number): void {
    if (this.surveying || nowMs - this.surveyedMs < SURVEY_MS) return
    this.surveying = true
    this.surveyedMs = nowMs
    this.world.driver({ call: 'survey' }, nowMs + ACT_MS * 2, (answer) => {
      this.surveying = false
      if (answer.ok && answer.survey) this.survey = answer.survey
      else if (!answer.ok) this.page(null, 'survey', `the instances cannot be looked up: ${answer.fault}`)
    })
  }

  /** A person is told within ten seconds why a silent host is not fenced (L2). */
  tellHeld(verdict: Verdict, nowMs: number): void {
    const post = this.post(verdict.host)
    if (post.quietSinceMs === undefined || nowMs - post.quietSinceMs < QUIET_PAGE_MS) return
    const agentLost = verdict.veto?.kind === 'soft'
    this.page(
      verdict.host,
      agentLost ? 'agent lost' : 'held',
      agentLost ? `its machine answers, its agent does not: ${verdict.says}` : `silent and not fenced: ${verdict.says}`,
    )
  }
}
