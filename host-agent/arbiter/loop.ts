/** The arbiter: takes evidence and the store in, lets verdicts, fences and evacuations out. Synchronous; the world answers by callback.
 *  Every arbiter keeps the evidence; only the one that holds the lease acts on it. */
import { stepIncidents } from '../fence/pursue.ts'
import { assess, heardFrom, isQuiet, type Verdict } from '../verdict/assess.ts'
import type { View } from '../verdict/conditions.ts'
import { isCut } from '../verdict/cut.ts'
import { observe } from './observe.ts'
import { reactTo } from './decide.ts'
import { sharedOf, standingOf } from './leader-context.ts'
import { ArbiterState } from './state.ts'
import { hostsToStop } from './plane-policy.ts'

/** How often an arbiter that does not lead judges the hosts, for its page alone. */
const FOLLOW_MS = 1_000

export class ArbiterCore extends ArbiterState {
  /** Everything that follows from what is known now. Called several times a second, and after news. */
  tick(nowMs: number): void {
    if (!this.leads(nowMs)) {
      if (nowMs - this.lookedMs >= FOLLOW_MS) this.look(this.view(nowMs))
      return
    }
    if (!this.quiesced) return this.quiesce(nowMs)
    this.takeSurvey(nowMs)
    const view = this.view(nowMs)
    this.look(view)
    reactTo(this, this.verdicts, view)
    this.stopping = hostsToStop(this, view)
    stepIncidents(this, view)
  }

  /** Judges every host once. Whoever asks between two looks is told what this one found. */
  private look(view: View): void {
    const { nowMs } = view
    observe(this, view)
    const before = sharedOf(this, view)
    if (isCut(before.suspects, before.cut).cut) this.cutAtMs = nowMs
    const shared = { ...before, cut: { ...before.cut, cutAtMs: this.cutAtMs } }
    const verdicts = new Map<string, Verdict>()
    for (const host of this.cluster.hosts) {
      // A host that is proven down needs no verdict, one that is heard a cheap one.
      const settled = Boolean(this.cluster.liveIncident(host.name)?.value.proof)
      const calm = settled || (!isQuiet(host, view) && !this.remembered(host.name).provenOff(nowMs))
      verdicts.set(
        host.name,
        calm ? heardFrom(host, view) : assess(host, view, standingOf(this, host, { view, shared })),
      )
    }
    this.verdicts = verdicts
    this.lookedMs = nowMs
  }

  /** The verdict on one host with all its reasons, also of an arbiter that does not lead. Changes nothing. */
  explain(host: string, nowMs: number): Verdict | undefined {
    const member = this.cluster.memberOf(host)
    if (member?.role !== 'host') return undefined
    const view = this.view(nowMs)
    return assess(member, view, standingOf(this, member, { view, shared: sharedOf(this, view) }))
  }
}
