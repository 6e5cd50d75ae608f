/** Which of two states of a boot order is the newer one: by the versions of the records that it was made of, whatever
 *  the clocks say and whoever tells it first. Pure. */

/** The incarnation of the database, when the port was made (of two ports with one MAC address, the later one is), and
 *  the versions of the port and of its node. */
export type OrderVersion = readonly [epoch: number, portAtMs: number, port: number, node: number]

/** Positive: `a` is newer. */
export function compareVersions(a: OrderVersion, b: OrderVersion): number {
  const at = a.findIndex((part, i) => part !== b[i])
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number)
}

export const isVersion = (value: unknown): value is OrderVersion =>
  Array.isArray(value) && value.length === 4 && value.every((part) => Number.isSafeInteger(part) && part >= 0)

/** How far a store has come: its incarnation, and its last event. */
export interface StoreMark {
  readonly epoch: number
  readonly seq: number
}

export const isBehind = (a: StoreMark, b: StoreMark): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq)

export const laterMark = (a: StoreMark, b: StoreMark): StoreMark => (isBehind(a, b) ? b : a)
