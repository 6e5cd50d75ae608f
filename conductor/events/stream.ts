/** Events as a stream (server-sent events, WHATWG HTML 9.2), resumed where the client left off: what is past is read
 *  from the store a piece at a time, what happens then comes from the hub. What a slow client has not read waits in the
 *  store and not in memory. */
import type { ServerResponse } from 'node:http'
import { turn, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { EventFilter, Journal, SeenEvent } from '../store/port.ts'
import type { Batch, EventHub } from './hub.ts'
import { wireEvent } from './wire.ts'

/** Proxies cut what is silent for a minute. */
const KEEP_ALIVE_MS = 15_000

export interface StreamRequest {
  /** The last event that the client has. */
  readonly afterSeq: number
  readonly filter: EventFilter
  /** Events that the user is told in other words. */
  readonly veil?: {
    readonly of: (event: SeenEvent) => boolean
    readonly show: (event: SeenEvent) => Promise<SeenEvent>
  }
}

/** Adds messages that are not kept: `send` answers false while the client does not read. The answer ends it. */
export type LiveSource = (send: (text: string) => boolean) => () => void

export interface StreamParts {
  readonly journal: Journal
  readonly hub: Pick<EventHub, 'follow' | 'upToSeq'>
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly batch: number
  readonly live?: LiveSource | undefined
}

/** Streams until the client goes or `signal` ends it. */
export async function streamEvents(
  response: ServerResponse,
  request: StreamRequest,
  parts: StreamParts,
): Promise<void> {
  const { hub, clock, signal } = parts
  const stream = new Stream(response, request)
  const unfollow = hub.follow((batch) => stream.take(batch))
  const leave = () => stream.leave()
  response.on('close', leave)
  response.on('drain', () => stream.wake())
  signal.addEventListener('abort', leave, { once: true })
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  response.write('retry: 2000\n\n')
  const endLive = parts.live?.((text) => stream.send(text))
  try {
    while (!stream.gone) {
      await stream.catchUp(parts)
      // Until it falls behind, there is nothing to do here but to show that it lives.
      const cancel = clock.after(KEEP_ALIVE_MS, () => stream.keepAlive())
      await stream.interrupted()
      cancel()
    }
  } finally {
    unfollow()
    endLive?.()
    signal.removeEventListener('abort', leave)
    response.end()
  }
}

class Stream {
  private readonly response: ServerResponse
  private readonly filter: EventFilter
  private readonly veil: StreamRequest['veil']
  private seq: number
  private live = false
  gone = false
  private wakeUp: (() => void) | undefined
  private woken = false

  constructor(response: ServerResponse, request: StreamRequest) {
    this.response = response
    this.filter = request.filter
    this.veil = request.veil
    this.seq = request.afterSeq
  }

  /** What the hub hands round. Who is behind, does not read, or must be told something in other words, takes it from
   *  the store later. */
  take(batch: Batch): void {
    if (!this.live || batch.upToSeq <= this.seq) return
    const wanted = batch.events.filter((event) => event.seq > this.seq && wants(this.filter, event))
    const veiled = this.veil !== undefined && wanted.some(this.veil.of)
    if (this.seq < batch.afterSeq || this.response.writableNeedDrain || veiled) {
      this.live = false
      return this.wake()
    }
    for (const event of wanted) this.write(event)
    this.seq = batch.upToSeq
  }

  /** Reads from the store, with a turn for everybody else after each piece, until the hub has nothing that this stream
   *  has not. */
  async catchUp({ journal, hub, batch }: StreamParts): Promise<void> {
    this.live = false
    while (!this.gone) {
      if (this.response.writableNeedDrain) await this.interrupted()
      else {
        const { events, upToSeq } = await journal.scan(this.seq, this.filter, batch)
        for (const event of events) this.write(this.veil?.of(event) ? await this.veil.show(event) : event)
        this.seq = Math.max(this.seq, upToSeq)
        await turn()
        if (this.seq >= hub.upToSeq && !this.response.writableNeedDrain) {
          this.live = true
          return
        }
      }
    }
  }

  keepAlive(): void {
    if (!this.response.writableNeedDrain) this.response.write(': still here\n\n')
    this.wake()
  }

  /** Without a place among the events. */
  send(text: string): boolean {
    if (this.gone || this.response.writableNeedDrain) return false
    this.response.write(text)
    return true
  }

  leave(): void {
    this.gone = true
    this.wake()
  }

  wake(): void {
    if (this.wakeUp) this.wakeUp()
    else this.woken = true
  }

  /** Resolves at once when it was woken since the last time. */
  interrupted(): Promise<void> {
    return new Promise((resolve) => {
      if (this.gone || this.woken) {
        this.woken = false
        return resolve()
      }
      this.wakeUp = () => {
        this.wakeUp = undefined
        resolve()
      }
    })
  }

  private write(event: SeenEvent): void {
    this.response.write(textOf(event))
  }
}

const texts = new WeakMap<SeenEvent, string>()

/** Made once for all streams that get the event. */
function textOf(event: SeenEvent): string {
  const known = texts.get(event)
  if (known !== undefined) return known
  const text = `id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(wireEvent(event))}\n\n`
  texts.set(event, text)
  return text
}

/** As the store filters. */
export function wants({ nodeUuid, kinds, project }: EventFilter, event: SeenEvent): boolean {
  if (nodeUuid !== undefined && event.nodeUuid !== nodeUuid) return false
  if (kinds && !kinds.includes(event.kind)) return false
  return project === undefined || event.owner === project || event.lessee === project
}

/** How many streams are open, in all and of each user or link. */
export class StreamPlaces {
  private readonly limits: { readonly eventStreams: number; readonly eventStreamsPerUser: number }
  private readonly byHolder = new Map<string, number>()
  private all = 0

  constructor(limits: StreamPlaces['limits']) {
    this.limits = limits
  }

  /** Throws `access.streams`. The answer gives the place back. `holder` is null where users are not told apart. */
  take(holder: string | null): () => void {
    const own = holder === null ? 0 : (this.byHolder.get(holder) ?? 0)
    const { eventStreams, eventStreamsPerUser } = this.limits
    if (own >= eventStreamsPerUser)
      throw new Fault(
        'access.streams',
        `${holder} has ${own} event streams open already (limits.api.eventStreamsPerUser)`,
      )
    if (this.all >= eventStreams)
      throw new Fault('access.streams', `${this.all} event streams are open already (limits.api.eventStreams)`)
    this.all += 1
    if (holder !== null) this.byHolder.set(holder, own + 1)
    return () => {
      this.all -= 1
      if (holder === null) return
      const left = (this.byHolder.get(holder) ?? 1) - 1
      if (left > 0) this.byHolder.set(holder, left)
      else this.byHolder.delete(holder)
    }
  }
}
