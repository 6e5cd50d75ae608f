/** The queue of nodes that wait for admission: follows every change of a node, lets the next ones begin, and says to
 *  the others which place they have. One conductor admits for all that share a store. */
import type { Clock } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import { Loop } from '../../kit/loop.ts'
import type { Log } from '../../kit/log.ts'
import type { NodeRecord } from '../node/record.ts'
import type { QueuePlace, Sightings } from '../node/query/sightings.ts'
import type { StepEvent } from '../node/workflow/events.ts'
import { STATES } from '../node/workflow/states.ts'
import { nodeSlices } from '../store/slices.ts'
import type { Store } from '../store/port.ts'
import { adapt, adaptedAt, type Adapted, type Range } from './aimd.ts'
import type { PlaceEvents } from './place-events.ts'
import { decide, RESOURCES, type Bounds, type Scarce, type Takes, type Waiting } from './decide.ts'
import { isTimed, standingOf } from './standing.ts'

export interface AdmissionConfig {
  readonly boots: Range
  readonly writes: Range
  readonly perRack: number | null
  readonly perGroup: number | null
}

export interface AdmissionParts {
  readonly store: Pick<Store, 'nodes' | 'node'>
  readonly sightings: Pick<Sightings, 'queued'>
  readonly dispatch: (uuid: string, event: StepEvent) => Promise<NodeRecord>
  readonly events: Pick<PlaceEvents, 'tell'>
  /** Whether this conductor admits; the others only know the places. */
  readonly onDuty: () => boolean
  readonly config: AdmissionConfig
  readonly clock: Clock
  readonly log: Log
}

export interface AdmissionState {
  readonly bounds: Bounds
  readonly running: Readonly<Record<Scarce, number>>
  readonly waiting: readonly (QueuePlace & {
    readonly uuid: string
    readonly priority: number
    readonly sinceMs: number
  })[]
}

const ROUND_MS = 1_000
/** What was missed is found by then. */
const REREAD_MS = 60_000
/** At once: each is a transaction, and others want the store too. */
const AT_ONCE = 8

interface Timing {
  /** Of a state whose end tells whether there were too many. */
  readonly began: {
    readonly atMs: number
    readonly usualMs: number | null
    readonly resources: readonly Scarce[]
  } | null
}

export class AdmissionQueue {
  private readonly parts: AdmissionParts
  private readonly waiting = new Map<string, Waiting>()
  private readonly running = new Map<string, Takes>()
  private readonly seen = new Map<string, Timing>()
  private readonly versions = new Map<string, number>()
  private readonly admitting = new Set<string>()
  private readonly adapted: Record<Scarce, Adapted>
  private held: AdmissionState['waiting'] = []
  /** How long a place was held, about. */
  private turnMs: number | null = null
  private readAtMs = Number.NEGATIVE_INFINITY
  private loop: Loop | undefined
  private isAsked = false
  /** Every node was looked at: before that, nobody knows how many are at work. */
  private isWhole = false

  constructor(parts: AdmissionParts) {
    this.parts = parts
    this.adapted = { boots: adaptedAt(parts.config.boots), writes: adaptedAt(parts.config.writes) }
  }

  start(): void {
    const { clock, log } = this.parts
    const onError = (error: unknown) => log.error({ err: error }, 'admission could not be decided; it is tried again')
    this.loop = new Loop({ clock, everyMs: ROUND_MS, onError }, () => this.round())
  }

  async stop(): Promise<void> {
    await this.loop?.stop()
  }

  /** After every change of a node, here or by another conductor. */
  changed(node: NodeRecord): void {
    if (node.version < (this.versions.get(node.uuid) ?? 0)) return
    this.measure(node)
    this.place(node)
    if (this.waiting.size === 0 || this.isAsked || this.loop === undefined) return
    // All changes of one moment are one decision, and nobody waits for the next round.
    this.isAsked = true
    setImmediate(() => {
      this.isAsked = false
      void this.admit().catch((error: unknown) => this.parts.log.warn({ err: error }, 'admission'))
    })
  }

  forget(uuid: string): void {
    for (const map of [this.waiting, this.running, this.seen, this.versions]) map.delete(uuid)
  }

  state(): AdmissionState {
    const running = { boots: 0, writes: 0 }
    for (const { resources } of this.running.values()) for (const resource of resources) running[resource] += 1
    return { bounds: this.bounds(), running, waiting: this.held }
  }

  async round(): Promise<void> {
    const { store, clock } = this.parts
    if (clock.now() - this.readAtMs >= REREAD_MS) {
      this.readAtMs = clock.now()
      const there = new Set<string>()
      for await (const nodes of nodeSlices(store, { includeChildren: true }))
        for (const node of nodes) {
          there.add(node.uuid)
          if (node.version >= (this.versions.get(node.uuid) ?? 0)) this.place(node)
        }
      for (const uuid of [...this.waiting.keys(), ...this.running.keys()]) if (!there.has(uuid)) this.forget(uuid)
      this.isWhole = true
    }
    await this.admit()
  }

  private place(node: NodeRecord): void {
    const { uuid } = node
    const standing = standingOf(node)
    this.waiting.delete(uuid)
    this.running.delete(uuid)
    if (standing.is === 'waiting') this.waiting.set(uuid, standing.waiting)
    else this.parts.sightings.queued(uuid, undefined)
    if (standing.is === 'running') this.running.set(uuid, standing.takes)
    if (standing.is === 'out') this.versions.delete(uuid)
    else this.versions.set(uuid, node.version)
  }

  /** A node that leaves the state in which it took places tells how long that was. */
  private measure(node: NodeRecord): void {
    const { uuid, provisionState, provisionUpdatedAtMs } = node
    const before = this.seen.get(uuid)?.began
    const takes = this.running.get(uuid)
    const now = isTimed(node) ? (provisionUpdatedAtMs ?? 0) : null
    if (before && now !== before.atMs) {
      const failed = STATES[provisionState].kind === 'failed'
      const tookMs = (provisionUpdatedAtMs ?? before.atMs) - before.atMs
      if (!failed) this.turnMs = this.turnMs === null ? tookMs : 0.8 * this.turnMs + 0.2 * tookMs
      const sample = { tookMs, usualMs: before.usualMs, failed, felt: this.waiting.size > 0 }
      for (const resource of before.resources) this.learn(resource, sample)
      this.seen.delete(uuid)
    }
    if (now === null || this.seen.has(uuid)) return
    const standing = standingOf(node)
    const resources = standing.is === 'running' ? standing.takes.resources : (takes?.resources ?? [])
    const { usual } = node.workflow
    if (resources.length > 0)
      this.seen.set(uuid, { began: { atMs: now, usualMs: usual?.expectedMs ?? usual?.medianMs ?? null, resources } })
  }

  private learn(resource: Scarce, sample: Parameters<typeof adapt>[1]): void {
    const { limit } = this.adapted[resource]
    this.adapted[resource] = adapt(this.adapted[resource], sample, this.parts.config[resource])
    const now = this.adapted[resource].limit
    if (now !== limit) this.parts.log.info({ resource, before: limit, now }, 'how many begin at once was adapted')
  }

  private bounds(): Bounds {
    const { perRack, perGroup } = this.parts.config
    return { boots: this.adapted.boots.limit, writes: this.adapted.writes.limit, perRack, perGroup }
  }

  private async admit(): Promise<void> {
    if (!this.isWhole) return
    const { clock, onDuty } = this.parts
    const bounds = this.bounds()
    const waiting = [...this.waiting.values()].filter(({ uuid }) => !this.admitting.has(uuid))
    // Those that are being admitted take their places already.
    const begun = [...this.waiting.values()].filter(({ uuid }) => this.admitting.has(uuid))
    const { admit, held } = decide(waiting, [...this.running.values(), ...begun], { bounds, nowMs: clock.now() })
    this.tell(held, bounds)
    if (!onDuty()) return
    await this.parts.events.tell(this.held, clock.now())
    const rest = [...admit]
    for (const uuid of rest) this.admitting.add(uuid)
    const one = async (): Promise<void> => {
      for (let uuid = rest.shift(); uuid !== undefined; uuid = rest.shift()) await this.begin(uuid)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
  }

  private async begin(uuid: string): Promise<void> {
    const { dispatch, log } = this.parts
    try {
      this.changed(await dispatch(uuid, { type: 'admitted' }))
    } catch (error) {
      // It was deleted, or does not wait any more: the next look at it tells.
      if (isFault(error, 'object.missing')) this.forget(uuid)
      else if (isFault(error, 'store.stale')) await this.look(uuid)
      else log.warn({ node: uuid, err: error }, 'a node could not be admitted; it is tried again')
    } finally {
      this.admitting.delete(uuid)
    }
  }

  private async look(uuid: string): Promise<void> {
    const node = await this.parts.store.node(uuid)
    if (node) this.place(node)
    else this.forget(uuid)
  }

  /** Each waiting node knows its place, and about when its turn comes. */
  private tell(held: ReturnType<typeof decide>['held'], bounds: Bounds): void {
    const atOnce = Math.max(1, Math.min(...RESOURCES.map((resource) => bounds[resource])))
    this.held = held.flatMap(({ uuid, place, why }) => {
      const one = this.waiting.get(uuid)
      if (!one) return []
      const leftMs = this.turnMs === null ? null : Math.ceil(place / atOnce) * this.turnMs
      const at: QueuePlace = { place, of: held.length, leftMs, why }
      this.parts.sightings.queued(uuid, at)
      return [{ uuid, priority: one.priority, sinceMs: one.sinceMs, ...at }]
    })
  }
}
