/** Which piece of an image a node asks of whom: rarest first, its own rack first, of the seed what is rarest among its
 *  neighbours. A late answer is asked of another source as well, and a source that sent wrong bytes is never asked
 *  again. Pure: no clock, no sockets; randomness is handed in. */
import { SwarmPeer } from './swarm-peer.ts'

/** The image server. */
export const SEED = 'seed'

export interface Ask {
  readonly piece: number
  /** A peer by its id, or the seed. */
  readonly from: string
}

/** The part of the seed's first copies that the tracker gave to this node. */
export interface SeedShare {
  readonly index: number
  readonly of: number
}

export interface PlanOptions {
  /** Pieces of the image in all. */
  readonly pieces: number
  readonly wanted: Iterable<number>
  /** Below 1, like Math.random. */
  readonly random: () => number
  /** Requests at once, in all and of one peer. */
  readonly inFlight?: number
  readonly perPeer?: number
}

const IN_FLIGHT = 16
const PER_PEER = 1
/** With fewer requests than this under way, racks do not matter. */
const HUNGRY = 6
const SEED_IN_FLIGHT = 2
/** A node that received nothing for so long may ask the seed for anything. */
const STARVED_MS = 1_000
/** An answer is late after so many times the usual time, within these bounds. */
const LATE_TIMES = 4
const LATE_MIN_MS = 1_500
const LATE_MAX_MS = 60_000
/** Sooner where nothing else is left to ask for. */
const LAST_LATE_TIMES = 2
const FIRST_GUESS_MS = 2_000
/** The share of the newest answer in the usual time. */
const NEWEST = 0.2
/** Sources that are asked for one piece at the same time. */
const MOST_SOURCES = 3

interface Flight {
  readonly from: Map<string, { readonly sinceMs: number; isLate: boolean }>
}

export class SwarmPlan {
  private readonly opts: Required<PlanOptions>
  private readonly missing: Set<number>
  private readonly flights = new Map<number, Flight>()
  private readonly peers = new Map<string, SwarmPeer>()
  private readonly banned = new Set<string>()
  /** Neighbours that hold a piece, all of them and those of the own rack. */
  private readonly copies: Uint16Array
  private readonly nearCopies: Uint16Array
  private seedInFlight = 0
  private seedBlockedUntilMs = 0
  private share: SeedShare | undefined
  private usualMs = FIRST_GUESS_MS
  private heardAtMs: number | undefined

  constructor(opts: PlanOptions) {
    this.opts = { inFlight: IN_FLIGHT, perPeer: PER_PEER, ...opts }
    this.missing = new Set(opts.wanted)
    this.copies = new Uint16Array(opts.pieces)
    this.nearCopies = new Uint16Array(opts.pieces)
  }

  get left(): number {
    return this.missing.size
  }

  get peerCount(): number {
    return this.peers.size
  }

  isBanned = (id: string): boolean => this.banned.has(id)
  isMissing = (piece: number): boolean => this.missing.has(piece)

  /** Which part of the pieces this node takes from the seed before it needs them; undefined: none. */
  grant(share: SeedShare | undefined): void {
    this.share = share
  }

  /** A neighbour can be asked. One that lied stays out. */
  joined(id: string, isNear: boolean): boolean {
    if (this.banned.has(id) || this.peers.has(id)) return false
    this.peers.set(id, new SwarmPeer(this.opts.pieces, isNear))
    return true
  }

  /** It holds these pieces now; numbers that the image does not have are its lie, and change nothing. */
  has(id: string, pieces: Iterable<number>): void {
    const peer = this.peers.get(id)
    if (!peer) return
    for (const piece of pieces) {
      if (!peer.add(piece)) continue
      this.copies[piece] = (this.copies[piece] ?? 0) + 1
      if (peer.isNear) this.nearCopies[piece] = (this.nearCopies[piece] ?? 0) + 1
    }
  }

  /** Its connection ended: what it owed is asked of others. */
  departed(id: string): void {
    const peer = this.peers.get(id)
    if (!peer) return
    this.peers.delete(id)
    for (const piece of peer.pieces()) {
      this.copies[piece] = (this.copies[piece] ?? 1) - 1
      if (peer.isNear) this.nearCopies[piece] = (this.nearCopies[piece] ?? 1) - 1
    }
    for (const piece of this.flights.keys()) this.land(piece, id)
  }

  /** The piece is proven and on the disk. Answers whether it was missing until now, and which peers need not send it
   *  any more. */
  arrived({ piece, from }: Ask, nowMs: number): { isNew: boolean; cancel: string[] } {
    const sinceMs = this.land(piece, from)
    if (sinceMs !== undefined && from !== SEED) {
      this.usualMs += (nowMs - sinceMs - this.usualMs) * NEWEST
      this.peers.get(from)?.took(nowMs - sinceMs, NEWEST)
    }
    this.heardAtMs = nowMs
    const cancel = [...(this.flights.get(piece)?.from.keys() ?? [])].filter((id) => id !== SEED)
    return { isNew: this.missing.delete(piece), cancel }
  }

  /** It sends the piece no more: it was cancelled. */
  cancelled({ piece, from }: Ask): void {
    this.land(piece, from)
  }

  /** It answered that it does not have the piece, or not any more. */
  refused({ piece, from }: Ask): void {
    this.land(piece, from)
    const peer = this.peers.get(from)
    if (!peer?.remove(piece)) return
    this.copies[piece] = (this.copies[piece] ?? 1) - 1
    if (peer.isNear) this.nearCopies[piece] = (this.nearCopies[piece] ?? 1) - 1
  }

  /** The seed did not answer well: it is left alone for a while. */
  seedFailed(piece: number, untilMs: number): void {
    this.land(piece, SEED)
    this.seedBlockedUntilMs = untilMs
  }

  /** It sent wrong bytes: it is out for good. */
  lied(id: string): void {
    this.banned.add(id)
    this.departed(id)
  }

  /** What to ask for now; each answer counts as asked. */
  next(nowMs: number): Ask[] {
    this.heardAtMs ??= nowMs
    this.markLate(nowMs)
    const asks: Ask[] = []
    for (let busy = this.busy(); busy < this.opts.inFlight; busy += 1) {
      const ask = this.fromPeer(nowMs) ?? this.fromSeed(nowMs) ?? this.again(nowMs)
      if (!ask) break
      this.start(ask, nowMs)
      asks.push(ask)
    }
    return asks
  }

  /** Requests that are under way and not late. */
  private busy(): number {
    let count = 0
    for (const { from } of this.flights.values()) for (const { isLate } of from.values()) if (!isLate) count += 1
    return count
  }

  private markLate(nowMs: number): void {
    const isLast = this.flights.size >= this.missing.size
    const times = isLast ? LAST_LATE_TIMES : LATE_TIMES
    const lateMs = Math.min(Math.max(this.usualMs * times, LATE_MIN_MS), LATE_MAX_MS)
    for (const { from } of this.flights.values())
      for (const [id, request] of from) {
        if (request.isLate || nowMs - request.sinceMs < lateMs) continue
        request.isLate = true
        const peer = this.peers.get(id)
        if (peer) peer.isSlow = true
      }
  }

  private start({ piece, from }: Ask, nowMs: number): void {
    const flight = this.flights.get(piece) ?? { from: new Map() }
    this.flights.set(piece, flight)
    flight.from.set(from, { sinceMs: nowMs, isLate: false })
    const peer = this.peers.get(from)
    if (peer) peer.outstanding += 1
    if (from === SEED) this.seedInFlight += 1
  }

  /** Answers when it had been asked for. */
  private land(piece: number, from: string): number | undefined {
    const flight = this.flights.get(piece)
    const request = flight?.from.get(from)
    if (!flight || !request) return undefined
    flight.from.delete(from)
    if (flight.from.size === 0) this.flights.delete(piece)
    const peer = this.peers.get(from)
    if (peer) {
      peer.outstanding -= 1
      if (peer.outstanding === 0) peer.isSlow = false
    }
    if (from === SEED) this.seedInFlight -= 1
    return request.sinceMs
  }

  private free = (peer: SwarmPeer): boolean => peer.outstanding < this.opts.perPeer && !peer.isSlow

  /** Of those that are free: the rarest piece. It comes from the own rack where anybody there has it, so that it
   *  crosses into a rack once; who has nothing else to do is free of that rule. */
  private fromPeer(nowMs: number): Ask | undefined {
    const free = [...this.peers].filter(([, peer]) => this.free(peer))
    if (free.length === 0) return undefined
    const isIdle = this.flights.size < HUNGRY || this.isStarved(nowMs)
    const able = (piece: number) =>
      free.filter(([, peer]) => peer.holds(piece) && (isIdle || peer.isNear || this.nearCopies[piece] === 0))
    let best: { piece: number; score: number } | undefined
    for (const piece of this.missing) {
      const copies = this.copies[piece] ?? 0
      if (copies === 0 || (best && copies >= best.score) || this.flights.has(piece)) continue
      const score = copies + this.opts.random()
      if ((!best || score < best.score) && able(piece).length > 0) best = { piece, score }
    }
    const from = best && this.quickest(able(best.piece))
    return best && from !== undefined ? { piece: best.piece, from } : undefined
  }

  private isStarved = (nowMs: number): boolean => nowMs - (this.heardAtMs ?? nowMs) > STARVED_MS

  /** By what each of them took before, and what it owes already. */
  private quickest(able: readonly (readonly [string, SwarmPeer])[]): string | undefined {
    const costs = able.map(([id, peer]) => {
      const waitMs = (peer.usualMs ?? this.usualMs / 2) * (peer.outstanding + 1)
      return { id, cost: waitMs * (1 + this.opts.random() / 4) * (peer.isNear ? 1 : 1.5) }
    })
    return costs.reduce<(typeof costs)[number] | undefined>((a, b) => (a && a.cost <= b.cost ? a : b), undefined)?.id
  }

  /** With a share: its own part first, then what is rarest. Without one: only a node that starves. */
  private fromSeed(nowMs: number): Ask | undefined {
    const isStarved = this.peers.size === 0 || this.isStarved(nowMs)
    const { share } = this
    const most = share ? SEED_IN_FLIGHT : isStarved ? 1 : 0
    if (this.seedInFlight >= most || nowMs < this.seedBlockedUntilMs) return undefined
    let best: { piece: number; score: number } | undefined
    for (const piece of this.missing) {
      if (this.flights.has(piece)) continue
      const isOwn = share !== undefined && piece % share.of === share.index
      const score = (this.copies[piece] ?? 0) * 2 + (isOwn ? 0 : 1) + this.opts.random() * 0.9
      if (!best || score < best.score) best = { piece, score }
    }
    return best && { piece: best.piece, from: SEED }
  }

  /** Of another source, what is late. */
  private again(nowMs: number): Ask | undefined {
    for (const [piece, { from }] of this.flights) {
      if (from.size >= MOST_SOURCES || [...from.values()].some(({ isLate }) => !isLate)) continue
      const able = [...this.peers].filter(([id, peer]) => !from.has(id) && this.free(peer) && peer.holds(piece))
      const other = this.quickest(able)
      if (other !== undefined) return { piece, from: other }
      const seedIsFree = this.seedInFlight < SEED_IN_FLIGHT && nowMs >= this.seedBlockedUntilMs
      if (seedIsFree && !from.has(SEED)) return { piece, from: SEED }
    }
    return undefined
  }
}
