/** The events of one BMC: by its stream, else by a subscription, else not at all; opened again with a growing pause
 *  whenever they end. */
import { isFault } from '../../../../kit/fault.ts'
import type { Clock } from '../../../../kit/clock.ts'
import type { Events, StreamReader, Subscription } from '../../../bmc/parts/events.ts'

export type Way = 'stream' | 'push'

/** How changes of a node become known. `way` null: by the poll alone, for the reason `why`. */
export interface EventsSeen {
  readonly way: Way | null
  readonly sinceMs: number
  readonly lastAtMs: number | null
  /** Changes that the poll found although events should have announced them. */
  readonly missed: number
  readonly why: string | null
}

export interface SourceParts {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** One command to the BMC, when its turn comes. `giveWay`: something more urgent waits. */
  readonly ask: <T>(work: (events: Events, signal: AbortSignal, giveWay: AbortSignal) => Promise<T>) => Promise<T>
  readonly events: Events
  readonly reader: Omit<StreamReader, 'onEvents'>
  readonly onEvents: (way: Way) => void
  /** Events come from now on: a change before that was announced to nobody. */
  readonly onOpen: () => void
  /** A place for one more stream; its end gives it back. Undefined: there is none. */
  readonly takeStream: () => (() => void) | undefined
  readonly streams: boolean
  /** Undefined: BMCs send nothing to this conductor. */
  readonly subscription: Omit<Subscription, 'at'> | undefined
}

const FIRST_PAUSE_MS = 1_000
const BUSY_PAUSE_MS = 2_000
const MAX_PAUSE_MS = 5 * 60_000
/** Events that came for so long were not ended by a fault of the BMC. */
const STEADY_MS = 60_000
const CHECK_MS = 10 * 60_000
/** A BMC that offers no events may do so after an update. */
const NONE_PAUSE_MS = 6 * 3_600_000
/** A full table is not emptied by asking. */
const FULL_PAUSE_MS = 30 * 60_000
/** Streams that failed in a row, after which a subscription is tried in turn. */
const STREAM_TRIES = 3

export class EventSource {
  private readonly parts: SourceParts
  private seen: EventsSeen
  private failures = 0
  /** Ends the present wait, or the stream that has missed a change. */
  private nudge = new AbortController()

  constructor(parts: SourceParts) {
    this.parts = parts
    this.seen = {
      way: null,
      sinceMs: parts.clock.now(),
      lastAtMs: null,
      missed: 0,
      why: 'they are about to be asked for',
    }
  }

  now = (): EventsSeen => this.seen

  /** An event came by a subscription. */
  rang(): void {
    this.seen = { ...this.seen, lastAtMs: this.parts.clock.now() }
    this.parts.onEvents('push')
  }

  /** The poll found a change that no event had announced, or the BMC was away: what should bring events is looked at
   *  anew. */
  suspect(isMissed: boolean): void {
    if (isMissed) this.seen = { ...this.seen, missed: this.seen.missed + 1 }
    if (this.seen.way !== null) this.nudge.abort(new Error('the events are looked at anew'))
  }

  /** Until the signal ends it. Never throws. */
  async run(): Promise<void> {
    const { clock, signal } = this.parts
    while (!signal.aborted) {
      this.nudge = new AbortController()
      const end = await this.watch(AbortSignal.any([signal, this.nudge.signal])).catch((error: unknown) => error)
      if (signal.aborted) return
      // A BMC that only takes long to fail has had no events.
      const { way, sinceMs } = this.seen
      if (way !== null && clock.now() - sinceMs >= STEADY_MS) this.failures = 0
      const pauseMs = this.pauseAfter(end)
      await clock.sleep(pauseMs, signal).catch(() => undefined)
    }
  }

  /** Throws, or answers how long to wait where nothing can be had. */
  private async watch(signal: AbortSignal): Promise<number> {
    const { ask, streams, subscription } = this.parts
    const offer = await ask((events, given) => events.offer(given))
    const path = streams ? offer.stream : null
    const at = subscription === undefined ? null : offer.subscriptions
    const isTurnOfPush = path === null || (at !== null && this.failures % (STREAM_TRIES + 1) === STREAM_TRIES)
    if (path !== null && !isTurnOfPush) {
      const leave = this.parts.takeStream()
      if (leave) return this.readStream(path, signal).finally(leave)
      if (at === null) return this.none('limits.bmc.eventStreams is reached', FULL_PAUSE_MS)
    }
    if (at !== null && subscription) return this.subscribed({ ...subscription, at }, signal)
    return this.none(whyNone(offer.stream !== null, offer.subscriptions !== null))
  }

  private async readStream(path: string, signal: AbortSignal): Promise<number> {
    const { ask, events, reader, clock, onEvents } = this.parts
    // A BMC that answers with its first event alone would hold up operators and fences for a minute.
    const stream = await ask((_, given, giveWay) => events.open(path, AbortSignal.any([signal, given, giveWay])))
    this.opened('stream')
    const onCame = () => {
      this.seen = { ...this.seen, lastAtMs: clock.now() }
      onEvents('stream')
    }
    await events.read(stream, { ...reader, onEvents: onCame }, signal)
    throw new Error('the BMC closed the event stream')
  }

  private async subscribed(wanted: Subscription, signal: AbortSignal): Promise<number> {
    const { ask, clock } = this.parts
    await ask((events, given) => events.subscribe(wanted, given))
    this.opened('push')
    for (;;) {
      await clock.sleep(CHECK_MS, signal)
      if (!(await ask((events, given) => events.isSubscribed(given))))
        throw new Error('the BMC has dropped the event subscription')
    }
  }

  private opened(way: Way): void {
    this.parts.onOpen()
    this.seen = { ...this.seen, way, sinceMs: this.parts.clock.now(), why: null }
  }

  private none(why: string, pauseMs = NONE_PAUSE_MS): number {
    this.closed(why)
    return pauseMs
  }

  private closed(why: string): void {
    this.seen = { ...this.seen, way: null, sinceMs: this.parts.clock.now(), why }
  }

  /** BMCs quote what they refuse: the address of the subscription is a secret. */
  private wordsOf(end: unknown): string {
    const words = isFault(end) ? `${end.code}: ${end.detail}` : (end as Error).message
    const { destination } = this.parts.subscription ?? {}
    const secret = destination?.split('/').at(-1)
    return secret ? words.replaceAll(destination as string, '(its address)').replaceAll(secret, '…') : words
  }

  private pauseAfter(end: unknown): number {
    if (typeof end === 'number') return end
    // It was ended from here: nothing has failed.
    if (this.nudge.signal.aborted) {
      this.closed('they are asked for anew')
      return FIRST_PAUSE_MS
    }
    this.closed(this.wordsOf(end))
    // It gave way to something more urgent, which is no failure of the BMC.
    if (isFault(end, 'bmc.busy')) return BUSY_PAUSE_MS
    this.failures += 1
    if (isFault(end, 'bmc.subscriptions')) return FULL_PAUSE_MS
    return Math.min(FIRST_PAUSE_MS * 2 ** (this.failures - 1), MAX_PAUSE_MS)
  }
}

const whyNone = (hasStream: boolean, hasSubscriptions: boolean): string => {
  if (!hasStream && !hasSubscriptions) return 'the BMC offers no events'
  if (!hasStream) return 'the BMC sends events to subscribers alone, and bmc.events.push is not configured'
  return 'bmc.events.streams is off'
}
