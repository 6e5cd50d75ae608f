/** Everything that an arbiter asks of what is around it. Answers come by callback, never inside the call: one arbiter
 *  runs on real Consul, BMCs and clouds, and in a simulation of them. */
import type { Alert, StoreGuard } from '../cluster/decision.ts'
import type { Change, Snapshot, Stored } from '../cluster/store.ts'
import type { DriverAnswer, DriverCall } from '../evacuate/effects.ts'
import type { PillAnswer, PowerAnswer } from '../fence/effects.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import type { DeviceAction } from './fence-agents.ts'
import type { PillRequest } from './poison-pill.ts'

/** `identify` reads the power and whose BMC it is. */
export type BmcCommand = 'off' | 'identify'

export interface Environment {
  /** Compare-and-set of all changes or none, under the lease of `epoch`; `guards` must still have these indexes. */
  store(
    ask: { changes: readonly Change[]; guards: readonly StoreGuard[]; epoch: number },
    done: (stored: Stored) => void,
  ): void
  /** A read that no earlier write can be missing from. */
  readStore(done: (snapshot: Snapshot | undefined) => void): void
  /** Must not begin after `notAfterMs`, and is broken off at `deadlineMs`; answers by then in any case. Nothing more is
   *  sent once `leads` says no. */
  bmc(
    ask: { host: string; command: BmcCommand; notAfterMs: number; deadlineMs: number; leads: () => boolean },
    done: (answer: PowerAnswer) => void,
  ): void
  /** Outlets or storage access of a host, as `bmc`. */
  device(
    ask: { host: string; level: DeviceLevel; action: DeviceAction; notAfterMs: number; deadlineMs: number },
    done: (answer: PowerAnswer) => void,
  ): void
  /** Which of these a host has. */
  deviceLevels(host: string): readonly DeviceLevel[]
  /** Answers by `deadlineMs` in any case. */
  driver(call: DriverCall, deadlineMs: number, done: (answer: DriverAnswer) => void): void
  /** A host's slot on the shared storage. Answers by `deadlineMs` in any case; what was asked for may take effect later
   *  than that. */
  pill(ask: PillRequest, deadlineMs: number, done: (answer: PillAnswer) => void): void
  /** Sends it to people. */
  alert(alert: Alert): void
  /** The monotonic clock that everything is counted with. */
  now(): number
  /** Wall clock, for people alone. */
  wall(): string
}
