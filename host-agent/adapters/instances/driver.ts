/** What a driver must be able to do, for whatever runs the instances. Everything may be asked again, except `start`, which is asked for once per attempt. */

export interface Instance {
  readonly id: string
  readonly name: string
  /** Higher goes first. */
  readonly priority: number
  readonly memoryMb: number
  /** Instances of one group shall not share a host. */
  readonly group: string | null
  /** Why it cannot or shall not be moved; null: it is protected. Known before any host fails. */
  readonly unprotected: string | null
}

export interface Listing {
  /** False: part of what runs there could not be looked up, and nobody may take this for all. */
  readonly complete: boolean
  readonly instances: readonly Instance[]
}

/** Where an instance is, by the truth of what manages it, and what became of the attempts to move it from its dead host. */
export type Whereabouts =
  /** Still the dead host's; no attempt is under way. */
  | { readonly at: 'source' }
  | { readonly at: 'moving'; readonly ref: string; readonly to: string | null }
  | { readonly at: 'moved'; readonly ref: string; readonly to: string }
  | { readonly at: 'failed'; readonly ref: string; readonly why: string }
  /** It does not exist any more. */
  | { readonly at: 'gone' }
  | { readonly at: 'unknown'; readonly why: string }

export interface Order {
  readonly instance: string
  readonly source: string
  /** Null: what manages the instances chooses. */
  readonly target: string | null
  /** The same for each repetition of one attempt, another for the next: a driver that can, refuses the second. */
  readonly token: string
  /** Hosts that are proven down: an attempt that went to one of them is over. */
  readonly down: readonly string[]
}

/** A live migration. */
export interface Migration {
  readonly instance: string
  readonly source: string
  /** Null: what manages the instances chooses. */
  readonly target: string | null
}

/** `refused`: surely not begun. `unknown`: it may have been. */
export type Started =
  | { readonly got: 'accepted'; readonly ref: string | null }
  | { readonly got: 'refused'; readonly why: string; readonly final: boolean }

/** What is known of all hosts before any fails. */
export interface Survey {
  readonly instances: Readonly<Record<string, readonly Instance[]>>
  /** Absent: what manages the instances chooses. */
  readonly targets?: readonly { readonly host: string; readonly freeMb: number }[]
}

export interface Driver {
  readonly name: string
  /** Whether we choose the target, and say so in `Order.target`. */
  readonly choosesTarget: boolean
  /** How long after a start of unknown outcome its trace may still be missing. */
  readonly settleMs: number
  survey(signal: AbortSignal): Promise<Survey>
  list(host: string, signal: AbortSignal): Promise<Listing>
  /** Tells the manager that the host is down for good: after the proof, before the first start. */
  prepare(host: string, why: string, signal: AbortSignal): Promise<void>
  locate(host: string, instances: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Whereabouts>>
  start(order: Order, signal: AbortSignal): Promise<Started>
  /** Live, off a host that is well. Answers when it was taken, or when it is done; may be asked again: the instance is moved, or it stays. */
  migrate(order: Migration, signal: AbortSignal): Promise<Started>
  /** One try to take a returned host back; false: not yet, ask again. */
  readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean>
}
