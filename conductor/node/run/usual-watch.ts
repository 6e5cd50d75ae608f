/** A node that begins other work gets into its record how long that usually lasts, so that a look at what is due tells
 *  when it becomes unusual. */
import type { Log } from '../../../kit/log.ts'
import type { Store } from '../../store/port.ts'
import { isTimed, workOf } from '../query/usual.ts'
import type { NodeRecord } from '../record.ts'
import { waitsForAdmission } from '../policy/admission.ts'
import { pastTimes, usualOfNode } from './past-times.ts'

/** `next` as it is to be saved. Times that cannot be read hold nothing up. */
export async function withUsual(
  before: NodeRecord,
  next: NodeRecord,
  { store, log }: { readonly store: Store; readonly log: Log },
): Promise<NodeRecord> {
  const same = before.provisionUpdatedAtMs === next.provisionUpdatedAtMs && workOf(before) === workOf(next)
  if (same || !isTimed(next.provisionState) || waitsForAdmission(next)) return next
  const usual = await usualOfNode(next, pastTimes(store.journal)).catch((error: unknown) => {
    log.warn({ node: next.uuid, err: error }, 'what is usual could not be read')
    return null
  })
  return { ...next, workflow: { ...next.workflow, usual } }
}
