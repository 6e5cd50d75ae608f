/** What was seen of a boot before this conductor had the node, from the events. */
import { isMilestone, type Milestone } from '../../boot/wire.ts'
import type { Store } from '../../store/port.ts'
import type { Sighting, Sightings } from '../query/sightings.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'

const EVENTS = 200

export async function recall(
  node: NodeRecord,
  { store, sightings }: { readonly store: Pick<Store, 'journal'>; readonly sightings: Sightings },
): Promise<void> {
  const boots = isLocked(node) && node.workflow.pendingEffects.some((effect) => effect.do === 'media-asked')
  if (STATES[node.provisionState].kind !== 'waiting' && !boots) return
  const seen = new Map<Milestone, Sighting>()
  let bootedAtMs = 0
  for (const event of (await store.journal.ofNode(node.uuid, EVENTS, { kinds: ['booting', 'seen'] })).reverse()) {
    if (event.kind === 'booting') {
      seen.clear()
      bootedAtMs = event.atMs
    } else if (isMilestone(event.detail.step))
      seen.set(event.detail.step, { atMs: event.atMs, detail: String(event.detail.detail ?? '') })
  }
  // What was heard of this boot already stays.
  const unheard = { signs: [], waiting: null, agentAtMs: 0, progress: null, timings: {} }
  sightings.merge({ uuid: node.uuid, bootedAtMs, seen: [...seen], ...unheard })
}
