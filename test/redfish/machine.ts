/** The machine behind a virtual BMC: what a BMC can do to it and hear from it; and one that is simulated. The lab has
 *  one of QEMU. */
import { systemClock, type Clock } from '../../kit/clock.ts'

/** PowerState of the schema Resource. */
export type PowerState = 'On' | 'Off' | 'PoweringOn' | 'PoweringOff' | 'Paused' | null

/** `started`: its firmware begins (POST), after power-on as after a reset, whoever asked for it. `posted`: POST has
 *  ended. */
export type MachineEvent = 'started' | 'posted' | 'off'

export interface Identity {
  /** SMBIOS UUID, in lower case. */
  readonly uuid: string
  readonly manufacturer: string
  readonly model: string
  readonly serialNumber: string
  /** MAC addresses of its network cards. */
  readonly macs: readonly string[]
}

/** What the firmware is told for the next start only. */
export interface NextBoot {
  /** BootSourceOverrideTarget: Pxe, Cd, Hdd, BiosSetup, UefiHttp; null: by its own order. */
  readonly target: string | null
  readonly mode: 'UEFI' | 'Legacy'
  /** For UefiHttp. */
  readonly httpUri?: string
}

export interface SecureBootNext {
  readonly enabled: boolean
  readonly keys: 'factory' | 'none'
}

export interface Machine {
  readonly identity: Identity
  readonly power: PowerState
  /** Whether its firmware is between `started` and `posted`. */
  readonly inPost: boolean
  /** What the next start boots, whoever causes it. Called at each change of the override. */
  setNextBoot(next: NextBoot): Promise<void>
  start(): Promise<void>
  /** At once, like a plug that is pulled. */
  stop(): Promise<void>
  /** The power button, pressed shortly: the operating system shuts down, if it listens. */
  pressButton(): Promise<void>
  /** A warm reset. */
  reset(): Promise<void>
  nmi(): Promise<void>
  /** Puts a medium into a drive of the BMC (its name is the slot's Id), or takes it out (null), at once. */
  setMedium(drive: string, url: string | null): Promise<void>
  /** Whether Secure Boot verifies at the next start; and which variables it starts with. */
  readonly secureBoot: SecureBootNext
  setSecureBoot(next: SecureBootNext): Promise<void>
  /** One listener: the BMC. */
  onEvent(listener: (event: MachineEvent) => void): void
}

export const IDENTITY: Identity = {
  uuid: '30313233-3435-4637-b839-414243444546',
  manufacturer: 'Rackward',
  model: 'Virtual',
  serialNumber: 'RW-0001',
  macs: ['52:54:00:aa:00:01', '52:54:00:aa:00:02'],
}

/** What a simulated machine has booted from: the record of a start. */
export interface Start extends NextBoot {
  /** Media that were in the drives. */
  readonly media: Readonly<Record<string, string>>
}

export class SimulatedMachine implements Machine {
  identity: Identity
  power: PowerState = 'Off'
  inPost = false
  nmis = 0
  next: NextBoot = { target: null, mode: 'UEFI' }
  secureBoot: SecureBootNext = { enabled: false, keys: 'factory' }
  /** Every start, in order. */
  readonly starts: Start[] = []
  readonly media = new Map<string, string>()
  /** How long POST takes; 0: no time at all. */
  postMs: number
  private readonly clock: Clock
  private listener: (event: MachineEvent) => void = () => undefined
  private stopPost: () => void = () => undefined

  constructor(options: { identity?: Partial<Identity>; postMs?: number; clock?: Clock } = {}) {
    this.identity = { ...IDENTITY, ...options.identity }
    this.postMs = options.postMs ?? 0
    this.clock = options.clock ?? systemClock
  }

  onEvent(listener: (event: MachineEvent) => void): void {
    this.listener = listener
  }

  async setNextBoot(next: NextBoot): Promise<void> {
    this.next = next
  }

  async start(): Promise<void> {
    if (this.power === 'On') return
    this.power = 'On'
    this.boot()
  }

  async stop(): Promise<void> {
    this.stopPost()
    this.inPost = false
    if (this.power === 'Off') return
    this.power = 'Off'
    this.listener('off')
  }

  pressButton = (): Promise<void> => this.stop()

  async reset(): Promise<void> {
    this.power = 'On'
    this.boot()
  }

  async nmi(): Promise<void> {
    this.nmis += 1
  }

  async setMedium(drive: string, url: string | null): Promise<void> {
    if (url === null) this.media.delete(drive)
    else this.media.set(drive, url)
  }

  async setSecureBoot(next: SecureBootNext): Promise<void> {
    this.secureBoot = next
  }

  private boot(): void {
    this.stopPost()
    this.starts.push({ ...this.next, media: Object.fromEntries(this.media) })
    this.inPost = true
    this.listener('started')
    if (this.postMs === 0) return this.endPost()
    this.stopPost = this.clock.after(this.postMs, () => this.endPost())
  }

  private endPost(): void {
    this.inPost = false
    this.listener('posted')
  }
}
