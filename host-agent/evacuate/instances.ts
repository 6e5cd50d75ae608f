/** Instances as the manager that runs them describes them: what a host runs, where an instance is, and what a move is
 *  asked for with. Imports nothing. */

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

/** Where an instance is, by the truth of what manages it, and what became of the attempts to move it from its dead
 *  host. */
export type Whereabouts =
  /** Still the dead host's; no attempt is under way. */
  | { readonly at: 'source' }
  | { readonly at: 'moving'; readonly ref: string; readonly to: string | null }
  | { readonly at: 'moved'; readonly ref: string; readonly to: string }
  | { readonly at: 'failed'; readonly ref: string; readonly why: string }
  /** It does not exist any more. */
  | { readonly at: 'gone' }
  | { readonly at: 'unknown'; readonly why: string }

export interface MoveRequest {
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
export interface MigrationRequest {
  readonly instance: string
  readonly source: string
  /** Null: what manages the instances chooses. */
  readonly target: string | null
}

/** `refused`: surely not begun. `unknown`: it may have been. */
export type Started =
  | { readonly got: 'accepted'; readonly ref: string | null }
  | { readonly got: 'refused'; readonly why: string; readonly final: boolean }

/** One step of something that is asked for until it is done. */
export type StepTaken = { readonly got: 'done' | 'not yet' } | { readonly got: 'refused'; readonly why: string }

/** Stopping and starting an instance where it is. */
export interface RestartRequest {
  readonly host: string
  readonly instance: string
  readonly step: 'stop' | 'start'
}

/** What is told of a host that is proven down. */
export interface Death {
  readonly why: string
  /** Of the boot that died; null: nobody heard it. */
  readonly bootId: string | null
  /** SMBIOS UUID of the host's member; null: unknown. */
  readonly systemUuid: string | null
}

/** Which instances of a dead host are looked for. */
export interface Sought {
  readonly instances: readonly string[]
  /** Those of the host that were found elsewhere before. */
  readonly arrived: readonly string[]
}

/** What is known of all hosts before any fails. */
export interface Inventory {
  readonly instances: Readonly<Record<string, readonly Instance[]>>
  /** Absent: what manages the instances chooses. */
  readonly targets?: readonly { readonly host: string; readonly freeMb: number }[]
}
