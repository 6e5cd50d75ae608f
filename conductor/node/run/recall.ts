/** What was seen of a boot before this conductor had the node, from the events. */
import { isMilestone } from '../../boot/wire.ts'
import type { Store } from '../../store/port.ts'
import type { Sightings } from '../query/sightings.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'

const EVENTS = 200

export async function recall(
  node: NodeRecord,
  { store, sightings }: { readonly store: Pick<Store, 'journal'>; readonly sightings: Sightings },
): Promise<void> {
  const boots = isLocked(node) && node.workflow.pendingEffects.some((effect) => effect.do === 'media-asked')
  if (STATES[node.provisionState].kind !== 'waiting' && !boots) return
  const kinds = ['booting', 'seen']
  for (const event of (await store.journal.ofNode(node.uuid, EVENTS, { kinds })).reverse()) {
    if (event.kind === 'booting') sightings.booting(node.uuid, event.atMs)
    if (event.kind === 'seen' && isMilestone(event.detail.step))
      sightings.note(node.uuid, event.detail.step, { atMs: event.atMs, detail: String(event.detail.detail ?? '') })
  }
}
