/** The queue of orders that wait until there is room. */
import { AdmissionQueue } from '../admission/queue.ts'
import { PlaceEvents } from '../admission/place-events.ts'
import { started, type Context } from './context.ts'
import type { Provisioning } from './provisioning.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

/** Undefined: nothing waits. */
export async function startAdmission(
  context: Context,
  {
    store,
    owner,
    sightings,
    worker,
    changes,
  }: Pick<Storage & Doubting & Provisioning, 'store' | 'owner' | 'sightings' | 'worker' | 'changes'>,
): Promise<AdmissionQueue | undefined> {
  const { clock, log } = context
  const { enabled, perRack = null, perGroup = null, boots, writes } = context.config.admission
  if (!enabled) return undefined
  const queue = new AdmissionQueue({
    store,
    sightings,
    events: new PlaceEvents({ write: (events) => store.journal.addAll(events), log }),
    dispatch: (uuid, event) => worker.dispatch(uuid, event),
    // With the allocations: a conductor of the version before knows no other duty for what users ordered.
    onDuty: () => owner?.holds('allocations') ?? true,
    config: { boots, writes, perRack, perGroup },
    clock,
    log,
  })
  changes.add((node) => queue.changed(node))
  await started(context, 'admission', queue)
  return queue
}
