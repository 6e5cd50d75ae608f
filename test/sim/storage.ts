/** The simulated shared storage: the slots of the hosts. What an arbiter asks of it may take effect long after it was
 *  given up. */
import type { PillRequest } from '../../host-agent/adapters/poison-pill.ts'
import type { PillAnswer } from '../../host-agent/fence/effects.ts'
import type { PoisonPill } from '../../host-agent/protocol/poison-pill.ts'
import type { Engine } from './engine.ts'

export class SimStorage {
  /** Faults that keep everybody from it. */
  out = 0
  /** How late arbiters get what they asked for, at most; 0: as usual. */
  lateMs = 0
  readonly slots = new Map<string, PoisonPill>()
  /** Arbiters' processes that wait for the storage: one operation at a time, as in production. */
  private readonly busy = new Set<string>()
  private readonly engine: Engine
  /** As before poison pills had an owner: whatever stands in the slot is taken away. */
  private readonly liftsAnything: boolean

  constructor(engine: Engine, options: { liftsAnything: boolean }) {
    this.engine = engine
    this.liftsAnything = options.liftsAnything
  }

  /** What stands in the slot of the host, for this boot of it. */
  pillFor(host: string, boot: string): PoisonPill | undefined {
    const pill = this.slots.get(host)
    return pill?.boot === boot ? pill : undefined
  }

  /** `reaches` is asked when it takes effect. */
  ask(
    ask: PillRequest,
    at: { by: string; deadlineMs: number; reaches: () => boolean },
    done: (answer: PillAnswer) => void,
  ): void {
    const { engine } = this
    let over = false
    const answer = (value: PillAnswer) => {
      if (over) return
      over = true
      done(value)
    }
    if (this.busy.has(at.by))
      return engine.after(1, () => answer({ ok: false, fault: 'the storage has not done what it was asked before' }))
    this.busy.add(at.by)
    engine.at(at.deadlineMs, () => answer({ ok: false, fault: 'the storage did not answer in time' }))
    const looksMs = engine.between(5, 300)
    const landsMs = looksMs + (this.lateMs > 0 ? engine.between(0, this.lateMs) : 0)
    // It looks first, and acts on what it saw.
    engine.after(looksMs, () => {
      const seen = this.slots.get(ask.host)
      engine.after(landsMs - looksMs, () => {
        this.busy.delete(at.by)
        if (!at.reaches()) return answer({ ok: false, fault: 'the storage is out' })
        if (ask.op === 'write') this.slots.set(ask.host, ask.pill)
        if (ask.op === 'lift' && (this.liftsAnything || seen?.incident === ask.incident)) this.slots.delete(ask.host)
        answer({ ok: true, found: this.slots.get(ask.host) })
      })
    })
  }
}
