/** Which slots a conductor takes, and which it gives back, so that each living conductor of a group has its fair share.
 *  Pure: every conductor decides for itself, from what the database shows to all of them. */

export interface SlotSeen {
  readonly id: number
  /** Who leased it last. */
  readonly owner: string | null
  /** It was given back, or its lease and the quiet time after it are over. */
  readonly isFree: boolean
}

export interface ShareFacts {
  readonly me: string
  /** Of the group, this one included or not. */
  readonly living: readonly string[]
  readonly slots: readonly SlotSeen[]
  /** Slots that this process has, and does not give back already. */
  readonly held: ReadonlySet<number>
  /** Slots that it is giving back. */
  readonly leaving: ReadonlySet<number>
}

export interface Share {
  readonly take: readonly number[]
  readonly give: readonly number[]
}

/** How many of `slots` are the share of the conductor at this place: all shares together are all slots. */
export const shareOf = (slots: number, { place, of }: { place: number; of: number }): number =>
  Math.floor(slots / of) + (place < slots % of ? 1 : 0)

export function share({ me, living, slots, held, leaving }: ShareFacts): Share {
  const everyone = [...new Set([...living, me])].sort()
  const wanted = shareOf(slots.length, { place: everyone.indexOf(me), of: everyone.length })
  if (held.size > wanted) return { take: [], give: [...held].sort((a, b) => b - a).slice(0, held.size - wanted) }
  // What this conductor leased before it was restarted is its own to take.
  const free = slots.filter(({ id, owner, isFree }) => !held.has(id) && !leaving.has(id) && (isFree || owner === me))
  return { take: free.slice(0, wanted - held.size).map(({ id }) => id), give: [] }
}
