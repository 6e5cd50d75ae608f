/** Event subscriptions that users make at a BMC for receivers of their own. */

export interface WantedSubscription {
  readonly destination: string
  readonly protocol: string
  readonly context: string
  /** Null: none is named, and what the BMC takes is asked for. */
  readonly eventTypes: readonly string[] | null
  readonly httpHeaders: readonly Readonly<Record<string, unknown>>[]
}

/** Properties of the schemas EventDestination and EventDestinationCollection. */
export type SubscriptionView = Readonly<Record<string, unknown>>

export interface Subscriptions {
  /** The collection, with links to its members. */
  list(signal: AbortSignal): Promise<SubscriptionView>
  /** Throws `object.missing`. */
  show(id: string, signal: AbortSignal): Promise<SubscriptionView>
  create(wanted: WantedSubscription, signal: AbortSignal): Promise<SubscriptionView>
  /** Throws `object.missing`. */
  remove(id: string, signal: AbortSignal): Promise<void>
}
