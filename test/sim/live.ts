/** Live migrations of the modelled manager, with libvirt's manners: the guest is handed over in one moment, the record
 *  follows a little later, and who dies in between leaves it to be found out. */
import type { Whereabouts } from '../../host-agent/evacuate/instances.ts'
import type { Engine } from './engine.ts'
import type { SimNode } from './node.ts'

interface Live {
  readonly id: number
  readonly instance: string
  readonly source: string
  readonly to: string
  readonly bootOfSource: number
  readonly bootOfTarget: number
  over: boolean
}

export interface LiveHooks {
  node(host: string): SimNode
  /** The record: it belongs to `host` from now on. */
  own(instance: string, host: string): void
}

export class SimLive {
  private readonly all: Live[] = []
  private readonly engine: Engine
  private readonly hooks: LiveHooks

  constructor(engine: Engine, hooks: LiveHooks) {
    this.engine = engine
    this.hooks = hooks
  }

  /** One that may still bring it there, or has. */
  open(instance: string): Live | undefined {
    return this.all.find((one) => one.instance === instance && !one.over)
  }

  begin(instance: string, source: string, to: string): void {
    const bootOf = (host: string) => this.hooks.node(host).boots
    const live = {
      id: this.all.length + 1,
      instance,
      source,
      to,
      bootOfSource: bootOf(source),
      bootOfTarget: bootOf(to),
      over: false,
    }
    this.all.push(live)
    this.engine.after(this.engine.between(300, 4_000), () => this.handOver(live))
  }

  /** What its record, and its target, say now. Undefined: it is over, and left it at the source. */
  resolve(live: Live): Whereabouts | undefined {
    const ref = `live ${live.id}`
    const target = this.hooks.node(live.to)
    if (!target.runs || !target.gateOpen) return { at: 'moving', ref, to: live.to }
    if (target.guests.has(live.instance)) {
      live.over = true
      this.hooks.own(live.instance, live.to)
      return { at: 'moved', ref, to: live.to }
    }
    if (this.goesOn(live)) return { at: 'moving', ref, to: live.to }
    live.over = true
    return undefined
  }

  private goesOn(live: Live): boolean {
    const [source, target] = [this.hooks.node(live.source), this.hooks.node(live.to)]
    return source.powered && source.boots === live.bootOfSource && target.powered && target.boots === live.bootOfTarget
  }

  private handOver(live: Live): void {
    if (live.over || !this.goesOn(live)) return
    const [source, target] = [this.hooks.node(live.source), this.hooks.node(live.to)]
    if (!source.runs || !target.runs) return this.engine.after(200, () => this.handOver(live))
    // Its guests were stopped meanwhile: there is nothing to hand over.
    if (!source.guests.delete(live.instance)) return void (live.over = true)
    target.run(live.instance)
    this.engine.after(this.engine.between(20, 1_500), () =>
      source.defer(() => !live.over && this.goesOn(live) && this.resolve(live)),
    )
  }
}
