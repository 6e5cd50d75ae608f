/** Crashes a piece of work at its first moment, its second, and so on, in a few lanes at once, until there is no such
 *  moment. */

/** `live(n)` crashes at the n-th moment and answers whether there was one. Gives the number of crashes. After a failure
 *  it waits until the other lanes have cleared away what they began, then throws it. */
export async function crashAtEach(lanes: number, live: (moment: number) => Promise<boolean>): Promise<number> {
  let next = 1
  let crashes = 0
  let failed = false
  const lane = async () => {
    for (let more = true; more && !failed;) {
      more = await live(next++)
      if (more) crashes += 1
    }
  }
  const fail = (error: unknown) => {
    failed = true
    throw error
  }
  const ended = await Promise.allSettled(Array.from({ length: lanes }, () => lane().catch(fail)))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
  return crashes
}
