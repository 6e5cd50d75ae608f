/** Events that strangers on the wire can cause: they wait in a queue of bounded length and are written in batches. What
 *  finds no place is counted, and told in one event. */
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Journal, NewEvent } from '../store/port.ts'

/** What comes within this time is one batch. */
const GATHER_MS = 50
const AGAIN_MS = 1_000

export class EventQueue {
  private readonly parts: { journal: Pick<Journal, 'addAll'>; clock: Clock; log: Log; queued: number; batch: number }
  private readonly abort = new AbortController()
  private waiting: NewEvent[] = []
  private untold = 0
  private writing: Promise<void> | undefined
  /** Events that found no place since the start. */
  dropped = 0

  constructor(parts: EventQueue['parts']) {
    this.parts = parts
  }

  add(event: NewEvent): void {
    if (this.waiting.length >= this.parts.queued) {
      this.dropped += 1
      this.untold += 1
      return
    }
    this.waiting.push(event)
    this.writing ??= this.write().finally(() => (this.writing = undefined))
  }

  /** Writes what waits. */
  async stop(): Promise<void> {
    this.abort.abort(new Error('the conductor stops'))
    await this.writing
  }

  private async write(): Promise<void> {
    const { journal, clock, log, batch } = this.parts
    await this.pause(GATHER_MS)
    while (this.waiting.length > 0) {
      const untold = this.untold
      const events = this.waiting.slice(0, batch)
      const told =
        untold === 0
          ? events
          : [
              ...events,
              { atMs: clock.now(), nodeUuid: null, kind: 'trouble', detail: { what: lost(untold), dropped: untold } },
            ]
      try {
        await journal.addAll(told)
        this.waiting = this.waiting.slice(events.length)
        this.untold -= untold
      } catch (error) {
        log.warn(
          { err: error, waiting: this.waiting.length },
          'events of the boot services could not be written; the conductor tries again',
        )
        if (this.abort.signal.aborted) return
        await this.pause(AGAIN_MS)
        continue
      }
      await this.pause(GATHER_MS)
    }
  }

  private pause = (ms: number): Promise<void> => this.parts.clock.sleep(ms, this.abort.signal).catch(() => undefined)
}

const lost = (count: number) =>
  `${count} events of the boot services came faster than they could be written, and were dropped`
