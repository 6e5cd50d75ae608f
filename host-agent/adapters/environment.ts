/** Everything that the arbiter's core asks of the world. Answers come by callback, never inside the call: one core runs on real Consul, BMCs and
 *  clouds, and in a simulation of them. */
import type { Change, Snapshot, Stored } from '../cluster/store.ts'
import type { PoisonPill } from '../protocol/poison-pill.ts'
import type { PillAsk } from './poison-pill.ts'
import type { DeviceAct } from './fence-agents.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import type { Listing, MigrationRequest, MoveRequest, Started, Inventory, Whereabouts } from '../evacuate/instances.ts'

/** `identify` reads the power and whose BMC it is. */
export type BmcAct = 'off' | 'identify'
export interface BmcAnswer {
  readonly power?: 'on' | 'off' | 'unknown'
  /** Another number for each session. */
  readonly session?: number
  readonly systemUuid?: string | null
  /** What went wrong, for people. */
  readonly fault?: string
}

export type DriverCall =
  | { readonly call: 'survey' }
  | { readonly call: 'list'; readonly host: string }
  | { readonly call: 'prepare'; readonly host: string; readonly why: string }
  | { readonly call: 'locate'; readonly host: string; readonly instances: readonly string[] }
  | { readonly call: 'start'; readonly order: MoveRequest }
  /** Moves an instance off a host that lives. */
  | { readonly call: 'migrate'; readonly order: MigrationRequest }
  | { readonly call: 'readmit'; readonly host: string; readonly step: 'clean' | 'enable' }

export type DriverAnswer =
  | {
      readonly ok: true
      readonly survey?: Inventory
      readonly listing?: Listing
      readonly where?: ReadonlyMap<string, Whereabouts>
      readonly started?: Started
      readonly done?: boolean
    }
  /** `sent`: it may have been received. */
  | { readonly ok: false; readonly fault: string; readonly sent: boolean }

/** `found`: what stands in the slot now. */
export type PillAnswer =
  { readonly ok: true; readonly found: PoisonPill | undefined } | { readonly ok: false; readonly fault: string }

export interface Alert {
  /** The same for the same trouble, so that it is told once. */
  readonly key: string
  readonly host: string | null
  readonly says: string
}

export interface Environment {
  /** Compare-and-set of all changes or none, under the lease of `epoch`; `guards` must still have these indexes. */
  store(
    ask: { changes: readonly Change[]; guards: readonly { key: string; index: number }[]; epoch: number },
    done: (stored: Stored) => void,
  ): void
  /** A read that no earlier write can be missing from. */
  readStore(done: (snapshot: Snapshot | undefined) => void): void
  /** Must not begin after `notAfterMs`, and is broken off at `deadlineMs`; answers by then in any case. */
  bmc(
    ask: { host: string; act: BmcAct; notAfterMs: number; deadlineMs: number },
    done: (answer: BmcAnswer) => void,
  ): void
  /** Outlets or storage access of a host, as `bmc`. */
  device(
    ask: { host: string; level: DeviceLevel; act: DeviceAct; notAfterMs: number; deadlineMs: number },
    done: (answer: BmcAnswer) => void,
  ): void
  /** Which of these a host has. */
  deviceLevels(host: string): readonly DeviceLevel[]
  /** Answers by `deadlineMs` in any case. */
  driver(call: DriverCall, deadlineMs: number, done: (answer: DriverAnswer) => void): void
  /** A host's slot on the shared storage. Answers by `deadlineMs` in any case; what was asked for may take effect later than that. */
  pill(ask: PillAsk, deadlineMs: number, done: (answer: PillAnswer) => void): void
  page(page: Alert): void
  /** The monotonic clock that everything is counted with. */
  now(): number
  /** Something for the time line of people: wall clock. */
  wall(): string
}
