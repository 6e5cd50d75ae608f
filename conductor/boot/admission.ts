/** Who may load the ramdisk now: so many servers at once, the others in the order in which they came. A server waits in
 *  its loader and asks again and again; one that does not ask any more loses its place. Pure: no clock, no timers. It
 *  remembers known clients alone, so its owner bounds it. */

export type QueueTurn =
  | { readonly kind: 'go' }
  /** `place`: 1 is the next one. `aboutSeconds`: until its turn comes. */
  | {
      readonly kind: 'wait'
      readonly place: number
      readonly of: number
      readonly aboutSeconds: number
      /** When it is to ask again. */
      readonly againSeconds: number
      /** It just joined the queue. */
      readonly isNew: boolean
    }

interface Waiter {
  place: number
  /** It is gone when it did not ask again by then. */
  untilMs: number
}

interface Holder {
  sinceMs: number
  /** Transfers that run. */
  transfers: number
  /** The place is free again then, unless a transfer runs. */
  untilMs: number
}

/** Between being admitted and the first byte, and between two transfers, a server may take so long. */
const IDLE_MS = 60_000
/** So much later than it was told a server may ask: a packet got lost, or its loader is slow. */
const LATE_MS = 30_000
const SWEEP_MS = 1_000
const MIN_AGAIN_SECONDS = 2
const MAX_AGAIN_SECONDS = 15
/** What loading the ramdisk takes until somebody has loaded it. */
const FIRST_GUESS_MS = 10_000
/** The share of the newest in what it usually takes. */
const NEWEST = 0.2

export class Admission {
  private readonly places: number
  private readonly holders = new Map<string, Holder>()
  /** In the order of their coming. */
  private readonly waiters = new Map<string, Waiter>()
  private usualMs = FIRST_GUESS_MS
  private sweptAtMs = Number.NEGATIVE_INFINITY

  constructor(places: number) {
    this.places = places
  }

  /** How many load it, and how many wait. */
  get size(): { readonly loading: number; readonly waiting: number } {
    return { loading: this.holders.size, waiting: this.waiters.size }
  }

  /** A server asks for what it is to boot. One that has a place keeps it. */
  ask(mac: string, nowMs: number): QueueTurn {
    this.sweep(nowMs)
    const holder = this.holders.get(mac)
    if (holder) {
      holder.untilMs = nowMs + IDLE_MS
      return { kind: 'go' }
    }
    const place = this.waiters.get(mac)?.place ?? this.waiters.size + 1
    if (place <= this.places - this.holders.size) {
      this.holders.set(mac, { sinceMs: nowMs, transfers: 0, untilMs: nowMs + IDLE_MS })
      if (this.waiters.delete(mac)) this.renumber()
      return { kind: 'go' }
    }
    return this.wait(mac, place, nowMs)
  }

  /** A transfer to a server begins. */
  began(mac: string): void {
    const holder = this.holders.get(mac)
    if (holder) holder.transfers += 1
  }

  /** A transfer ended. `isAll`: the server has the whole ramdisk. */
  ended(mac: string, isAll: boolean, nowMs: number): void {
    const holder = this.holders.get(mac)
    if (!holder) return
    holder.transfers = Math.max(0, holder.transfers - 1)
    holder.untilMs = nowMs + IDLE_MS
    if (!isAll) return
    this.holders.delete(mac)
    const tookMs = Math.max(0, nowMs - holder.sinceMs)
    this.usualMs += (tookMs - this.usualMs) * NEWEST
  }

  /** For a client that is no longer known. */
  forget(mac: string): void {
    this.holders.delete(mac)
    if (this.waiters.delete(mac)) this.renumber()
  }

  private wait(mac: string, place: number, nowMs: number): QueueTurn {
    const aboutSeconds = Math.max(1, Math.ceil((place * this.usualMs) / this.places / 1000))
    // Those that come next ask often, so that no place stays empty for long.
    const calmSeconds = place <= this.places ? MIN_AGAIN_SECONDS : Math.ceil(aboutSeconds / 2)
    const againSeconds = Math.min(Math.max(calmSeconds, MIN_AGAIN_SECONDS), MAX_AGAIN_SECONDS)
    const isNew = !this.waiters.has(mac)
    this.waiters.set(mac, { place, untilMs: nowMs + againSeconds * 1000 + LATE_MS })
    return { kind: 'wait', place, of: this.waiters.size, aboutSeconds, againSeconds, isNew }
  }

  /** Who is gone leaves its place to the others. */
  private sweep(nowMs: number): void {
    if (nowMs < this.sweptAtMs) this.shift(nowMs - this.sweptAtMs)
    else if (nowMs < this.sweptAtMs + SWEEP_MS) return
    this.sweptAtMs = nowMs
    for (const [mac, { transfers, untilMs }] of this.holders)
      if (transfers === 0 && untilMs <= nowMs) this.holders.delete(mac)
    for (const [mac, { untilMs }] of this.waiters) if (untilMs <= nowMs) this.waiters.delete(mac)
    this.renumber()
  }

  /** The clock was set back: nobody keeps a place for so much longer. */
  private shift(byMs: number): void {
    for (const holder of this.holders.values()) {
      holder.sinceMs += byMs
      holder.untilMs += byMs
    }
    for (const waiter of this.waiters.values()) waiter.untilMs += byMs
  }

  private renumber(): void {
    let place = 0
    for (const waiter of this.waiters.values()) waiter.place = ++place
  }
}

/** "412 of 900, about 40 s". */
export const turnText = ({ place, of, aboutSeconds }: { place: number; of: number; aboutSeconds: number }): string =>
  `${place} of ${of}, about ${aboutSeconds} s`
