/** A compare-and-set that came too late. */
import { Fault } from '../../kit/fault.ts'

/** Somebody else was faster, or has removed it. */
export const moved = (what: string, uuid: string): Fault =>
  new Fault('store.moved', `${what} ${uuid} changed meanwhile`)
