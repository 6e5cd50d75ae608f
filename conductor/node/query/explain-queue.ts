/** Words for a node that waits for admission. Pure. */
import { spanText } from '../../../kit/text.ts'
import type { QueuePlace } from './sightings.ts'

export function queueText(queue: QueuePlace | undefined): string {
  if (!queue) return 'a place among the servers that boot and fetch'
  const { place, of, leftMs, why } = queue
  const when = leftMs === null ? '' : `, about ${spanText(Math.max(1, Math.round(leftMs / 1000)))}`
  return `its turn: place ${place} of ${of}${when}; ${why}`
}
