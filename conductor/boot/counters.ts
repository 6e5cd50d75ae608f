/** What the boot services did, in numbers: totals since their process began, of a fixed set of names, so that nothing
 *  from the wire makes another one. */
import type { Clock } from '../../kit/clock.ts'

/** How requests ended, by service. */
export const OUTCOMES = {
  dhcp: [
    'offer',
    'ack',
    'nak',
    'heard',
    'unknown',
    'malformed',
    'refused',
    'trouble',
    'rogue',
    'unsent',
    'socket',
    'fault',
  ],
  tftp: ['sent', 'failed', 'refused', 'socket', 'fault'],
  http: ['sent', 'refused', 'broken off'],
} as const
export type BootServiceName = keyof typeof OUTCOMES

/** Limits that the boot services enforce, as their keys below `limits`. */
export const BOOT_LIMITS = [
  'boot.httpConnections',
  'boot.httpConnectionsPerAddress',
  'boot.tftpTransfers',
  'boot.tftpTransfersPerAddress',
  'boot.ramdiskTransfers',
  'boot.declinesPerMac',
  'boot.eventsPerSecond',
  'boot.queuedEvents',
] as const
export type BootLimit = (typeof BOOT_LIMITS)[number]

export interface BootTotals {
  readonly requests: Readonly<Record<BootServiceName, Readonly<Record<string, number>>>>
  readonly limits: Readonly<Record<string, number>>
}

/** The conductor hears of the totals this often, and only of new ones. */
const TELL_MS = 2_000

const zeros = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>

export class BootCounters {
  private readonly requests: Record<BootServiceName, Record<string, number>> = {
    dhcp: zeros(OUTCOMES.dhcp),
    tftp: zeros(OUTCOMES.tftp),
    http: zeros(OUTCOMES.http),
  }
  private readonly limits: Record<string, number> = zeros(BOOT_LIMITS)
  private changed = true
  private cancel: (() => void) | undefined

  request<Name extends BootServiceName>(service: Name, outcome: (typeof OUTCOMES)[Name][number]): void {
    const ofService: Record<string, number> = this.requests[service]
    ofService[outcome] = (ofService[outcome] ?? 0) + 1
    this.changed = true
  }

  limit(limit: BootLimit): void {
    this.limits[limit] = (this.limits[limit] ?? 0) + 1
    this.changed = true
  }

  get totals(): BootTotals {
    return { requests: this.requests, limits: this.limits }
  }

  /** Calls `tell` every few seconds with totals that are new; it answers whether they were told. */
  start(clock: Clock, tell: (totals: BootTotals) => boolean): void {
    this.cancel = clock.after(TELL_MS, () => {
      if (this.changed && tell(this.totals)) this.changed = false
      this.start(clock, tell)
    })
  }

  stop(): void {
    this.cancel?.()
  }

  /** For a conductor that knows none of them. */
  renew(): void {
    this.changed = true
  }
}
