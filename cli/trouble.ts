/** What can go wrong for somebody at a shell, each with an exit status of its own. */

export const STATUSES = {
  failed: 1,
  usage: 2,
  /** There is no such thing. */
  missing: 3,
  /** The server does not do it: the state, a lock, a value. */
  refused: 4,
  unreachable: 5,
  /** Waited in vain. */
  late: 6,
  denied: 7,
} as const

export type TroubleKind = keyof typeof STATUSES

export class Trouble extends Error {
  readonly kind: TroubleKind

  constructor(kind: TroubleKind, message: string) {
    super(message)
    this.kind = kind
  }
}
