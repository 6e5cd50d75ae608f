/** The shape of one entry of the fault registry. */

export interface Meaning {
  /** Trying again can help. */
  readonly retry: boolean
  readonly description: string
  readonly remedy: string
}
