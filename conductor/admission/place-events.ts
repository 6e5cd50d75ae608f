/** Events of the queue: a node that begins to wait has one with its place, and another each time half of those before
 *  it have begun. So a queue of n nodes makes n log n events, and not one for each step of each node. */
import type { Log } from '../../kit/log.ts'
import type { NewEvent } from '../store/port.ts'
import type { QueuePlace } from '../node/query/sightings.ts'

export interface PlaceEventParts {
  readonly write: (events: readonly NewEvent[]) => Promise<void>
  readonly log: Log
}

type HeldPlace = QueuePlace & { readonly uuid: string }

export class PlaceEvents {
  private readonly parts: PlaceEventParts
  /** By node: the place that was told last. */
  private told = new Map<string, number>()

  constructor(parts: PlaceEventParts) {
    this.parts = parts
  }

  /** What could not be written is told the next time. */
  async tell(places: readonly HeldPlace[], atMs: number): Promise<void> {
    const due = places.filter(({ uuid, place }) => isDue(this.told.get(uuid), place))
    try {
      if (due.length > 0) await this.parts.write(due.map((place) => eventOf(place, atMs)))
    } catch (error) {
      this.parts.log.warn({ err: error }, 'places in the queue could not be written as events; it is tried again')
      return
    }
    const now = new Map<string, number>()
    for (const { uuid } of places) if (this.told.has(uuid)) now.set(uuid, this.told.get(uuid) ?? 0)
    for (const { uuid, place } of due) now.set(uuid, place)
    this.told = now
  }
}

/** A node that others overtook is told nothing: it moves on later. */
const isDue = (told: number | undefined, place: number): boolean => told === undefined || place <= told / 2

const eventOf = ({ uuid, place, of, leftMs, why }: HeldPlace, atMs: number): NewEvent => ({
  atMs,
  nodeUuid: uuid,
  kind: 'queue',
  detail: { place, of, left_seconds: leftMs === null ? null : Math.round(leftMs / 1000), why },
})
