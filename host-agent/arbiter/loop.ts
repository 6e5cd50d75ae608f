/** The tick of an arbiter: observe, assess, decide, commit. Every arbiter keeps the evidence; only the one that holds
 *  the lease acts on it. */
import { takeErrand, type Errand, type ErrandOrder } from '../evacuate/errands.ts'
import type { Cause } from '../causes/table.ts'
import type { NamedCause } from '../protocol/trouble.ts'
import { assess, type Verdict } from '../verdict/assess.ts'
import { planeFinding, type PlaneFinding } from '../verdict/conditions.ts'
import { PlaneCache } from '../verdict/plane-cache.ts'
import { assessAll } from './assess-all.ts'
import { allCauses } from './cause-facts.ts'
import { commit, readStore } from './commit.ts'
import { decide } from './decide.ts'
import type { Known } from './known.ts'
import { contextOf, sharedContext, type SharedContext } from './leader-context.ts'
import { observe, observePlaneLoss } from './observe.ts'
import { observeCauses, observeMesh } from './observe-troubles.ts'
import { hostsToStop } from './plane-policy.ts'
import { ArbiterState } from './state.ts'

export interface Explanation {
  readonly verdict: Verdict
  /** The likely causes of what is wrong with the host, and with the mesh. */
  readonly causes: readonly (Cause | NamedCause)[]
}

/** How often an arbiter that does not lead judges the hosts, for its page alone. */
const FOLLOW_MS = 1_000
const HINT_AGAIN_MS = 10_000
/** Hosts that are looked at for hints within that time: no number of hints keeps all BMCs busy. */
const MOST_HINTED = 20

export class Arbiter extends ArbiterState {
  private readonly planes = new PlaneCache()

  /** Several times a second, and soon after news. Never from inside an answer. */
  tick(nowMs: number): void {
    if (!this.leads(nowMs)) {
      if (nowMs - this.assessedMs >= FOLLOW_MS) this.look(nowMs)
      return
    }
    // What the leader before may still be doing is waited for; then the store is read.
    if (!this.quiesced) {
      if (nowMs - this.leaderSinceMs >= this.quiesceMs) readStore(this)
      return
    }

    const { known, shared } = this.look(nowMs)
    observePlaneLoss(this.memory, known)
    observeCauses(this.memory, known, shared)
    this.stopping = hostsToStop(known, shared)
    commit(this, decide(known, shared))
  }

  /** Judges every host once. */
  private look(nowMs: number): { known: Known; shared: SharedContext } {
    const before = this.known(nowMs)
    observe(this.memory, before)
    const shared = sharedContext(before)
    this.verdicts = assessAll(before, shared, this.planes)
    this.assessedMs = nowMs
    this.rounds += 1
    const known = { ...before, verdicts: this.verdicts }
    observeMesh(this, known)
    return { known: { ...known, meshStanding: this.meshStanding, ended: this.ended }, shared }
  }

  /** Somebody outside the mesh believes that a host is dead. The mesh looks, for a moment and not too often; nothing
   *  else follows. False: it was looked at a moment ago, or many others were. */
  hint(host: string, nowMs: number): boolean {
    const isRecent = (hintedMs: number | undefined) => hintedMs !== undefined && nowMs - hintedMs < HINT_AGAIN_MS
    if (isRecent(this.memory.of(host).hintedMs)) return false
    const recent = [...this.memory.hosts.values()].filter(({ hintedMs }) => isRecent(hintedMs))
    if (recent.length >= MOST_HINTED) return false
    this.memory.open(host).hintedMs = nowMs
    this.onNews()
    return true
  }

  /** What others ask for on a host that lives. Answers how far it came. */
  errand(order: ErrandOrder, nowMs: number): Errand {
    const { errands, errand } = takeErrand(this.memory.errands, order, nowMs)
    if (errands !== this.memory.errands) this.onNews()
    this.memory.errands = errands
    return errand
  }

  /** The verdict on one host with all its reasons, also of an arbiter that does not lead. Changes nothing. */
  explain(host: string, nowMs: number): Explanation | undefined {
    const member = this.cluster.memberOf(host)
    if (member?.role !== 'host') return undefined
    const known = this.known(nowMs)
    const shared = sharedContext(known)
    const verdict = assess(member, known.view, contextOf(member, known, shared))
    const judged = { ...known, verdicts: new Map([[host, verdict]]) }
    return { verdict, causes: allCauses(member, { known: judged, shared, storeOkMs: this.storeOkMs }) }
  }

  /** What those who observe a host say of each of its planes. */
  observersOf(host: string, nowMs: number): readonly PlaneFinding[] {
    const member = this.cluster.memberOf(host)
    if (!member) return []
    const { view } = this.known(nowMs)
    return member.planes.map((plane) => planeFinding(member, plane, view))
  }
}
