/** Whether the database is older than what a boot room was told: it was restored from a backup, or lost its last
 *  changes. Pure. */
import { isBehind, type OrderVersion, type StoreMark } from '../boot/rooms/version.ts'
import type { HeldClient } from '../boot/rooms/wire.ts'

/** A room may not say more, unless the database has come that far itself: what is counted on from there must stay
 *  exact. */
export const MAX_EPOCH = 1_000_000_000

/** What the database has of a client now. */
export interface RecordedClient {
  /** Undefined: no port has this MAC address. */
  readonly port: { readonly nodeUuid: string; readonly addressedAtMs: number; readonly version: number } | undefined
  /** Undefined: there is no such node. */
  readonly node: { readonly version: number } | undefined
}

/** The room was told of a later moment than the database has come to. */
export const isAhead = (room: StoreMark, database: StoreMark): boolean => isBehind(database, room)

/** True where the database cannot have told this after it wrote the records that it has: versions only grow. `ahead`:
 *  the room knows of later events, so that what it alone knows is newer too; otherwise that was removed since. */
export function isNewer(held: HeldClient, recorded: RecordedClient, at: { epoch: number; ahead: boolean }): boolean {
  const [epoch, portAtMs, portVersion, nodeVersion] = held.version
  const { port, node } = recorded
  // Of an incarnation that was given up, or of one that this database has not come to.
  if (epoch !== at.epoch) return epoch > at.epoch
  if (!port || !node) return at.ahead
  // Of two ports that had one MAC address the later one counts; versions of the other one say nothing of it.
  if (portAtMs !== port.addressedAtMs) return portAtMs > port.addressedAtMs
  return portVersion > port.version || (port.nodeUuid === held.nodeUuid && nodeVersion > node.version)
}

/** What deserves a look into the database: all but what this conductor knows to be as new. */
export function suspects(
  held: readonly HeldClient[],
  known: (mac: string) => { readonly nodeUuid: string; readonly version: OrderVersion } | undefined,
  at: { epoch: number; ahead: boolean },
): HeldClient[] {
  return held.filter((one) => {
    const now = known(one.mac)
    if (!now) return one.version[0] >= at.epoch
    const [, addressedAtMs, version, node] = now.version
    const port = { nodeUuid: now.nodeUuid, addressedAtMs, version }
    return isNewer(one, { port, node: { version: now.nodeUuid === one.nodeUuid ? node : one.version[3] } }, at)
  })
}
