/** How neighbours reach the pieces of this node: by a server in this process, or in one that may do nothing else. */
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import type { Serving } from './proof.ts'
import type { Shelf } from './shelf.ts'

/** Who serves, with the key of its tickets. */
export type Self = Serving & { readonly key: Buffer }

export interface DoorParts {
  readonly shelf: Pick<Shelf, 'after' | 'read'>
  /** Asked for each connection; undefined: not known yet. */
  readonly self: () => Self | undefined
  /** Undefined: no limit. */
  readonly bytesPerSecond: () => number | undefined
  readonly clock: Clock
  readonly random: Random
}

export interface Door {
  /** Answers the port. */
  listen(host: string): Promise<number>
  readonly isOpen: boolean
  /** There are new pieces. */
  tell(): void
  /** What `self` and `bytesPerSecond` answer may be something else now. */
  renew(): void
  /** Nothing listens any more, and nobody is connected. */
  close(): Promise<void>
  /** Bytes of pieces. */
  readonly sentBytes: number
}

export type MakeDoor = (parts: DoorParts) => Door
