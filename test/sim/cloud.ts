/** A working model of what manages the instances, with Nova's manners: an evacuation is accepted at once and done
 *  later, a second one is accepted too and starts a second guest, and no word may be lost that says so. The truth of
 *  what runs where is kept here. */
import type { DriverAnswer, DriverCall } from '../../host-agent/evacuate/effects.ts'
import type { RestartRequest, StepTaken, Whereabouts } from '../../host-agent/evacuate/instances.ts'
import type { Engine } from './engine.ts'
import { SimLive } from './live.ts'
import type { SimNode } from './node.ts'

interface Migration {
  readonly id: number
  readonly instance: string
  readonly source: string
  to: string | null
  status: 'accepted' | 'moving' | 'done' | 'failed' | 'completed'
}

interface Vm {
  readonly id: string
  host: string
}

export interface CloudHooks {
  reaches(arbiter: string): boolean
  /** Whether the host runs and could start a guest. */
  alive(host: string): boolean
  /** A guest came to life there, by the truth. */
  started(instance: string, host: string): void
  violated(what: string): void
  node(host: string): SimNode
}

export class SimCloud {
  readonly vms = new Map<string, Vm>()
  readonly down = new Set<string>()
  /** Shares: the answer gets lost; the request is refused with a server error; nobody has room. */
  lostShare = 0
  errorShare = 0
  noHostShare = 0
  firstMoveMs: number | undefined
  readonly migrations: Migration[] = []
  readonly live: SimLive
  private readonly engine: Engine
  private readonly hosts: readonly string[]
  private readonly hooks: CloudHooks

  constructor(engine: Engine, hosts: readonly string[], hooks: CloudHooks) {
    this.engine = engine
    this.hosts = hosts
    this.hooks = hooks
    this.live = new SimLive(engine, {
      node: (host) => hooks.node(host),
      own: (instance, host) => Object.assign(this.vms.get(instance) as Vm, { host }),
    })
  }

  /** What may be started on `host` once its gate is open. */
  belongs(host: string): string[] {
    return [...this.vms.values()].filter((vm) => vm.host === host && !this.live.open(vm.id)).map(({ id }) => id)
  }

  ask(by: string, call: DriverCall, deadlineMs: number, done: (answer: DriverAnswer) => void): void {
    const { engine } = this
    let over = false
    const answer = (value: DriverAnswer) => {
      if (over) return
      over = true
      done(value)
    }
    engine.at(deadlineMs, () => answer({ ok: false, fault: 'no answer in time', sent: true }))
    const there = engine.between(5, 60)
    engine.after(there, () => {
      if (!this.hooks.reaches(by)) return
      if (engine.chance(this.errorShare))
        return answer({
          ok: false,
          fault: '503',
          sent: call.call === 'start' && engine.chance(0.5) ? this.maybe(call) : false,
        })
      const value = this.perform(call)
      if (engine.chance(this.lostShare)) return
      engine.after(engine.between(2, 40), () => this.hooks.reaches(by) && answer(value))
    })
  }

  /** A 503 from a proxy: the request may have gone through. */
  private maybe(call: DriverCall): true {
    if (this.engine.chance(0.5)) this.perform(call)
    return true
  }

  private perform(call: DriverCall): DriverAnswer {
    switch (call.call) {
      case 'survey':
        return { ok: true, survey: { instances: {} } }
      case 'prepare':
        this.down.add(call.host)
        return { ok: true, done: true }
      case 'list': {
        const there = [...this.vms.values()].filter(({ host }) => host === call.host)
        const instances = there.map(({ id }) => ({
          id,
          name: id,
          priority: 0,
          memoryMb: 512,
          group: null,
          unprotected: null,
        }))
        return { ok: true, listing: { complete: true, instances } }
      }
      case 'locate':
        return { ok: true, where: new Map(call.instances.map((id) => [id, this.whereIs(id, call.host)])) }
      case 'start':
        return this.evacuate(call.order.instance, call.order.source)
      case 'migrate':
        return this.moveLive(call.order)
      case 'restart':
        return { ok: true, step: this.restart(call.order) }
      case 'disable':
        return { ok: true, step: { got: 'done' } }
      case 'readmit':
        return this.readmit(call.host, call.step)
    }
  }

  private whereIs(id: string, source: string): Whereabouts {
    const vm = this.vms.get(id)
    if (!vm) return { at: 'gone' }
    const live = this.live.open(id)
    const found = live?.source === source ? this.live.resolve(live) : undefined
    if (found) return found
    const last = this.migrations.filter((one) => one.instance === id && one.source === source).at(-1)
    if (last?.status === 'accepted' || last?.status === 'moving')
      return { at: 'moving', ref: String(last.id), to: last.to }
    if (vm.host !== source) return { at: 'moved', ref: String(last?.id ?? 0), to: vm.host }
    if (last?.status === 'failed') return { at: 'failed', ref: String(last.id), why: 'no valid host' }
    return { at: 'source' }
  }

  private evacuate(id: string, source: string): DriverAnswer {
    const vm = this.vms.get(id)
    if (!vm) return { ok: true, started: { got: 'refused', why: '404', final: true } }
    if (vm.host !== source || !this.down.has(source))
      return { ok: true, started: { got: 'refused', why: 'compute service is still in use', final: false } }
    const twin = this.migrations.find(
      (one) =>
        one.instance === id &&
        (one.status === 'accepted' || one.status === 'moving') &&
        !(one.to !== null && this.down.has(one.to)),
    )
    const live = this.live.open(id)
    if (live && this.down.has(live.to)) live.over = true
    else if (live && this.live.resolve(live))
      this.hooks.violated(`I6: ${id} is evacuated while it may be on its way to ${live.to}`)
    if (twin) this.hooks.violated(`I6: ${id} is evacuated a second time while ${twin.id} is ${twin.status}`)
    const migration: Migration = { id: this.migrations.length + 1, instance: id, source, to: null, status: 'accepted' }
    this.migrations.push(migration)
    this.firstMoveMs ??= this.engine.nowMs
    this.engine.after(this.engine.between(50, 800), () => this.schedule(migration, vm))
    return { ok: true, started: { got: 'accepted', ref: null } }
  }

  /** What is being moved has a task, and takes no other. */
  private restart({ host, instance, step }: RestartRequest): StepTaken {
    const vm = this.vms.get(instance)
    if (vm?.host !== host) return { got: 'refused', why: `it is not on ${host}` }
    const isMoving = this.migrations.some(
      (one) => one.instance === instance && (one.status === 'accepted' || one.status === 'moving'),
    )
    if (isMoving || this.live.open(instance) || !this.hooks.alive(host)) return { got: 'not yet' }
    const { guests } = this.hooks.node(host)
    if (guests.has(instance) === (step === 'start')) return { got: 'done' }
    if (step === 'stop') guests.delete(instance)
    else this.hooks.started(instance, host)
    return { got: 'not yet' }
  }

  private moveLive({ instance, source }: { instance: string; source: string }): DriverAnswer {
    const refused = (why: string): DriverAnswer => ({ ok: true, started: { got: 'refused', why, final: false } })
    const vm = this.vms.get(instance)
    const busy =
      this.live.open(instance) ??
      this.migrations.find((one) => one.instance === instance && (one.status === 'accepted' || one.status === 'moving'))
    if (vm?.host !== source || busy || this.down.has(source)) return refused('it cannot be moved now')
    const fit = this.hosts.filter((host) => host !== source && !this.down.has(host) && this.hooks.alive(host))
    if (fit.length === 0 || !this.hooks.node(source).guests.has(instance)) return refused('no valid host')
    this.live.begin(instance, source, this.engine.pick(fit))
    return { ok: true, started: { got: 'accepted', ref: null } }
  }

  /** Whether an evacuation of `host` is not over. */
  isLeaving(host: string): boolean {
    return this.migrations.some((one) => one.source === host && (one.status === 'accepted' || one.status === 'moving'))
  }

  private schedule(migration: Migration, vm: Vm): void {
    const fit = this.hosts.filter((host) => host !== migration.source && !this.down.has(host))
    if (fit.length === 0 || this.engine.chance(this.noHostShare)) return void (migration.status = 'failed')
    migration.to = this.engine.pick(fit)
    migration.status = 'moving'
    this.land(migration, vm)
  }

  /** The target does it when it runs; a request to one that hangs or is dead waits. */
  private land(migration: Migration, vm: Vm): void {
    this.engine.after(this.engine.between(100, 1_500), () => {
      if (migration.status !== 'moving' || migration.to === null) return
      if (this.down.has(migration.to)) return void (migration.status = 'failed')
      if (!this.hooks.alive(migration.to)) return this.land(migration, vm)
      migration.status = 'done'
      vm.host = migration.to
      this.hooks.started(vm.id, migration.to)
    })
  }

  private readmit(host: string, step: 'clean' | 'enable'): DriverAnswer {
    const open = this.isLeaving(host)
    if (step === 'clean') return { ok: true, done: !open }
    for (const one of this.migrations) if (one.source === host && one.status === 'done') one.status = 'completed'
    if (open) return { ok: true, done: false }
    this.down.delete(host)
    return { ok: true, done: true }
  }
}
