/** What conductors that share a store settle among each other: whose a node is, who has which duty, and what one hears
 *  of the others' changes. */

/** Work that one conductor of a store does for all. */
export const DUTIES = ['allocations', 'housekeeping', 'webhooks'] as const
export type Duty = (typeof DUTIES)[number]

export interface NodeKey {
  readonly uuid: string
  /** Absent: the group without a name. */
  readonly conductorGroup?: string
}

export interface NodeBell {
  readonly uuid: string
  /** MAC addresses that no longer belong to the node. */
  readonly gone: readonly string[]
}

export interface OwnerListener {
  /** Another conductor changed this node. */
  readonly changed?: (bell: NodeBell) => void
  /** What another conductor told. */
  readonly told?: (text: string) => void
  /** Changes of others may have passed unheard. */
  readonly missed?: () => void
  /** Nodes, or duties, became this conductor's. */
  readonly taken?: () => void
  /** Nodes are about to be another conductor's, and are not `mine` any more: ends what is under way there. False: it
   *  goes on. */
  readonly leaving?: () => Promise<boolean>
}

export interface NodeHolder {
  /** Of the conductor that works on the node; null: none does now. */
  readonly hostname: string | null
  /** Living conductors of the node's group. */
  readonly living: number
}

/** Which nodes a conductor works on, where several share one store. Any of them may change any node. */
export interface NodeOwner {
  readonly mine: (node: NodeKey) => boolean
  /** A node was changed here: the others are to know it soon. */
  readonly ring: (uuid: string, gone?: readonly string[]) => void
  /** What `work` writes is refused, with `store.locked`, once another conductor has the node; and so is what it sends
   *  to a BMC. Throws it at once for a node that is not `mine`. */
  readonly holding: <T>(node: NodeKey, work: () => Promise<T>) => Promise<T>
  /** Tells the other conductors, each text of 7,000 bytes at most. What is lost is not told again. */
  readonly tell: (texts: readonly string[]) => Promise<void>
  readonly holds: (duty: Duty) => boolean
  readonly listen: (listener: OwnerListener) => void
  /** Undefined: this conductor, which shares with nobody. */
  readonly holderOf: (node: NodeKey) => NodeHolder | undefined
  /** The living conductors of the node's group, where this one is of another group; undefined: it is not. */
  readonly elsewhere: (node: NodeKey) => readonly string[] | undefined
}

/** Of a conductor that has its store alone, while `isHeld`. */
export const ownerAlone = (isHeld: () => boolean): NodeOwner => ({
  mine: isHeld,
  ring: () => undefined,
  holding: (_, work) => work(),
  tell: async () => undefined,
  holds: isHeld,
  listen: () => undefined,
  holderOf: () => undefined,
  elsewhere: () => undefined,
})
