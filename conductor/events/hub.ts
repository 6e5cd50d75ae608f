/** Events as they come, for everybody who follows them: one reader of the journal hands each batch round, so that a
 *  thousand streams cost one look. */
import { turn } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Journal, SeenEvent } from '../store/port.ts'

/** Everything after `afterSeq` and up to `upToSeq`. */
export interface Batch {
  readonly afterSeq: number
  readonly upToSeq: number
  readonly events: readonly SeenEvent[]
}

type Listener = (batch: Batch) => void

/** Listeners that are called in one turn of the event loop. */
const AT_ONCE = 50

export class EventHub {
  private readonly parts: { journal: Journal; log: Log; batch: number }
  private readonly listeners = new Set<Listener>()
  private seq = 0
  private again = false
  private stopped = false
  private reading: Promise<void> | undefined
  private stopWatching: () => void = () => undefined

  constructor(parts: EventHub['parts']) {
    this.parts = parts
  }

  /** Begins with what happens from now on. */
  async start(): Promise<void> {
    this.seq = await this.parts.journal.lastSeq()
    this.stopWatching = this.parts.journal.watch(
      (upToSeq) => upToSeq > this.seq && this.wake(),
      ({ seq }) => (this.seq = Math.min(this.seq, seq)),
    )
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.stopWatching()
    await this.reading
  }

  /** Up to where events were handed out: who has read so far by itself misses nothing from here on. */
  get upToSeq(): number {
    return this.seq
  }

  follow(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  private wake(): void {
    this.again = true
    this.reading ??= this.read()
      .catch((error: unknown) =>
        this.parts.log.warn({ err: error }, 'the journal could not be read for the event streams'),
      )
      .finally(() => {
        this.reading = undefined
        // What came after the last look and before this moment.
        if (this.again && !this.stopped) this.wake()
      })
  }

  private async read(): Promise<void> {
    while (this.again && !this.stopped) {
      // What is added in the same turn is one batch.
      await turn()
      this.again = false
      for (let end = false; !end && !this.stopped;) {
        const afterSeq = this.seq
        const found = await this.parts.journal.scan(afterSeq, {}, this.parts.batch)
        // The database was replaced by an older one meanwhile.
        if (this.seq !== afterSeq) continue
        end = found.end
        this.seq = found.upToSeq
        await this.handOut({ afterSeq, upToSeq: found.upToSeq, events: found.events })
        if (!end) await turn()
      }
    }
  }

  private async handOut(batch: Batch): Promise<void> {
    let called = 0
    for (const listener of this.listeners) {
      listener(batch)
      called += 1
      if (called % AT_ONCE === 0) await turn()
    }
  }
}
