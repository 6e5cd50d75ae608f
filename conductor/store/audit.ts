/** Who asked for what is being done: carried along the calls of a request, so that the first change that it makes is
 *  recorded with it. */
import { AsyncLocalStorage } from 'node:async_hooks'

export interface AuditContext {
  readonly user: string
  readonly method: string
  readonly path: string
  readonly requestId: string
  readonly atMs: number
  /** Set with the first change: what follows from it in the background is not recorded as the operator's change
   *  again. */
  recorded: boolean
}

const contexts = new AsyncLocalStorage<AuditContext>()

export const currentAudit = (): AuditContext | undefined => contexts.getStore()
export const runAudited = <T>(context: AuditContext, work: () => T): T => contexts.run(context, work)
