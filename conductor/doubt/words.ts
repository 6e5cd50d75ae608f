/** Who knows more than the database, and why nothing is acted on, for people. Pure. */
export interface Claimant {
  readonly room: string
  readonly who: 'room' | 'conductor'
}

/** No room has such a name as a conductor has here. */
export const claimant = ({ room, who }: Claimant): string => (who === 'conductor' ? `conductor ${room}` : room)

/** The beginning of a sentence that ends with what it was. */
export const toldTo = ({ room, who }: Claimant): string =>
  who === 'conductor' ? `the conductor ${room} had seen` : `the boot room ${room} was told of`

export interface Closing {
  readonly claims: readonly Claimant[]
  /** Who knows more, while the database does not take that down. */
  readonly unsaved: ReadonlySet<string>
  readonly awaited: ReadonlySet<string>
  /** The connection to the database was lost; otherwise the conductor has started. */
  readonly wasLost: boolean
  readonly waitMs: number
}

/** Undefined: nothing keeps the conductor from its work. */
export function whyClosed({ claims, unsaved, awaited, wasLost, waitMs }: Closing): string | undefined {
  if (claims.length > 0) {
    const who = claims.map((one) => (one.who === 'room' ? `boot room ${one.room}` : claimant(one)))
    return `the database is older than what is known of it (${who.join(', ')}): nothing is acted on until an operator decides`
  }
  if (unsaved.size > 0)
    return `the database is older than what is known of it (${[...unsaved].join(', ')}), and this cannot be written to it: nothing is acted on`
  if (awaited.size === 0) return undefined
  const since = wasLost ? 'the connection to the database was lost' : 'the conductor has started'
  return `${since}, and nothing is acted on until its boot rooms have said what they know (${[...awaited].join(', ')}), for ${waitMs / 1000} s at most`
}
