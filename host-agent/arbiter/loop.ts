/** The arbiter: takes evidence and the store in, lets verdicts, fences and evacuations out. Synchronous; the world answers by callback.
 *  Every arbiter keeps the evidence; only the one that holds the lease acts on it. */
import { stepIncidents } from '../fence/pursue.ts'
import { assess, heardFrom, isQuiet, type Verdict } from '../verdict/assess.ts'
import type { Scene } from '../verdict/conditions.ts'
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
      if (nowMs - this.lookedMs >= FOLLOW_MS) this.look(this.scene(nowMs))
      return
    }
    if (!this.quiesced) return this.quiesce(nowMs)
    this.takeSurvey(nowMs)
    const scene = this.scene(nowMs)
    this.look(scene)
    reactTo(this, this.verdicts, scene)
    this.stopping = hostsToStop(this, scene)
    stepIncidents(this, scene)
  }

  /** Judges every host once. Whoever asks between two looks is told what this one found. */
  private look(scene: Scene): void {
    const { nowMs } = scene
    observe(this, scene)
    const before = sharedOf(this, scene)
    if (isCut(before.suspects, before.cut).cut) this.cutAtMs = nowMs
    const shared = { ...before, cut: { ...before.cut, cutAtMs: this.cutAtMs } }
    const verdicts = new Map<string, Verdict>()
    for (const host of this.shelf.hosts) {
      // A host that is proven down needs no verdict, one that is heard a cheap one.
      const settled = Boolean(this.shelf.liveIncident(host.name)?.value.proof)
      const calm = settled || (!isQuiet(host, scene) && !this.remembered(host.name).provenOff(nowMs))
      verdicts.set(
        host.name,
        calm ? heardFrom(host, scene) : assess(host, scene, standingOf(this, host, { scene, shared })),
      )
    }
    this.verdicts = verdicts
    this.lookedMs = nowMs
  }

  /** The verdict on one host with all its reasons, also of an arbiter that does not lead. Changes nothing. */
  explain(host: string, nowMs: number): Verdict | undefined {
    const member = this.shelf.memberOf(host)
    if (member?.role !== 'host') return undefined
    const scene = this.scene(nowMs)
    return assess(member, scene, standingOf(this, member, { scene, shared: sharedOf(this, scene) }))
  }
}
