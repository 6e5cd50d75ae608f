/** The connections to the neighbours that the tracker named: made, kept with newer tickets, made again when they broke,
 *  and ended when the tracker names them no more. */
import type { ImageIndex } from '../../../conductor/api/agent-wire.ts'
import { MAX_PEERS, type Neighbour } from '../../../conductor/api/swarm-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import { PeerLink } from './peer-link.ts'
import type { Ask } from './plan.ts'

export interface NeighboursParts {
  readonly index: ImageIndex
  readonly localIp: string
  readonly clock: Clock
  readonly random: Random
  readonly events: {
    /** Answers whether it is wanted. */
    joined(id: string, isNear: boolean): boolean
    has(id: string, pieces: readonly number[]): void
    departed(id: string): void
    none(ask: Ask): void
    piece(ask: Ask, bytes: Buffer, isRaw: boolean): void
    /** Something can be asked now that could not before. */
    changed(): void
  }
}

interface KnownPeer {
  neighbour: Neighbour
  link: PeerLink | undefined
  isReady: boolean
  /** What it said that it holds before anybody wanted to know. */
  readonly held: Set<number>
  isMet: boolean
  failures: number
  dialledAtMs: number
  againAtMs: number
}

/** One that cannot be reached so many times in a row is told to the tracker, which names another. */
const UNREACHABLE = 2
const AGAIN_MS = 1_000

export class Neighbours {
  private readonly parts: NeighboursParts
  private readonly known = new Map<string, KnownPeer>()
  private readonly liars = new Set<string>()
  private closed = false

  constructor(parts: NeighboursParts) {
    this.parts = parts
  }

  /** Those that can be asked. */
  get size(): number {
    let count = 0
    for (const { isReady } of this.known.values()) if (isReady) count += 1
    return count
  }

  /** For the tracker. */
  complaints(): { bad: string[]; unreachable: string[] } {
    const unreachable = [...this.known].filter(([, { failures }]) => failures >= UNREACHABLE).map(([id]) => id)
    return { bad: [...this.liars].slice(-MAX_PEERS), unreachable: unreachable.slice(0, MAX_PEERS) }
  }

  /** These are the neighbours now. */
  meet(list: readonly Neighbour[]): void {
    const named = new Set(list.map(({ id }) => id))
    for (const [id, { link }] of this.known)
      if (!named.has(id)) {
        link?.close()
        this.known.delete(id)
        this.parts.events.departed(id)
      }
    for (const neighbour of list) {
      const known = this.known.get(neighbour.id)
      if (known) known.link?.renew((known.neighbour = neighbour))
      else if (!this.liars.has(neighbour.id)) this.add(neighbour)
    }
    this.dial()
  }

  /** Whoever is ready takes part. */
  greet(): void {
    this.dial()
    for (const [id, known] of this.known) {
      if (!known.isReady || known.isMet) continue
      known.isMet = this.parts.events.joined(id, known.neighbour.near)
      if (known.isMet) this.parts.events.has(id, [...known.held])
    }
  }

  ask({ piece, from }: Ask): void {
    this.known.get(from)?.link?.ask(piece)
  }

  cancel({ piece, from }: Ask): void {
    this.known.get(from)?.link?.cancel(piece)
  }

  lied(id: string): void {
    this.liars.add(id)
    this.known.get(id)?.link?.close()
    this.known.delete(id)
  }

  close(): void {
    this.closed = true
    for (const { link } of this.known.values()) link?.close()
    this.known.clear()
  }

  private add(neighbour: Neighbour): void {
    this.known.set(neighbour.id, {
      neighbour,
      link: undefined,
      isReady: false,
      held: new Set(),
      isMet: false,
      failures: 0,
      dialledAtMs: 0,
      againAtMs: 0,
    })
  }

  private dial(): void {
    if (this.closed) return
    const nowMs = this.parts.clock.now()
    for (const known of this.known.values())
      if (!known.link && nowMs >= known.againAtMs) {
        known.dialledAtMs = nowMs
        known.link = this.connect(known)
      }
  }

  private connect(known: KnownPeer): PeerLink {
    const { index, localIp, clock, random, events } = this.parts
    const { id } = known.neighbour
    const isPresent = () => this.known.get(id) === known
    return new PeerLink({
      neighbour: known.neighbour,
      index,
      localIp,
      clock,
      random,
      events: {
        ready: () => {
          known.isReady = true
          known.failures = 0
        },
        has: (pieces) => {
          for (const piece of pieces) known.held.add(piece)
          if (known.isMet && isPresent()) events.has(id, pieces)
          events.changed()
        },
        piece: (piece, bytes, isRaw) => isPresent() && events.piece({ piece, from: id }, bytes, isRaw),
        none: (piece) => {
          if (isPresent()) events.none({ piece, from: id })
          events.changed()
        },
        gone: (wasReady) => {
          if (!isPresent()) return
          const wasMet = known.isMet
          known.link = undefined
          known.isReady = false
          known.isMet = false
          known.held.clear()
          known.failures += wasReady ? 0 : 1
          // One that ends with its ticket is made again at once; one that ends as soon as it is made is not.
          known.againAtMs = wasReady ? known.dialledAtMs + AGAIN_MS : clock.now() + AGAIN_MS * known.failures
          if (wasMet) events.departed(id)
          events.changed()
        },
      },
    })
  }
}
