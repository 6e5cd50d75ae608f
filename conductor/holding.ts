/** On whose behalf something is done to a node where several conductors share a store: carried along the calls, so that
 *  each write proves that the node is still this conductor's, and each command to a BMC asks first. */
import { AsyncLocalStorage } from 'node:async_hooks'

/** A session with a BMC, as it is told to whoever has the node next: without it, what was sent in it does nothing. */
export interface BmcSession {
  /** Protocol and address: its name counts there alone. */
  readonly place: string
  /** IPMI: the BMC's number of it. Redfish: its path. */
  readonly name: string
  /** The BMC ends it itself, when nothing was heard for this long. */
  readonly lastsMs: number
}

/** Sessions of the conductors that had a node before. */
export interface FormerOfNode {
  /** Those that are to be ended before anything else is asked there. */
  readonly at: (place: string) => readonly string[]
  /** It is over, or cannot be ended. */
  readonly ended: (place: string, name: string) => void
  /** The BMC did not say what became of it. */
  readonly unanswered: (place: string, name: string) => void
}

export interface Holding {
  readonly group: string
  readonly slot: number
  /** Raised by each conductor that takes the slot. */
  readonly token: number
  /** What this conductor knows by itself. Throws `store.locked`. */
  readonly still: () => void
  /** Asks the database, and keeps there in which session the command will be sent. Throws `store.locked` when the node
   *  may be another conductor's, or that cannot be known. */
  readonly check: (session?: BmcSession) => Promise<void>
  /** Absent: nobody can have had the node before. */
  readonly former?: FormerOfNode
  /** This one was ended by us, and needs no other to end it. Never throws. */
  readonly closed?: (session: BmcSession) => void
  /** A write was refused: another conductor has the slot. */
  readonly lost: () => void
}

const holdings = new AsyncLocalStorage<Holding | undefined>()

export const currentHolding = (): Holding | undefined => holdings.getStore()
export const runHolding = <T>(holding: Holding | undefined, work: () => T): T => holdings.run(holding, work)

/** Before any datagram to a BMC. Throws `store.locked`. */
export const mayStillAct = (): void => holdings.getStore()?.still()

/** Before a command is sent to a BMC. Throws `store.locked`. What users ask for directly asks nobody. */
export const mayAct = async (session?: BmcSession): Promise<void> => holdings.getStore()?.check(session)
