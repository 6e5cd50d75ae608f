/** What is true now and is not kept: how far deploy agents are, and what the mesh reports. It is compared once a second
 *  for all who watch, and each is sent what changed, in messages of bounded size. Who did not read in time is sent the
 *  rest later, as it is then: nothing waits for it in memory. */
import { turn, type Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Progress } from '../api/agent-wire.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { Store } from '../store/port.ts'
import { Latest, type Piece } from './latest.ts'
import { MeshWatch, NOTHING_TOLD, type MeshAsks, type MeshTold } from './mesh-watch.ts'

export interface Watcher {
  readonly sees: (node: NodeRecord) => boolean
  readonly seesMesh: boolean
  /** False: the client has not read what came before, and this is dropped. */
  readonly send: (text: string) => boolean
}

/** How far the agent of a node is, in this state of the node; `part` is 0 to 1. */
export interface LiveProgress {
  readonly node: string
  readonly state: string
  readonly progress: { readonly phase: string; readonly part: number | null } | null
}

const EVERY_MS = 1_000
/** Nodes or hosts of one message, and nodes that are looked up in a second. */
const AT_ONCE = 200
/** Nodes that are remembered to have no progress any more. */
const MAX_ENDED = 1_000

export interface LiveParts {
  readonly store: Pick<Store, 'node'>
  readonly sightings: Pick<Sightings, 'working'>
  /** Undefined: this conductor knows no mesh. */
  readonly link: MeshAsks | undefined
  readonly clock: Clock
  readonly log: Log
}

interface ToldProgress {
  readonly key: string
  readonly live: LiveProgress
  readonly record: NodeRecord
  /** The look that told it. */
  readonly look: number
}

/** The changes up to which a watcher was sent everything. */
interface SentSoFar {
  progress: number
  mesh: MeshTold
}

export class LiveFeed {
  private readonly parts: LiveParts
  private readonly watchers = new Map<Watcher, SentSoFar>()
  private readonly told = new Latest<ToldProgress>()
  private readonly mesh: MeshWatch | undefined
  private looks = 0
  private running = false

  constructor(parts: LiveParts) {
    this.parts = parts
    this.mesh = parts.link && new MeshWatch(parts.link, parts.clock)
  }

  /** Until the answer is called. */
  follow(watcher: Watcher): () => void {
    this.watchers.set(watcher, { progress: 0, mesh: NOTHING_TOLD })
    if (!this.running) this.again(0)
    return () => void this.watchers.delete(watcher)
  }

  /** Ends with the last watcher. */
  private again(ms: number): void {
    this.running = true
    this.parts.clock.after(ms, () => {
      if (this.watchers.size === 0) {
        this.running = false
        this.told.clear()
        return this.mesh?.forget()
      }
      void this.look()
        .catch((error: unknown) => this.parts.log.warn({ err: error }, 'live changes could not be sent'))
        .finally(() => this.again(EVERY_MS))
    })
  }

  private async look(): Promise<void> {
    if ([...this.watchers.keys()].some(({ seesMesh }) => seesMesh)) this.mesh?.ask()
    await this.compareProgress()
    const messages = this.messages()
    for (const [watcher, sent] of this.watchers)
      for (let next = messages(watcher, sent); next; next = messages(watcher, sent)) {
        if (next.text !== null && !watcher.send(next.text)) break
        Object.assign(sent, next.sent)
        // What was written goes out, so that a client which reads can take more.
        if (next.text !== null) await turn()
      }
  }

  /** The next message for a watcher, and what it was sent then; null: of that, it may see nothing. Those that were sent
   *  as much share one text. */
  private messages(): (
    watcher: Watcher,
    sent: SentSoFar,
  ) => { text: string | null; sent: Partial<SentSoFar> } | undefined {
    const progressSince = once((seq) => withText(this.told.since(seq, AT_ONCE)))
    const hostsSince = once((seq) => {
      const found = this.mesh?.hostsSince(seq, AT_ONCE)
      return found && { text: textOf(found.message), upToSeq: found.upToSeq }
    })
    return ({ sees, seesMesh }, { progress, mesh }) => {
      const nodes = progressSince(progress)
      if (nodes) return { text: nodes.textFor(sees), sent: { progress: nodes.upToSeq } }
      if (!seesMesh) return undefined
      const head = this.mesh?.head(mesh)
      if (head) return { text: textOf(head.message), sent: { mesh: head.told } }
      const hosts = hostsSince(mesh.hosts)
      return hosts && { text: hosts.text, sent: { mesh: { ...mesh, hosts: hosts.upToSeq } } }
    }
  }

  /** Looks up those whose progress is another one than they were told with: of many, those that have waited longest. */
  private async compareProgress(): Promise<void> {
    this.looks += 1
    const now = new Map([...this.parts.sightings.working()].map(([uuid, one]) => [uuid, shownOf(one)] as const))
    const changed = [...new Set([...now.keys(), ...this.told.names()])]
      .filter((uuid) => (this.told.get(uuid)?.key ?? '') !== keyOf(now.get(uuid)))
      .sort((a, b) => (this.told.get(a)?.look ?? 0) - (this.told.get(b)?.look ?? 0))
      .slice(0, AT_ONCE)
    await Promise.all(changed.map((uuid) => this.tell(uuid, now.get(uuid))))
    this.told.keepNewest(MAX_ENDED, ({ key }) => key === '')
  }

  private async tell(uuid: string, progress: Shown | undefined): Promise<void> {
    // A record that cannot be read is out of service: the board says so.
    const record = (await this.parts.store.node(uuid).catch(() => undefined)) ?? this.told.get(uuid)?.record
    if (!record) return
    const live = { node: uuid, state: record.provisionState, progress: (record.agent && progress) ?? null }
    this.told.set(uuid, { key: keyOf(progress), look: this.looks, record, live })
  }
}

function once<T>(make: (seq: number) => T): (seq: number) => T {
  const made = new Map<number, T>()
  return (seq) => {
    const found = made.has(seq) ? (made.get(seq) as T) : make(seq)
    made.set(seq, found)
    return found
  }
}

/** Null: the watcher may see none of them. */
function withText(piece: Piece<ToldProgress> | undefined) {
  if (!piece) return undefined
  const { rows, upToSeq } = piece
  const of = (some: readonly ToldProgress[]) => textOf({ progress: some.map(({ live }) => live) })
  const forAll = of(rows)
  const textFor = (sees: Watcher['sees']): string | null => {
    const seen = rows.filter(({ record }) => sees(record))
    return seen.length === 0 ? null : seen.length === rows.length ? forAll : of(seen)
  }
  return { upToSeq, textFor }
}

type Shown = NonNullable<LiveProgress['progress']>

/** In steps of a thousandth: what nobody sees is no change. */
const shownOf = ({ phase, doneBytes, totalBytes }: Progress): Shown => ({
  phase,
  part: totalBytes > 0 ? Math.round(1000 * Math.min(1, doneBytes / totalBytes)) / 1000 : null,
})
const keyOf = (shown: Shown | undefined): string => (shown ? `${shown.part} ${shown.phase}` : '')

/** Without an id: the stream goes on after the last event that is kept. */
const textOf = (message: object): string => `event: live\ndata: ${JSON.stringify(message)}\n\n`
