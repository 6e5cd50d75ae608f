/** Chance that can be repeated: the same seed gives the same servers, times and faults. */

export interface Dice {
  /** At least 0, and less than 1. */
  next(): number
  /** Around `median`, as times of machines are: few are much shorter, some are much longer (log-normal). */
  around(median: number, spread: number): number
}

/** mulberry32. */
export function dice(seed: number): Dice {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  // Box-Muller.
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return { next, around: (median, spread) => median * Math.exp(spread * normal()) }
}

export function shuffled<T>(list: readonly T[], chance: Dice): T[] {
  const order = [...list]
  for (let at = order.length - 1; at > 0; at -= 1) {
    const other = Math.floor(chance.next() * (at + 1))
    ;[order[at], order[other]] = [order[other] as T, order[at] as T]
  }
  return order
}
