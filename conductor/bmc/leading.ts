/** Commands to BMCs of somebody who may act only while he leads, and has no slot of a store: an arbiter of the mesh. */
import { Fault } from '../../kit/fault.ts'
import { runHolding } from '../holding.ts'

/** Runs `work`, whose commands to BMCs ask `leads` before each datagram. Once it says no they throw `store.locked`, and
 *  nothing more is sent. */
export function whileLeading<T>(leads: () => boolean, work: () => Promise<T>): Promise<T> {
  const still = () => {
    if (!leads()) throw new Fault('store.locked', 'this arbiter does not lead any more: nothing more is sent')
  }
  return runHolding({ group: '', slot: 0, token: 0, still, check: async () => still(), lost: () => undefined }, work)
}
