/** A simulated server: what it is and does between power-on and power-off. Firmware takes its time, boots what its boot
 *  flags or its disk say, and goes round again where a boot fails, as real ones do. */
import type { Clock } from '../../kit/clock.ts'
import { runAgent, type AgentParts, type Machine } from './agent.ts'
import type { FaultName } from './faults.ts'
import type { Chassis, ChassisCommand } from './ipmi-bmc.ts'
import { bootOverNetwork, type BootParts } from './network-boot.ts'
import type { ServerTimes } from './times.ts'

export interface SimulatedServer {
  readonly name: string
  readonly mac: string
  readonly uuid: string
  readonly fault: FaultName | undefined
  readonly times: ServerTimes
}

export type ServerParts = AgentParts & BootParts & { readonly clock: Clock }
export type Doing = 'off' | 'firmware' | 'network boot' | 'ramdisk' | 'agent' | 'its system'

/** Boot flags of IPMI (table 28-14, parameter 5). */
const FLAG = { valid: 0x80, persistent: 0x40 } as const
const PXE = 1

export class Server implements Chassis, Machine {
  readonly name: string
  readonly mac: string
  readonly uuid: string
  readonly fault: FaultName | undefined
  readonly times: ServerTimes
  bootFlags: Buffer = Buffer.alloc(5)
  doing: Doing = 'off'
  hasSystem = false
  private running: AbortController | undefined
  /** What a command before has yet to do. */
  private cancel: () => void = () => undefined
  private readonly parts: ServerParts

  constructor({ name, mac, uuid, fault, times }: SimulatedServer, parts: ServerParts) {
    this.name = name
    this.mac = mac
    this.uuid = uuid
    this.fault = fault
    this.times = times
    this.parts = parts
  }

  get isOn(): boolean {
    return this.running !== undefined
  }

  control(command: ChassisCommand): void {
    if (this.fault === 'stuck') return
    switch (command) {
      case 'on':
        return this.start()
      case 'off':
        return this.end()
      case 'reset':
        if (!this.isOn) return
        this.end()
        return this.start()
      case 'cycle':
        if (!this.isOn) return
        this.end()
        return this.later('cycle', () => this.start())
      case 'soft-off':
        // Firmware and the ramdisk end at once.
        if (this.doing !== 'its system') return this.end()
        return this.later('shutdown', () => this.end())
    }
  }

  /** Unless something else is commanded before. */
  private later(when: 'cycle' | 'shutdown', act: () => void): void {
    this.cancel()
    this.cancel = this.parts.clock.after(this.times.ms(when), act)
  }

  /** Also when the simulation ends. */
  end(): void {
    this.cancel()
    this.running?.abort(new Error('the server was switched off'))
    this.running = undefined
    this.doing = 'off'
  }

  private start(): void {
    if (this.running) return
    const running = new AbortController()
    this.running = running
    this.live(running.signal).catch((error: unknown) => {
      if (!running.signal.aborted) this.parts.measures.count(`server: ${String(error)}`)
    })
  }

  private async live(signal: AbortSignal): Promise<void> {
    const { clock, measures } = this.parts
    for (;;) {
      this.doing = 'firmware'
      await clock.sleep(this.fault === 'no-boot' ? Infinity : this.times.ms('post'), signal)
      const device = this.takeBootDevice()
      if (device !== PXE && this.hasSystem) break
      if (await this.bootsFromNetwork(signal)) break
      if (this.hasSystem) break
      measures.count('boots that came to nothing')
      await clock.sleep(this.times.ms('again'), signal)
    }
    this.doing = 'its system'
  }

  /** True when its own system runs then; false when firmware goes on with the next boot entry. */
  private async bootsFromNetwork(signal: AbortSignal): Promise<boolean> {
    const { clock, measures } = this.parts
    this.doing = 'network boot'
    const booted = await bootOverNetwork(this.mac, this.parts, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      measures.count(`network boot: ${error instanceof Error ? error.message.slice(0, 80) : String(error)}`)
      return { kind: 'nothing' as const }
    })
    if (booted.kind !== 'ramdisk') return booted.kind === 'disk' && this.hasSystem
    this.doing = 'ramdisk'
    await clock.sleep(this.times.ms('ramdisk'), signal)
    this.doing = 'agent'
    await runAgent(booted.cmdline, { machine: this, signal }, this.parts)
    return true
  }

  /** Flags for once are consumed by the start. */
  private takeBootDevice(): number {
    const [flags = 0, device = 0] = this.bootFlags
    if ((flags & FLAG.valid) === 0) return 0
    if ((flags & FLAG.persistent) === 0) this.bootFlags = Buffer.alloc(5)
    return (device >> 2) & 0x0f
  }
}
