/** Simulated outlets: those of one host, all of them. They answer late, or not at all; "off" is done when it is
 *  answered, and the answer may be lost. */
import type { DeviceAction } from '../../host-agent/adapters/fence-agents.ts'
import type { PowerAnswer } from '../../host-agent/fence/effects.ts'
import type { Engine } from './engine.ts'
import type { SimNode } from './node.ts'

const LOST = 0.1

export class SimPdu {
  private readonly engine: Engine
  private readonly node: SimNode
  private readonly onOff: (node: SimNode) => void
  private off = false

  constructor(engine: Engine, node: SimNode, onOff: (node: SimNode) => void) {
    this.engine = engine
    this.node = node
    this.onOff = onOff
  }

  ask(act: DeviceAction, at: { notAfterMs: number; deadlineMs: number }, done: (answer: PowerAnswer) => void): void {
    const { engine } = this
    if (engine.nowMs > at.notAfterMs) return engine.after(1, () => done({ fault: 'too late', power: 'unknown' }))
    const reachMs = engine.nowMs + engine.between(50, 2_500)
    const silent = () => engine.at(at.deadlineMs, () => done({ fault: 'the PDU does not answer', power: 'unknown' }))
    if (engine.chance(LOST)) return silent()
    engine.at(reachMs, () => {
      if (act === 'off') {
        this.off = true
        this.onOff(this.node)
        return engine.chance(LOST) ? silent() : done({})
      }
      // Somebody has switched it on again.
      if (this.node.powered) this.off = false
      done({ power: this.off ? 'off' : 'on' })
    })
  }
}
