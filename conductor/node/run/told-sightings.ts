/** What this conductor saw of nodes, for the other conductors of its store, and theirs for this one: an agent may talk
 *  to one conductor while another one works on its node. */
import type { Clock } from '../../../kit/clock.ts'
import { parsedOr } from '../../../kit/json.ts'
import { Loop } from '../../../kit/loop.ts'
import type { Log } from '../../../kit/log.ts'
import type { NodeOwner } from '../../store/owner.ts'
import type { SeenOfNode, Sightings } from '../query/sightings.ts'

/** Each node at most this often; well below the time after which an agent counts as silent. */
const EVERY_MS = 1_000
const MAX_TEXT_BYTES = 7_000

interface ToldParts {
  readonly sightings: Sightings
  readonly owner: Pick<NodeOwner, 'tell' | 'listen'>
  readonly clock: Clock
  readonly log: Log
}

export class ToldSightings {
  private readonly parts: ToldParts
  private loop: Loop | undefined

  constructor(parts: ToldParts) {
    this.parts = parts
  }

  start(): void {
    const { sightings, owner, clock, log } = this.parts
    owner.listen({ told: (text) => this.hear(text) })
    sightings.news()
    const onError = (error: unknown) => log.warn({ err: error }, 'what was seen could not be told to other conductors')
    this.loop = new Loop({ clock, everyMs: EVERY_MS, onError }, () => owner.tell(sightings.news().map(textOf)))
  }

  stop = async (): Promise<void> => this.loop?.stop()

  private hear(text: string): void {
    const seen = parsedOr(text, undefined) as SeenOfNode | undefined
    if (!seen) return
    // The other clock may be ahead.
    this.parts.sightings.merge({ ...seen, agentAtMs: Math.min(seen.agentAtMs, this.parts.clock.now()) })
  }
}

/** What does not fit is told without its details. */
function textOf(seen: SeenOfNode): string {
  const text = JSON.stringify(seen)
  return Buffer.byteLength(text) <= MAX_TEXT_BYTES
    ? text
    : JSON.stringify({
        ...seen,
        progress: null,
        timings: {},
        seen: seen.seen.map(([step, { atMs }]) => [step, { atMs, detail: '' }]),
      })
}
