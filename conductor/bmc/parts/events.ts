/** How a BMC announces changes by itself. What an event says is never used: it is a reason to read the BMC, and nothing
 *  else. */
import type { Clock } from '../../../kit/clock.ts'

/** Where a BMC offers its events; null: not in this way. */
export interface EventOffer {
  /** Server-sent events, which the conductor reads. */
  readonly stream: string | null
  /** The collection of subscriptions, whose events the BMC sends to an address. */
  readonly subscriptions: string | null
}

export interface EventLimits {
  /** Size of one event. */
  readonly eventBytes: number
  /** What comes faster than this from one BMC is read later. */
  readonly eventsPerSecond: number
}

export interface StreamReader {
  readonly limits: EventLimits
  readonly clock: Clock
  /** At least one event came. */
  readonly onEvents: () => void
  /** The BMC sends more than the limits allow. */
  readonly onFlood: () => void
}

/** A stream that is open. */
export type EventStream = AsyncIterable<Uint8Array> & { destroy(): unknown }

export interface Subscription {
  /** The collection. */
  readonly at: string
  readonly destination: string
  /** The same for all subscriptions of the node, whichever conductor made them. */
  readonly context: string
}

export interface Events {
  /** Throws bmc.* faults. */
  offer(signal: AbortSignal): Promise<EventOffer>
  /** Opens the stream; the signal ends it later as well. Throws bmc.* faults. */
  open(path: string, signal: AbortSignal): Promise<EventStream>
  /** Reads the stream until the BMC closes it. Throws bmc.* faults, `bmc.refused` for an event beyond the limit
   *  included. */
  read(stream: EventStream, reader: StreamReader, signal: AbortSignal): Promise<void>
  /** Makes this subscription the only one of the node: one that is there is kept, others of the node are deleted.
   *  Throws `bmc.subscriptions` when the table of the BMC is full. */
  subscribe(wanted: Subscription, signal: AbortSignal): Promise<void>
  /** Whether the BMC still has the subscription and delivers to it. */
  isSubscribed(signal: AbortSignal): Promise<boolean>
  /** Deletes the subscription, if there is one; whatever is asked afterwards is refused. Never throws. */
  close(signal: AbortSignal): Promise<void>
}
