/** Several at once, and each of a list once. */

const LANES = 16

/** Rejects with the first failure; what has begun by then goes on. */
export async function atOnce<T>(list: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const rest = list[Symbol.iterator]()
  const lane = async () => {
    for (const one of { [Symbol.iterator]: () => rest }) await work(one)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}
