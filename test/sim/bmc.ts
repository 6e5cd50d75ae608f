/** Simulated BMCs: each is wired to one machine, which need not be the one that people believe. */
import type { BmcCommand } from '../../host-agent/adapters/environment.ts'
import type { PowerAnswer } from '../../host-agent/fence/effects.ts'
import type { Engine } from './engine.ts'
import type { BmcMode } from './faults.ts'
import type { SimNode } from './node.ts'

export class SimBmc {
  mode: BmcMode | 'ok' = 'ok'
  wired: SimNode
  /** When it was last wired to another machine. */
  rewiredMs = Number.NEGATIVE_INFINITY
  private session = 0
  private blipped = false
  private readonly engine: Engine
  private readonly onOff: (node: SimNode, astray: boolean) => void
  private readonly seen: (node: SimNode) => boolean

  constructor(
    engine: Engine,
    wired: SimNode,
    hooks: { onOff: (node: SimNode, astray: boolean) => void; seen: (node: SimNode) => boolean },
  ) {
    this.engine = engine
    this.wired = wired
    this.onOff = hooks.onOff
    this.seen = hooks.seen
  }

  ask(act: BmcCommand, at: { notAfterMs: number; deadlineMs: number }, done: (answer: PowerAnswer) => void): void {
    const { engine } = this
    if (engine.nowMs > at.notAfterMs) return engine.after(1, () => done({ fault: 'too late', power: 'unknown' }))
    const reachMs = engine.nowMs + (this.mode === 'slow' ? engine.between(500, 4_500) : engine.between(30, 400))
    if (this.mode === 'dead' || reachMs > at.deadlineMs)
      return engine.at(at.deadlineMs, () => done({ fault: 'the BMC does not answer', power: 'unknown' }))
    engine.at(reachMs, () => done(this.answer(act)))
  }

  private answer(act: BmcCommand): PowerAnswer {
    if (this.mode === 'refuses') return { fault: 'wrong password', power: 'unknown' }
    this.session += 1
    if (act === 'off') {
      if (this.mode !== 'ignores' && this.mode !== 'lies off') {
        const { wired, engine } = this
        const astray = engine.nowMs - this.rewiredMs < 4_000
        engine.after(engine.between(100, 3_500), () => this.onOff(wired, astray))
      }
      return { session: this.session }
    }
    return { power: this.read(), session: this.session, systemUuid: this.wired.name }
  }

  private read(): 'on' | 'off' {
    // One that lies about a machine that nobody hears cannot be told from one that speaks the truth: that needs a
    // second source (a PDU).
    if (this.mode === 'lies off' && this.seen(this.wired)) return 'off'
    if (this.mode === 'blip' && !this.blipped) {
      this.blipped = true
      return 'off'
    }
    return this.wired.powered ? 'on' : 'off'
  }
}
