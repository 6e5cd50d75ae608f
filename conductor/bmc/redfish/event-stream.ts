/** Server-sent events of a BMC (DSP0266, "Server-sent events"; WHATWG, "Parsing an event stream"): counts events
 *  without keeping a byte of them, and reads no faster than the limits allow. */
import { Fault } from '../../../kit/fault.ts'
import type { EventLimits, StreamReader } from '../parts/events.ts'

const [CR, LF, COLON, DATA] = [13, 10, 58, 100]
const WINDOW_MS = 1_000
/** Events of the size that is allowed which are read in a second. */
const FULL_EVENTS = 4

/** Counts what ends with a blank line and has data. Comments, which keep a connection alive, are no events. */
export class EventCounter {
  private readonly maxBytes: number
  private sizeBytes = 0
  private lineBytes = 0
  private isData = false
  private last = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** How many events end in these bytes. Throws `bmc.refused` for one that is too big. */
  count(bytes: Uint8Array): number {
    let events = 0
    for (const byte of bytes) {
      const isEnd = byte === LF || byte === CR
      // The second half of CR LF.
      const isRest = byte === LF && this.last === CR
      this.last = byte
      if (isRest) continue
      if (!isEnd) this.add(byte)
      else if (this.lineBytes > 0) this.lineBytes = 0
      else events += this.end()
    }
    return events
  }

  private add(byte: number): void {
    // Only the field "data" begins with this letter.
    if (this.lineBytes === 0 && byte === DATA) this.isData = true
    if (this.lineBytes === 0 && byte === COLON) this.sizeBytes = this.isData ? this.sizeBytes : 0
    this.lineBytes += 1
    this.sizeBytes += 1
    if (this.sizeBytes > this.maxBytes)
      throw new Fault('bmc.refused', `the BMC sent an event of more than ${this.maxBytes} bytes`)
  }

  private end(): number {
    const found = this.isData ? 1 : 0
    this.isData = false
    this.sizeBytes = 0
    return found
  }
}

/** Until the BMC ends the stream. What comes too fast waits on the wire, so that a flood costs no more than its
 *  limit. */
export async function readEvents(
  chunks: AsyncIterable<Uint8Array>,
  reader: StreamReader,
  signal: AbortSignal,
): Promise<void> {
  const { limits, clock } = reader
  const counter = new EventCounter(limits.eventBytes)
  let window = { sinceMs: clock.now(), events: 0, sizeBytes: 0 }
  for await (const chunk of chunks) {
    const events = counter.count(chunk)
    if (events > 0) reader.onEvents()
    const nowMs = clock.now()
    const isSame = nowMs >= window.sinceMs && nowMs - window.sinceMs < WINDOW_MS
    window = {
      sinceMs: isSame ? window.sinceMs : nowMs,
      events: (isSame ? window.events : 0) + events,
      sizeBytes: (isSame ? window.sizeBytes : 0) + chunk.length,
    }
    if (!isFlood(window, limits)) continue
    reader.onFlood()
    await clock.sleep(WINDOW_MS, signal)
  }
}

const isFlood = (seen: { readonly events: number; readonly sizeBytes: number }, limits: EventLimits): boolean =>
  seen.events > limits.eventsPerSecond || seen.sizeBytes > limits.eventBytes * FULL_EVENTS
