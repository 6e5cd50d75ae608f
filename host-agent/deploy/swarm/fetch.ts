/** Fetches the pieces of an image from the image server and from neighbours that write the same one, and serves them to
 *  those. Until the tracker says that there are enough of them, the image server alone is asked, in runs, as without a
 *  swarm; without a tracker it stays so, and whatever fails in the swarm but the disk, it is so again. Every piece that
 *  comes in the swarm is proven by the index before it is written, and every piece before it is passed on. */
import type { SwarmAnswer } from '../../../conductor/api/swarm-wire.ts'
import { asFault, Fault, isFault } from '../../../kit/fault.ts'
import { Semaphore } from '../../../kit/semaphore.ts'
import { downloadFrame, provePiece } from '../download.ts'
import type { Door, MakeDoor } from './door.ts'
import { sourcesOf, type Hands, type Shared, type SwarmParts } from './fetch-parts.ts'
import { Neighbours } from './neighbours.ts'
import { PeerServer } from './peer-server.ts'
import { SEED, SwarmPlan, type Ask } from './plan.ts'
import { SeedPatience } from './seed-patience.ts'
import { Shelf } from './shelf.ts'

const TICK_MS = 200
const CALL_AGAIN_MS = 2_000
const UNPACKING = 3
/** A share of the card is left for what the node fetches and says. */
const UPLOAD_SHARE = 0.8
const MAX_NAMED = 32
const MAX_WHY = 80

export class SwarmFetch {
  private readonly parts: SwarmParts
  private readonly shelf: Shelf
  private readonly unpacking = new Semaphore(UNPACKING)
  private readonly door: Door
  private readonly neighbours: Neighbours
  private readonly abort = new AbortController()
  /** From then on there are neighbours to ask. */
  private readonly isOn = new AbortController()
  private plan: SwarmPlan | undefined
  private answer: SwarmAnswer | undefined
  /** Of the tracker's clock against ours. */
  private aheadMs = 0
  private port = 0
  private hasListened = false
  private isActing = false
  private hands: Hands | undefined
  private readonly patience: SeedPatience
  private isGivenUp = false
  private end: { resolve: () => void; reject: (error: unknown) => void } | undefined
  /** Pieces that are being proven and written. */
  private readonly taking = new Set<Promise<void>>()
  /** Bytes that came from neighbours, and from the image server since there were any. */
  readonly came = { peers: 0, seed: 0 }
  private readonly cameFrom = new Map<string, number>()
  /** Why nobody can fetch from this node. */
  private closedWhy: string | undefined

  constructor(parts: SwarmParts) {
    this.parts = parts
    this.patience = new SeedPatience(parts.source)
    const { index, disk, memoryBytes, clock, random, ip } = parts
    this.shelf = new Shelf({ index, disk, memoryBytes })
    const makeDoor: MakeDoor = parts.door ?? ((doorParts) => new PeerServer(doorParts))
    this.door = makeDoor({
      shelf: this.shelf,
      self: () =>
        this.answer && {
          id: this.answer.id,
          imageId: index.id,
          nowMs: clock.now() + this.aheadMs,
          key: Buffer.from(this.answer.key, 'base64url'),
        },
      bytesPerSecond: () => {
        const ofCard = parts.cardBytesPerSecond === undefined ? undefined : parts.cardBytesPerSecond * UPLOAD_SHARE
        return this.answer?.uploadBytesPerSecond ?? ofCard
      },
      clock,
      random,
    })
    this.neighbours = new Neighbours({
      index,
      localIp: ip,
      clock,
      random,
      events: {
        joined: (id, isNear) => this.plan?.joined(id, isNear) ?? false,
        has: (id, pieces) => this.plan?.has(id, pieces),
        departed: (id) => this.plan?.departed(id),
        none: (ask) => this.plan?.refused(ask),
        piece: (ask, bytes, isRaw) => this.keepTaking(this.take(ask, bytes, isRaw)),
        changed: () => this.actSoon(),
      },
    })
  }

  /** One line for whoever watches; undefined: nothing to tell. */
  get said(): string | undefined {
    if (this.isGivenUp) return 'from the image server alone: the swarm failed'
    if (!this.answer?.on) return undefined
    const own = this.closedWhy === undefined ? '' : `; nobody can fetch from this node: ${this.closedWhy}`
    const counts = { known: this.answer.neighbours.length, reached: this.neighbours.size }
    return `${sourcesOf(counts, this.came)}${own}`
  }

  /** Undefined: there was no swarm. */
  get shared(): Shared | undefined {
    if (!this.hasListened) return undefined
    const most = [...this.cameFrom].sort(([, a], [, b]) => b - a).slice(0, MAX_NAMED)
    return {
      fromNeighbours: this.came.peers,
      toNeighbours: this.door.sentBytes,
      neighbours: most.map(([node, bytes]) => ({ node, bytes })),
    }
  }

  /** Fetches what is wanted. Resolves when all of it is on the disk. */
  async fetch(isWanted: (number: number) => boolean, hands: Hands): Promise<void> {
    this.hands = hands
    await Promise.race([this.callOnce(), this.parts.clock.sleep(CALL_AGAIN_MS, this.abort.signal)])
    void this.keepCalling()
    const queue = hands.runs(isWanted)
    await hands.unicast(queue, this.isOn.signal)
    const left = queue.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
    if (left.length === 0) return
    // Others hear of them before this node asks for the rest.
    const there = await hands.held(left)
    const wanted = left.filter((number) => !there.has(number))
    if (wanted.length === 0) return
    const random = () => this.parts.random.bytes(4).readUInt32BE() / 2 ** 32
    const plan = new SwarmPlan({ pieces: this.parts.index.pieces.length, wanted, random })
    this.plan = plan
    try {
      await new Promise<void>((resolve, reject) => {
        this.end = { resolve, reject }
        void this.tick()
      })
    } catch (error) {
      if (isFault(error, 'deploy.write')) throw error
      // What the image server has to answer for is found again there, with the patience of a deploy without a swarm.
      this.isGivenUp = true
      await this.close()
      await hands.unicast(hands.runs(plan.isMissing))
    }
  }

  /** A piece that was written without the swarm can be passed on all the same. */
  wrote(number: number): void {
    if (this.parts.index.pieces[number]?.zero || number === 0) return
    this.shelf.keep(number)
    this.door.tell()
  }

  /** Nothing listens and nothing is fetched any more. */
  async close(): Promise<void> {
    this.abort.abort()
    this.neighbours.close()
    this.port = 0
    await this.door.close()
    await Promise.all(this.taking)
    this.shelf.clear()
  }

  private async keepCalling(): Promise<void> {
    while (!this.abort.signal.aborted) {
      const againMs = this.answer?.againMs ?? CALL_AGAIN_MS
      // Not all of a rack at the same moment.
      const jitter = 0.75 + (this.parts.random.bytes(1).readUInt8() / 255) * 0.5
      await this.parts.clock.sleep(againMs * jitter, this.abort.signal).catch(() => undefined)
      if (!this.abort.signal.aborted) await this.callOnce()
    }
  }

  /** A tracker that does not answer is asked again; what is known goes on until its tickets end. */
  private async callOnce(): Promise<void> {
    const { call, clock, orderId } = this.parts
    try {
      const { bad, unreachable } = this.neighbours.complaints()
      if (this.port > 0 && !this.door.isOpen) {
        this.port = 0
        this.closedWhy = 'the process that serves pieces ended'
      }
      const answer = await call({ orderId, port: this.port, have: this.shelf.count, bad, unreachable })
      if (this.abort.signal.aborted) return
      this.answer = answer
      if (answer.on) this.isOn.abort()
      this.aheadMs = answer.nowMs - clock.now()
      this.door.renew()
      this.neighbours.meet(answer.on ? answer.neighbours : [])
      this.plan?.grant(answer.seed ?? undefined)
      if (answer.on && !this.hasListened) void this.open()
    } catch {
      return
    }
    this.act()
  }

  /** Beside the calls, for it may take long. Who cannot be reached can fetch all the same. */
  private async open(): Promise<void> {
    this.hasListened = true
    const port = await this.door.listen(this.parts.ip).catch((error: Error) => {
      this.closedWhy = error.message.slice(0, MAX_WHY)
      return 0
    })
    // It may have been closed meanwhile.
    if (this.abort.signal.aborted) return this.door.close()
    this.port = port
    // Others are to hear at once where it listens.
    await this.callOnce()
  }

  private async tick(): Promise<void> {
    while (!this.abort.signal.aborted && this.plan && this.plan.left > 0) {
      this.act()
      await this.parts.clock.sleep(TICK_MS, this.abort.signal).catch(() => undefined)
    }
  }

  /** Once for all that came at a time: a neighbour that says much in little must not keep this node busy. */
  private actSoon(): void {
    if (this.isActing) return
    this.isActing = true
    void Promise.resolve().then(() => {
      this.isActing = false
      this.act()
    })
  }

  /** Never throws: timers and sockets call it. */
  private act(): void {
    const { plan, parts } = this
    if (!plan || this.abort.signal.aborted) return
    try {
      this.neighbours.greet()
      if (this.answer) plan.grant(this.answer.seed ?? undefined)
      for (const ask of plan.next(parts.clock.now()))
        if (ask.from === SEED) this.keepTaking(this.fromSeed(ask))
        else this.neighbours.ask(ask)
    } catch (error) {
      this.fail(error)
    }
  }

  private keepTaking(work: Promise<void>): void {
    const taking: Promise<void> = work
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.taking.delete(taking))
    this.taking.add(taking)
  }

  private async fromSeed(ask: Ask): Promise<void> {
    const { index, source, clock } = this.parts
    const { url } = source
    const { at = 0, lengthBytes = 0 } = index.pieces[ask.piece] ?? {}
    try {
      const frame = await downloadFrame(url, { at, lengthBytes }, this.abort.signal)
      await this.take(ask, frame, false)
    } catch (error) {
      if (this.abort.signal.aborted) return
      const fault = asFault(error, 'agent.broken')
      if (fault.code !== 'deploy.download' && fault.code !== 'image.piece') return this.fail(error)
      const pauseMs = this.patience.failed(url, fault.code === 'image.piece')
      if (pauseMs === undefined)
        return this.fail(new Fault(fault.code, `piece ${ask.piece}: ${fault.detail}`, { cause: error }))
      this.plan?.seedFailed(ask.piece, clock.now() + pauseMs)
    }
  }

  /** A piece came. A neighbour that sent a wrong one is dropped; the image server's is asked for again. */
  private async take(ask: Ask, bytes: Buffer, isRaw: boolean): Promise<void> {
    const { plan, hands, parts } = this
    if (!plan || !hands || this.abort.signal.aborted) return
    if (!plan.isMissing(ask.piece)) return plan.cancelled(ask)
    const proven = await this.unpacking.run(() => provePiece(parts.index, ask.piece, { bytes, isRaw }))
    if (!proven) {
      if (ask.from === SEED) throw new Fault('image.piece', 'its bytes do not have the SHA-256 of the index')
      plan.lied(ask.from)
      this.neighbours.lied(ask.from)
      return this.act()
    }
    // It may have come from two at the same time.
    if (this.abort.signal.aborted || !plan.isMissing(ask.piece)) return plan.cancelled(ask)
    await hands.store(ask.piece, proven)
    const { isNew, cancel } = plan.arrived(ask, parts.clock.now())
    for (const from of cancel) {
      this.neighbours.cancel({ piece: ask.piece, from })
      plan.cancelled({ piece: ask.piece, from })
    }
    if (!isNew) return
    this.patience.came(ask.from === SEED)
    // As the image server stores it, also where a neighbour sent it raw.
    const storedBytes = parts.index.pieces[ask.piece]?.lengthBytes ?? 0
    this.came[ask.from === SEED ? 'seed' : 'peers'] += storedBytes
    if (ask.from !== SEED) this.cameFrom.set(ask.from, (this.cameFrom.get(ask.from) ?? 0) + storedBytes)
    this.shelf.keep(ask.piece, isRaw ? undefined : bytes)
    this.door.tell()
    if (plan.left === 0) this.end?.resolve()
    else this.act()
  }

  private fail(error: unknown): void {
    this.end?.reject(error)
  }
}
