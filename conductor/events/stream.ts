/** Events as a stream (server-sent events, WHATWG HTML 9.2), resumed where the client left off. What a slow client has not read waits in the
 *  store and not in memory. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../../kit/clock.ts'
import type { EventRecord, Journal } from '../store/port.ts'
import { wireEvent } from './wire.ts'

const BATCH = 200
/** Proxies cut what is silent for a minute. */
const KEEP_ALIVE_MS = 15_000

export interface StreamWish {
  /** The last event that the client has. */
  readonly afterSeq: number
  readonly nodeUuid?: string
  readonly kinds?: readonly string[]
  /** Events that the user may see. */
  readonly sees: (event: EventRecord) => Promise<boolean>
  /** How the user may see it. */
  readonly shown: (event: EventRecord) => Promise<EventRecord>
}

/** Streams until the client goes or `signal` ends it. */
export async function streamEvents(response: ServerResponse, wish: StreamWish, parts: { journal: Journal; clock: Clock; signal: AbortSignal }): Promise<void> {
  const { journal, clock, signal } = parts
  let seq = wish.afterSeq
  let wake: () => void = () => undefined
  const stopWatching = journal.watch(() => wake())
  const gone = new AbortController()
  const leave = () => {
    gone.abort()
    wake()
  }
  response.on('close', leave)
  signal.addEventListener('abort', leave, { once: true })
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
  response.write('retry: 2000\n\n')
  try {
    while (!gone.signal.aborted) {
      // Taken before the look, so that nothing that is added meanwhile is missed.
      const news = new Promise<'news'>((resolve) => {
        wake = () => resolve('news')
      })
      const last = await journal.lastSeq()
      const events = await journal.after(seq, { ...(wish.nodeUuid ? { nodeUuid: wish.nodeUuid } : {}), ...(wish.kinds ? { kinds: wish.kinds } : {}) }, BATCH)
      for (const event of events) {
        seq = event.seq
        if (await wish.sees(event)) response.write(`id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(wireEvent(await wish.shown(event)))}\n\n`)
      }
      if (response.writableNeedDrain) await Promise.race([new Promise((resolve) => response.once('drain', resolve)), aborted(gone.signal)])
      if (events.length === BATCH || gone.signal.aborted) continue
      // Events of other nodes and kinds are passed over once, and not with every commit.
      seq = Math.max(seq, last)
      let cancel: () => void = () => undefined
      const quiet = new Promise<'quiet'>((resolve) => {
        cancel = clock.after(KEEP_ALIVE_MS, () => resolve('quiet'))
      })
      if ((await Promise.race([news, quiet])) === 'quiet') response.write(': still here\n\n')
      cancel()
    }
  } finally {
    stopWatching()
    signal.removeEventListener('abort', leave)
    response.end()
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
