/** What we ask of a management controller. `setPower` and `setBootDevice` say that the BMC took the command; only `power` proves a state. */

export type Power = 'on' | 'off'

export interface BootChoice {
  readonly device: 'pxe' | 'disk'
  /** For the next boot only, or from now on. */
  readonly once: boolean
  readonly efi: boolean
}

export interface Bmc {
  /** Reads the power state. May be repeated; a second or so; throws bmc.* faults. */
  power(signal: AbortSignal): Promise<Power>
  /** Asks for a state. May be repeated: asking for the state that it is in does nothing. */
  setPower(to: Power, signal: AbortSignal): Promise<void>
  /** May be repeated. Many BMCs forget a one-time choice after 60 s without a reset. */
  setBootDevice(choice: BootChoice, signal: AbortSignal): Promise<void>
  bootDevice(signal: AbortSignal): Promise<{ device: 'pxe' | 'disk' | null; persistent: boolean | null }>
}

export interface BmcTarget {
  /** What the queue is kept by: one BMC, one queue. */
  readonly key: string
  readonly bmc: Bmc
}
