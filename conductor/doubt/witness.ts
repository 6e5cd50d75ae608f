/** What a boot room says of its knowledge, held against the database: a claim, where it knows more. */
import type { Clock } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import { addressedAtMs, type OrderVersion, type StoreMark } from '../boot/rooms/version.ts'
import type { HeldClient } from '../boot/rooms/wire.ts'
import type { Store } from '../store/port.ts'
import { isAhead, isNewer, MAX_EPOCH, suspects, type RecordedClient } from './judge.ts'
import { MAX_NAMED, type Claim, type NewerNode } from './standing.ts'

export interface WitnessParts {
  readonly store: Pick<Store, 'node' | 'portByAddress'> & { readonly journal: Pick<Store['journal'], 'lastSeq'> }
  readonly clock: Clock
  readonly conductor: string
  readonly epoch: () => number
  /** What this conductor has of a client, perhaps a moment old. */
  readonly known: (
    mac: string,
    room: string,
  ) => { readonly nodeUuid: string; readonly version: OrderVersion } | undefined
  /** Of the database, as no room that comes for the first time can have been told more by it. */
  readonly firstSeq: number | undefined
}

export interface RoomSaid {
  readonly room: string
  readonly mark: StoreMark
  readonly held: readonly HeldClient[]
}

/** The event loop is free again after so many records. */
const LOOKS = 100
/** Suspects that are looked up where it is known already that the room knows more; those beyond count without a
 *  look. */
const MAX_LOOKED = 10_000

export class Witness {
  private readonly parts: WitnessParts
  private readonly met = new Set<string>()

  constructor(parts: WitnessParts) {
    this.parts = parts
  }

  /** Undefined: it knows nothing newer. Throws for what no room can have been told. */
  async hear({ room, mark, held }: RoomSaid): Promise<Claim | undefined> {
    const { clock, conductor } = this.parts
    const epochs = [mark.epoch, ...new Set(held.map(({ version }) => version[0]))]
    const epoch = epochs.reduce((highest, one) => Math.max(highest, one))
    const own = this.parts.epoch()
    // An acceptance counts on from what a room said, so that its own incarnation may be a little beyond.
    if (epoch > Math.max(MAX_EPOCH, own)) throw new Error('it says what no conductor can have told it')
    const lastSeq = await this.lastSeq(room)
    const ahead = isAhead(mark, { epoch: own, seq: lastSeq })
    const at = { epoch: own, ahead }
    const found = await this.newer(
      suspects(held, (mac) => this.parts.known(mac, room), at),
      at,
    )
    // Whoever the conductor itself told something newer meanwhile is met by now.
    this.met.add(room)
    if (!ahead && found.count === 0) return undefined
    return { room, who: 'room', epoch, seq: mark.seq, lastSeq, atMs: clock.now(), by: conductor, ...found }
  }

  /** A conductor that has its database alone is the only one that tells rooms: what one knows that it has not met was
   *  told before it started. */
  private async lastSeq(room: string): Promise<number> {
    const { firstSeq, store } = this.parts
    return firstSeq === undefined || this.met.has(room) ? store.journal.lastSeq() : firstSeq
  }

  private async newer(
    held: readonly HeldClient[],
    at: { epoch: number; ahead: boolean },
  ): Promise<Pick<Claim, 'count' | 'nodes'>> {
    const nodes = new Map<string, NewerNode>()
    const uuids = new Set<string>()
    for (const [i, one] of held.entries()) {
      if (i % LOOKS === LOOKS - 1) await this.parts.clock.sleep(0)
      if (i >= MAX_LOOKED && (at.ahead || nodes.size > 0)) {
        uuids.add(one.nodeUuid)
        continue
      }
      const recorded = await this.recordedOf(one)
      if (!recorded || !isNewer(one, recorded, at)) continue
      uuids.add(one.nodeUuid)
      const { mac, nodeUuid: uuid, version } = one
      if (nodes.size < MAX_NAMED && !nodes.has(uuid))
        nodes.set(uuid, { uuid, mac, held: version[3], recorded: recorded.node?.version ?? null })
    }
    return { count: uuids.size, nodes: [...nodes.values()] }
  }

  /** Undefined: its record cannot be read, and is named elsewhere. */
  private async recordedOf({ mac, nodeUuid }: HeldClient): Promise<RecordedClient | undefined> {
    const { store } = this.parts
    try {
      const port = await store.portByAddress(mac)
      return { port: port && { ...port, addressedAtMs: addressedAtMs(port) }, node: await store.node(nodeUuid) }
    } catch (error) {
      if (isFault(error, 'store.damaged')) return undefined
      throw error
    }
  }
}
