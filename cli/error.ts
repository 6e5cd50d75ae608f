/** The errors of the command line, each kind with its own exit status. */

export const STATUSES = {
  failed: 1,
  usage: 2,
  /** The object does not exist. */
  missing: 3,
  /** The server refuses the request: the state, a lock, a value. */
  refused: 4,
  unreachable: 5,
  /** A wait timed out. */
  late: 6,
  denied: 7,
  /** Nothing went wrong: what is wanted differs from what is there. */
  different: 8,
} as const

export type CliErrorKind = keyof typeof STATUSES

export class CliError extends Error {
  readonly kind: CliErrorKind
  /** Of the answer, where the server said no. */
  readonly httpStatus: number | undefined

  constructor(kind: CliErrorKind, message: string, httpStatus?: number) {
    super(message)
    this.kind = kind
    this.httpStatus = httpStatus
  }
}
