/** What is true now and is not kept: how far deploy agents are, and what the mesh reports. It is compared once a second
 *  for all who watch, and each is sent what changed, in messages of bounded size. Who did not read in time is sent
 *  everything anew later: nothing waits for it in memory. */
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { inPieces } from '../../kit/pieces.ts'
import type { Progress } from '../api/agent-wire.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { Store } from '../store/port.ts'
import { MeshWatch, type MeshAsks } from './mesh-watch.ts'

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
/** Nodes of which one message tells; the others follow a second later. */
const AT_ONCE = 200

export interface LiveParts {
  readonly store: Pick<Store, 'node'>
  readonly sightings: Pick<Sightings, 'progressed'>
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

export class LiveFeed {
  private readonly parts: LiveParts
  private readonly watchers = new Map<Watcher, { isBehind: boolean }>()
  private readonly told = new Map<string, ToldProgress>()
  private readonly mesh: MeshWatch | undefined
  private looks = 0
  private running = false

  constructor(parts: LiveParts) {
    this.parts = parts
    this.mesh = parts.link && new MeshWatch(parts.link, parts.clock)
  }

  /** Until the answer is called. */
  follow(watcher: Watcher): () => void {
    this.watchers.set(watcher, { isBehind: true })
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
    const changed = await this.changedProgress()
    const ofMesh = this.mesh?.news() ?? []
    for (const [watcher, at] of this.watchers) {
      const nodes = (at.isBehind ? [...this.told.values()] : changed).filter(({ record }) => watcher.sees(record))
      const progress = inPieces(nodes, AT_ONCE).map((piece) => ({ progress: piece.map(({ live }) => live) }))
      const mesh = !watcher.seesMesh ? [] : at.isBehind ? (this.mesh?.all() ?? []) : ofMesh
      at.isBehind = ![...progress, ...mesh].every((message) => watcher.send(textOf(message)))
    }
  }

  /** Of the nodes whose progress is another one than they were told with, those that have waited longest. */
  private async changedProgress(): Promise<ToldProgress[]> {
    this.looks += 1
    const now = new Map([...this.parts.sightings.progressed()].map(([uuid, one]) => [uuid, shownOf(one)] as const))
    const changed = [...new Set([...now.keys(), ...this.told.keys()])]
      .filter((uuid) => this.told.get(uuid)?.key !== keyOf(now.get(uuid)))
      .sort((a, b) => (this.told.get(a)?.look ?? 0) - (this.told.get(b)?.look ?? 0))
      .slice(0, AT_ONCE)
    const told = await Promise.all(changed.map((uuid) => this.tell(uuid, now.get(uuid))))
    return told.filter((one) => one !== undefined)
  }

  private async tell(uuid: string, progress: Shown | undefined): Promise<ToldProgress | undefined> {
    // A record that cannot be read is out of service: the board says so.
    const record = (await this.parts.store.node(uuid).catch(() => undefined)) ?? this.told.get(uuid)?.record
    this.told.delete(uuid)
    if (!record) return undefined
    const live = { node: uuid, state: record.provisionState, progress: (record.agent && progress) ?? null }
    const told = { key: keyOf(progress), look: this.looks, record, live }
    if (progress) this.told.set(uuid, told)
    return told
  }
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
