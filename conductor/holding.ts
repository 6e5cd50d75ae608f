/** On whose behalf something is done to a node where several conductors share a store: carried along the calls, so that
 *  each write proves that the node is still this conductor's, and each command to a BMC asks first. */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface Holding {
  readonly group: string
  readonly slot: number
  /** Raised by each conductor that takes the slot. */
  readonly token: number
  /** What this conductor knows by itself. Throws `store.locked`. */
  readonly still: () => void
  /** Asks the database. Throws `store.locked` when the node may be another conductor's, or that cannot be known. */
  readonly check: () => Promise<void>
  /** A write was refused: another conductor has the slot. */
  readonly lost: () => void
}

const holdings = new AsyncLocalStorage<Holding | undefined>()

export const currentHolding = (): Holding | undefined => holdings.getStore()
export const runHolding = <T>(holding: Holding | undefined, work: () => T): T => holdings.run(holding, work)

/** Before any datagram to a BMC. Throws `store.locked`. */
export const mayStillAct = (): void => holdings.getStore()?.still()

/** Before a command is sent to a BMC. Throws `store.locked`. What users ask for directly asks nobody. */
export const mayAct = async (): Promise<void> => holdings.getStore()?.check()
