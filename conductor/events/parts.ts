/** What the conductor does with events, put together: who follows them, who may stream them, and where those of the
 *  wire wait. */
import type { Clock } from '../../kit/clock.ts'
import type { Lifecycle } from '../../kit/lifecycle.ts'
import type { Log } from '../../kit/log.ts'
import type { Limits } from '../limits.ts'
import type { Journal } from '../store/port.ts'
import { EventHub } from './hub.ts'
import { EventQueue } from './queue.ts'
import { StreamPlaces } from './stream.ts'

export interface EventParts {
  readonly hub: EventHub
  readonly queue: EventQueue
  readonly places: StreamPlaces
  /** Events that are read in one piece. */
  readonly batch: number
}

export async function startEvents(
  life: Lifecycle,
  parts: { journal: Journal; clock: Clock; log: Log; limits: Limits },
): Promise<EventParts> {
  const { journal, clock, log, limits } = parts
  const { batch, queued } = limits.events
  const hub = new EventHub({ journal, log, batch })
  await life.add(
    'event hub',
    () => hub.start(),
    () => hub.stop(),
  )
  const queue = await life.add(
    'event queue',
    () => new EventQueue({ journal, clock, log, queued, batch }),
    (made) => made.stop(),
  )
  return { hub, queue, places: new StreamPlaces(limits.api), batch }
}
