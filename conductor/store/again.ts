/** A change that reads, decides and writes is made anew when somebody else wrote in between: no change is lost, and
 *  none is made on an old reading. */
import { isFault } from '../../kit/fault.ts'

/** In each round one of those who write succeeds, so this is how many may write one record at the same time. */
const MAX_ROUNDS = 200

/** `change` reads the record itself. Throws `store.moved` when others were faster every time, and what `change`
 *  throws. */
export async function untilFresh<T>(change: () => Promise<T>): Promise<T> {
  for (let round = 1; ; round += 1) {
    try {
      return await change()
    } catch (error) {
      if (!isFault(error, 'store.moved') || round === MAX_ROUNDS) throw error
    }
  }
}
