/** A server of the simulated rack: what its machine, its kernel, its agent and its guests do. The agent is the
 *  production Membership. */
import { Consent } from '../../host-agent/guard/consent.ts'
import { Membership } from '../../host-agent/probe/membership.ts'
import type { SelfReport } from '../../host-agent/protocol/heartbeat.ts'
import type { Engine } from './engine.ts'

export const WATCHDOG_MS = 10_000
export const BOOT_MS = 15_000

export interface NodeHooks {
  /** A guest may only start where nothing else runs it. */
  started(instance: string, host: string): void
  watchdogFired(node: SimNode): void
  belongs(host: string): string[]
}

export class SimNode {
  readonly name: string
  readonly index: number
  readonly rack: number
  readonly isArbiter: boolean
  readonly guests = new Set<string>()
  /** Faults that hold a plane down, by plane. */
  readonly planeDown = [0, 0, 0]
  powered = true
  stalledMs = 0
  agentDownMs = 0
  leaving = false
  boots = 1
  member: Membership
  gateOpen = true
  consent = new Consent()
  /** When it last consented. */
  consentedMs = Number.NEGATIVE_INFINITY
  petMs = 0
  storageLostSinceMs: number | undefined
  lagMs = 0
  tick = 0
  private waiting: (() => void)[] = []
  private readonly engine: Engine
  private readonly hooks: NodeHooks
  private readonly armed: boolean

  constructor(
    engine: Engine,
    about: { name: string; index: number; rack: number; isArbiter: boolean; armed: boolean },
    hooks: NodeHooks,
  ) {
    this.engine = engine
    this.hooks = hooks
    this.name = about.name
    this.index = about.index
    this.rack = about.rack
    this.isArbiter = about.isArbiter
    this.armed = about.armed && !about.isArbiter
    this.member = this.newMember()
  }

  /** The kernel runs: it answers, guests execute. */
  get runs(): boolean {
    return this.powered && this.stalledMs <= this.engine.nowMs
  }

  get agentUp(): boolean {
    return this.runs && this.agentDownMs <= this.engine.nowMs
  }

  selfReport(): SelfReport {
    return {
      state: this.leaving ? 'leaving' : this.gateOpen ? 'member' : 'quarantined',
      lagMs: 0,
      storageLost: this.storageLostSinceMs !== undefined && this.engine.nowMs - this.storageLostSinceMs > 2_000,
      guests: this.guests.size,
      consents: this.consent.given,
      gate: this.gateOpen ? 'open' : 'closed',
      watchdogMs: this.armed ? WATCHDOG_MS : null,
    }
  }

  /** What stopped its guests may be over. */
  look(): void {
    if (this.consent.given) this.consentedMs = this.engine.nowMs
    const { storageLost } = this.selfReport()
    if (this.consent.look(this.engine.nowMs, { guests: this.guests.size, storageLost }))
      for (const instance of this.hooks.belongs(this.name)) this.run(instance)
  }

  newMember(): Membership {
    return new Membership({
      name: this.name,
      bootId: `${this.name}-${this.boots}`,
      self: this.selfReport(),
      nowMs: this.engine.nowMs,
      firstSeq: Math.round(this.engine.nowMs),
    })
  }

  /** Runs now, or when the node goes on: what a stopped process has to do waits for it. Lost with its power. */
  defer(run: () => void): void {
    if (this.runs) run()
    else if (this.powered) this.waiting.push(run)
  }

  stall(forMs: number | null): void {
    if (!this.powered) return
    const untilMs = forMs === null ? Number.POSITIVE_INFINITY : this.engine.nowMs + forMs
    this.stalledMs = Math.max(this.stalledMs, untilMs)
    if (forMs === null) return
    this.engine.at(untilMs, () => {
      if (!this.runs) return
      const waiting = this.waiting
      this.waiting = []
      for (const run of waiting) run()
    })
  }

  powerOff(): void {
    this.powered = false
    this.guests.clear()
    this.waiting = []
    this.consent = new Consent()
    this.storageLostSinceMs = undefined
  }

  /** Guests start after the gate was opened, and not before. */
  powerOn(): void {
    if (this.powered) return
    this.powered = true
    this.leaving = false
    this.stalledMs = this.engine.nowMs + BOOT_MS
    this.boots += 1
    this.gateOpen = this.isArbiter
    const boots = this.boots
    this.engine.after(BOOT_MS, () => {
      if (this.boots !== boots || !this.powered) return
      this.petMs = this.engine.nowMs
      this.member = this.newMember()
    })
  }

  openGate(): void {
    if (this.gateOpen) return
    this.gateOpen = true
    for (const instance of this.hooks.belongs(this.name)) this.run(instance)
  }

  run(instance: string): void {
    if (!this.powered || this.guests.has(instance)) return
    this.guests.add(instance)
    this.hooks.started(instance, this.name)
  }

  /** The hardware counts on whatever the machine does. */
  watchdog(): void {
    const { nowMs } = this.engine
    if (!this.armed || !this.powered) return
    if (this.agentUp && this.member.mayPet(nowMs)) this.petMs = nowMs
    if (nowMs - this.petMs <= WATCHDOG_MS || this.stalledMs - nowMs === BOOT_MS) return
    this.hooks.watchdogFired(this)
    this.powerOff()
    this.powerOn()
    this.petMs = nowMs + BOOT_MS
  }
}
