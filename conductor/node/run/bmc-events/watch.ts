/** The events of all BMCs that offer them. The poll says which BMCs there are, and checks that their events come. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Clock } from '../../../../kit/clock.ts'
import type { Log } from '../../../../kit/log.ts'
import type { OnLimit } from '../../../../kit/limit-meter.ts'
import { Semaphore } from '../../../../kit/semaphore.ts'
import type { BmcTarget } from '../../../bmc/controller.ts'
import type { EventLimits } from '../../../bmc/parts/events.ts'
import type { BmcQueue } from '../../../bmc/queue.ts'
import { Doorbell, type ReadEnd } from './doorbell.ts'
import { EventSource, type EventsSeen, type Way } from './source.ts'

export interface EventWatchParts {
  readonly clock: Clock
  readonly log: Log
  readonly bmcQueue: BmcQueue
  /** Reads power and health of a node through the ordinary poll. */
  readonly read: (uuid: string) => Promise<ReadEnd>
  /** Whether its BMC may be asked for events; `updating`: it updates itself, and is left alone; `gone`: the node was
   *  deleted. */
  readonly stateOf: (uuid: string) => Promise<'ready' | 'updating' | 'gone'>
  readonly streams: boolean
  /** What BMCs reach this conductor by, such as https://192.0.2.1:9443; and what makes the paths unguessable. */
  readonly push: { readonly base: string; readonly key: Buffer } | undefined
  readonly limits: EventLimits & { readonly eventStreams: number }
  readonly onLimit: OnLimit
}

/** What a poll of a node found. */
export interface Polled {
  readonly target: BmcTarget
  readonly isChange: boolean
  /** It did not answer the last time. */
  readonly wasAway: boolean
}

const ASK_MS = 70_000
const UPDATE_LOOK_MS = 10_000
/** How long an event may take on its way once the poll has seen what it announces. */
const GRACE_MS = 3_000
/** BMCs that are asked for events at the same time. */
const AT_ONCE = 16

interface Watched {
  readonly target: BmcTarget
  readonly source: EventSource
  readonly bell: Doorbell
  readonly abort: AbortController
  /** Whether it is waited for an event that the poll was faster than. */
  isJudged: boolean
}

export class EventWatch {
  private readonly parts: EventWatchParts
  private readonly watched = new Map<string, Watched>()
  private readonly slots = new Semaphore(AT_ONCE)
  private readonly abort = new AbortController()
  private streams = 0
  /** Events by the way that they came, and changes that they did not announce. */
  readonly totals = { stream: 0, push: 0, missed: 0 }

  constructor(parts: EventWatchParts) {
    this.parts = parts
    setMaxListeners(0, this.abort.signal)
  }

  stop(): void {
    this.abort.abort(new Error('the conductor stops'))
    for (const uuid of this.watched.keys()) this.forget(uuid)
  }

  of = (uuid: string): EventsSeen | undefined => this.watched.get(uuid)?.source.now()

  /** How many nodes are watched in each way; null: by the poll alone. */
  counts(): ReadonlyMap<Way | null, number> {
    const counts = new Map<Way | null, number>()
    for (const { source } of this.watched.values()) {
      const { way } = source.now()
      counts.set(way, (counts.get(way) ?? 0) + 1)
    }
    return counts
  }

  forget = (uuid: string): void => {
    this.watched.get(uuid)?.abort.abort(new Error('the node is not watched any more'))
    this.watched.delete(uuid)
  }

  /** A BMC answered its poll. */
  polled(uuid: string, { target, isChange, wasAway }: Polled): void {
    const known = this.watched.get(uuid)
    // Another driver_info has another client; the former one has ended its stream and its subscription.
    if (known && known.target.bmc !== target.bmc) this.forget(uuid)
    if (!this.watched.has(uuid)) return this.begin(uuid, target)
    if (wasAway) known?.source.suspect(false)
    else if (isChange && known) this.expect(known)
  }

  /** An event came by the subscription of this path. False: there is none. */
  pushed(uuid: string, secret: string): boolean {
    const known = this.watched.get(uuid)
    const expected = known ? this.secretOf(uuid, known.target) : ''
    if (!known || expected.length !== secret.length) return false
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(secret))) return false
    known.source.rang()
    return true
  }

  /** What stands in the path of a node's subscription. The same after a restart, so that a subscription that is there
   *  is used again. */
  private secretOf(uuid: string, { key }: BmcTarget): string {
    const { push } = this.parts
    return push ? createHmac('sha256', push.key).update(`${uuid} ${key}`).digest('hex') : ''
  }

  private begin(uuid: string, target: BmcTarget): void {
    const { events } = target.bmc
    if (!events || this.abort.signal.aborted) return
    const { clock, bmcQueue, limits, onLimit, push, streams, read, log } = this.parts
    const abort = new AbortController()
    const { signal } = abort
    setMaxListeners(0, signal)
    const bell = new Doorbell({ clock, read: () => read(uuid), signal })
    const options = { priority: 'poll', timeoutMs: ASK_MS, signal } as const
    const source = new EventSource({
      clock,
      signal,
      events,
      ask: async (work) => {
        await this.untilReady(uuid, signal)
        const run = () => bmcQueue.run(target, options, (_, given, giveWay) => work(events, given, giveWay))
        return this.slots.run(run, signal)
      },
      reader: { limits, clock, onFlood: () => onLimit('bmc.eventsPerSecond', { node: uuid }) },
      onOpen: () => bell.ring({ mayLag: false }),
      onEvents: (way) => {
        this.totals[way] += 1
        bell.ring()
      },
      takeStream: () => this.takeStream(uuid),
      streams,
      subscription: push && {
        destination: `${push.base}/bmc-events/${uuid}/${this.secretOf(uuid, target)}`,
        context: `rackward ${uuid}`,
      },
    })
    this.watched.set(uuid, { target, source, bell, abort, isJudged: false })
    void source.run().catch((error: unknown) => log.error({ node: uuid, err: error }, 'the events of a BMC'))
  }

  private async untilReady(uuid: string, signal: AbortSignal): Promise<void> {
    const { clock, stateOf } = this.parts
    for (;;) {
      const state = await stateOf(uuid)
      if (state === 'ready') return
      // The poll that began this watch was under way when the node was deleted.
      if (state === 'gone') this.forget(uuid)
      await clock.sleep(UPDATE_LOOK_MS, signal)
    }
  }

  private takeStream(uuid: string): (() => void) | undefined {
    const { limits, onLimit } = this.parts
    if (this.streams >= limits.eventStreams) {
      onLimit('bmc.eventStreams', { node: uuid })
      return undefined
    }
    this.streams += 1
    return () => void (this.streams -= 1)
  }

  /** The poll was first: the event must follow, or have come a moment ago. */
  private expect(watched: Watched): void {
    const { clock } = this.parts
    const { source, abort } = watched
    const atMs = clock.now()
    if (source.now().way === null || watched.isJudged) return
    watched.isJudged = true
    clock.after(GRACE_MS, () => {
      watched.isJudged = false
      const { way, lastAtMs } = source.now()
      if (abort.signal.aborted || way === null || (lastAtMs ?? Number.NEGATIVE_INFINITY) >= atMs - GRACE_MS) return
      this.totals.missed += 1
      source.suspect(true)
    })
  }
}
