/** What a boot room makes of what conductors tell it: of each client the newest state, by its version. What is older
 *  than what it holds changes nothing, whichever conductor says it. Pure. */
import { compareVersions, isBehind, laterMark, type OrderVersion, type StoreMark } from './version.ts'
import type { Gone, RoomClient } from './wire.ts'

/** Clients that are gone, so that nobody brings them back who has not heard of it. */
export interface Tombstone extends Gone {
  readonly atMs: number
}

export const TOMBSTONE_MS = 86_400_000
export const MAX_TOMBSTONES = 10_000

export interface Knowledge {
  readonly versions: ReadonlyMap<string, OrderVersion>
  readonly tombstones: ReadonlyMap<string, Tombstone>
  readonly mark: StoreMark
}

/** Orders as one conductor tells them, all parts of a whole list together. */
export interface ToldOrders {
  readonly whole: boolean
  readonly mark: StoreMark
  readonly set: readonly RoomClient[]
  readonly gone: readonly Gone[]
}

export interface Merged {
  readonly set: readonly RoomClient[]
  /** MACs. */
  readonly gone: readonly string[]
  readonly tombstones: ReadonlyMap<string, Tombstone>
  readonly mark: StoreMark
  /** Clients of which something newer is known. */
  readonly older: readonly string[]
}

export function merge(known: Knowledge, told: ToldOrders, nowMs: number): Merged {
  const tombstones = new Map(known.tombstones)
  const older: string[] = []
  const set = told.set.filter(({ mac, version }) => {
    const held = known.versions.get(mac)
    const buried = tombstones.get(mac)
    const isOlder =
      (held !== undefined && compareVersions(version, held) < 0) ||
      (buried !== undefined && compareVersions(version, buried.version) <= 0)
    if (isOlder) older.push(mac)
    else tombstones.delete(mac)
    return !isOlder
  })
  const gone: string[] = []
  const bury = (mac: string, version: OrderVersion): void => {
    gone.push(mac)
    tombstones.delete(mac)
    tombstones.set(mac, { mac, version, atMs: nowMs })
  }
  for (const { mac, version } of told.gone) {
    const held = known.versions.get(mac)
    if (held !== undefined && compareVersions(version, held) >= 0) bury(mac, held)
    else if (held !== undefined) older.push(mac)
  }
  // Who has come less far than this room does not know of everybody: what it leaves out is kept.
  if (told.whole && !isBehind(told.mark, known.mark)) {
    const listed = new Set(told.set.map(({ mac }) => mac))
    // No tombstone: the list may be a moment older than its mark, and then they come again as they were.
    for (const mac of known.versions.keys()) if (!listed.has(mac)) gone.push(mac)
  }
  return { set, gone, tombstones: pruned(tombstones, nowMs), mark: laterMark(told.mark, known.mark), older }
}

/** The newest ones, the oldest first. */
function pruned(tombstones: ReadonlyMap<string, Tombstone>, nowMs: number): ReadonlyMap<string, Tombstone> {
  const young = [...tombstones].filter(([, { atMs }]) => nowMs - atMs < TOMBSTONE_MS)
  return new Map(young.slice(-MAX_TOMBSTONES))
}
