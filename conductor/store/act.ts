/** Who asked for what is being done: carried along the calls of a request, so that the first change that it makes is recorded with it. */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface Act {
  readonly user: string
  readonly method: string
  readonly path: string
  readonly requestId: string
  readonly atMs: number
  /** Set with the first change: what follows from it in the background is not the operator's act again. */
  recorded: boolean
}

const acts = new AsyncLocalStorage<Act>()

export const currentAct = (): Act | undefined => acts.getStore()
export const actAs = <T>(act: Act, work: () => T): T => acts.run(act, work)
