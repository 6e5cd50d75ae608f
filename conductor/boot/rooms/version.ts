/** Which of two states of a boot order is the newer one: by the versions of the records that it was made of, whatever
 *  the clocks say and whoever tells it first. Pure. */
import type { PortRecord } from '../../store/port.ts'

/** The incarnation of the database, when the port got its MAC address (of two ports that had it, the later one has it),
 *  and the versions of the port and of its node. */
export type OrderVersion = readonly [epoch: number, portAtMs: number, port: number, node: number]

/** Positive: `a` is newer. */
export function compareVersions(a: OrderVersion, b: OrderVersion): number {
  const at = a.findIndex((part, i) => part !== b[i])
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number)
}

export const isVersion = (value: unknown): value is OrderVersion =>
  Array.isArray(value) && value.length === 4 && value.every((part) => Number.isSafeInteger(part) && part >= 0)

/** When a port got the MAC address that it has. */
export function addressedAtMs({ createdAtMs, internalInfo }: Pick<PortRecord, 'createdAtMs' | 'internalInfo'>): number {
  const { address_at_ms: atMs } = internalInfo
  return typeof atMs === 'number' && Number.isSafeInteger(atMs) ? Math.max(atMs, createdAtMs) : createdAtMs
}

/** How far a store has come: its incarnation, and its last event. */
export interface StoreMark {
  readonly epoch: number
  readonly seq: number
}

export const isBehind = (a: StoreMark, b: StoreMark): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq)

export const laterMark = (a: StoreMark, b: StoreMark): StoreMark => (isBehind(a, b) ? b : a)
