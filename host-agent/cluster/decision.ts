/** A decision as a value: what is stored first, on which condition, and what is done only once it is stored.
 *  `arbiter/commit.ts` carries it out. Imports the store alone. */
import type { Change } from './store.ts'

/** An entry that must still have this index when the changes are stored. */
export interface StoreGuard {
  readonly key: string
  readonly index: number
}

/** A message to a person. */
export interface Alert {
  /** Equal for the same failure, so that it is sent once. */
  readonly key: string
  /** Null: about the mesh as a whole. */
  readonly host: string | null
  readonly says: string
}

export interface Decision<Effect> {
  /** Stored by compare-and-set, all or none. Without any, the effects follow at once. */
  readonly changes?: readonly Change[]
  readonly guards?: readonly StoreGuard[]
  /** Performed once the changes are stored. */
  readonly effects?: readonly Effect[]
  /** Sent whatever becomes of the changes. */
  readonly alerts?: readonly Alert[]
  /** Sent once the changes are stored. */
  readonly alertsOnceStored?: readonly Alert[]
}

/** `key` names the failure; the host is part of the key of the alert, so that two hosts with the same failure are two
 *  alerts. */
export const alertOf = (host: string | null, key: string, says: string): Alert => ({
  key: `${host ?? 'mesh'}: ${key}`,
  host,
  says,
})
