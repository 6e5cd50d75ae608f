/** Which slot a node is in: conductors that share a database divide nodes among them by the slot, which never changes.
 *  PostgreSQL computes the same in the column `nodes.slot`. */
import { createHash } from 'node:crypto'

/** Of each conductor group. */
export const SLOTS = 64

export const slotOf = (nodeUuid: string): number =>
  (createHash('sha256').update(nodeUuid).digest()[0] as number) % SLOTS
