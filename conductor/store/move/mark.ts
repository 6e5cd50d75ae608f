/** The mark of a move of records between two stores: a row of the table `meta` in each of them, which says which of the
 *  two may be used. At no moment may both. */
import { parsedOr } from '../../../kit/json.ts'
import { Fault } from '../../../kit/fault.ts'
import { isObject } from '../damage.ts'

/** `leaving` and `arrived` may be used; `arriving` holds a part of the records, and those of `moved` are elsewhere. */
export const MOVE_STATES = ['leaving', 'arriving', 'moved', 'arrived'] as const
export type MoveState = (typeof MOVE_STATES)[number]

export interface MoveMark {
  /** Of the move: the same in both stores. */
  readonly id: string
  readonly state: MoveState
  /** The other store, in words. */
  readonly other: string
  readonly atMs: number
}

/** Its row in `meta`. */
export const MARK = 'move'

/** Added to the version of the schema of a store that may not be used: a program that does not know the mark refuses
 *  the store as one of a newer program. */
export const FENCE = 1_000_000

export const isFenced = (state: MoveState): boolean => state === 'arriving' || state === 'moved'

export function readMark(text: string | undefined): MoveMark | undefined {
  const mark = text === undefined ? undefined : parsedOr(text, undefined)
  if (!isObject(mark) || !MOVE_STATES.some((state) => state === mark.state)) return undefined
  return { id: String(mark.id), state: mark.state as MoveState, other: String(mark.other), atMs: Number(mark.atMs) }
}

/** Throws `store.migrated` for a store whose records are elsewhere. */
export function refuseMoved(mark: MoveMark | undefined): void {
  if (mark?.state === 'moved')
    throw new Fault(
      'store.migrated',
      `the records of this store were moved to ${mark.other} on ${new Date(mark.atMs).toISOString()}`,
    )
  if (mark?.state === 'arriving')
    throw new Fault(
      'store.migrated',
      `the records of ${mark.other} are being moved into this store, and not all of them have arrived`,
    )
}

/** What is left to do: `copy` into an empty store, `copy again` after a crash, `finish` what was cut over, or nothing
 *  more. */
export type MoveStage = 'copy' | 'copy again' | 'finish' | 'done'

/** `left`: the mark of the source; `came`: that of the destination. Throws `store.migrated` when the records of the
 *  source are elsewhere, or the destination has something to do with another move. */
export function stageOf(left: MoveMark | undefined, came: MoveMark | undefined): MoveStage {
  const isSame = left !== undefined && left.id === came?.id
  if (left?.state === 'moved' && isSame && came?.state === 'arriving') return 'finish'
  if (left?.state === 'moved' && isSame && came?.state === 'arrived') return 'done'
  refuseMoved(left)
  if (came?.state === 'arriving') {
    if (left?.state === 'leaving' && isSame) return 'copy again'
    throw new Fault(
      'store.migrated',
      `the destination holds an unfinished move of other records, of ${came.other}: empty it, or name another one`,
    )
  }
  if (came?.state === 'moved')
    throw new Fault(
      'store.migrated',
      `the destination still holds records that were moved to ${came.other}: put it aside (a file: rename it), or name an empty one`,
    )
  return 'copy'
}
