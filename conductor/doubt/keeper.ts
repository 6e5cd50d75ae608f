/** Whether this conductor may act: not until the boot rooms have said what they know, and not while one of them knows
 *  more than the database. The conductors of a database know it of each other. */
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { parsedOr } from '../../kit/json.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import type { Random } from '../../kit/random.ts'
import type { NodeOwner } from '../store/owner.ts'
import type { Store } from '../store/port.ts'
import { OwnClaim } from './own-claim.ts'
import {
  FIRST,
  STANDING,
  STANDING_NAME,
  standingOf,
  withAcceptance,
  withClaim,
  withoutRoom,
  type Claim,
  type StoreTrust,
  type TrustBody,
} from './standing.ts'
import { claimant, whyClosed } from './words.ts'
import { changeStanding } from './written.ts'

export interface DoubtParts {
  readonly objects: Pick<Store['objects'], 'add' | 'put' | 'find'>
  /** The hostname of this conductor. */
  readonly conductor: string
  /** Undefined: no other conductor can open this store. */
  readonly owner: Pick<NodeOwner, 'tell' | 'listen'> | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Pick<Log, 'warn' | 'info'>
  /** Boot rooms dial this conductor: its word that it works tells the others that they were asked. */
  readonly hearsRooms: boolean
  /** An event of the journal. */
  readonly tell: (kind: string, detail: Record<string, unknown>) => void
}

type Trusting = 'open' | 'waiting' | 'doubt'

export interface DoubtListener {
  /** It may act. `anew`: the database was in doubt, or has another incarnation, so that everything is told again. */
  readonly opened?: (anew: boolean) => void
  /** It may act no more. */
  readonly closed?: () => void
  /** The database is older than what a room knows. */
  readonly doubted?: () => void
}

/** A room dials again within this time, when a conductor is back. */
export const WAIT_MS = 20_000
/** What another conductor found is known at the latest then. */
const LOOK_MS = 2_000

export class DoubtKeeper {
  private readonly parts: DoubtParts
  private standing: StoreTrust = FIRST
  /** Rooms that have not said yet what they know. */
  private awaited = new Set<string>()
  /** The database may be another one than before: what this conductor knows of it counts for nothing. */
  private asksAnew = false
  /** Rooms that were heard since the connection to the database was lost last; undefined: it never was. */
  private heardAnew: Set<string> | undefined
  /** Another database may answer: its record may have an older version than the one that is known. */
  private anyVersion = false
  private readonly own = new OwnClaim((claim) => this.claim(claim))
  /** Who knows more, while the database does not take that down. */
  private readonly unsaved = new Set<string>()
  private cancelWait: () => void = () => undefined
  private loop: Loop | undefined
  private was: Trusting = 'open'
  private readonly listeners: DoubtListener[] = []

  constructor(parts: DoubtParts) {
    this.parts = parts
  }

  /** Throws `store.damaged`. */
  async load(): Promise<void> {
    this.standing = standingOf(await this.parts.objects.find(STANDING, STANDING_NAME))
    this.was = this.state
  }

  /** Nothing is acted on before these rooms have spoken, some time has passed, or another conductor of this database,
   *  which has asked them before, says that it works. */
  wait(rooms: readonly string[]): void {
    this.awaited = new Set(rooms)
    this.look()
  }

  /** The connection to the database was lost, and what answers now may be older. Other conductors do not know it
   *  either: it is for the rooms to say. */
  askAnew(rooms: readonly string[]): void {
    this.heardAnew = new Set()
    this.anyVersion = true
    if (rooms.length === 0) return
    this.asksAnew = true
    this.wait([...this.awaited, ...rooms])
    this.countDown()
  }

  /** Whether what this conductor knows counts beside what this room says. */
  knowsBeside = (room: string): boolean => this.heardAnew?.has(room) ?? true

  /** The database has come less far than this conductor has seen itself: another one answers, or it lost changes. */
  olderThanSeen({ seq: lastSeq, seen: seq }: { readonly seq: number; readonly seen: number }): void {
    const { conductor: room, clock } = this.parts
    const { epoch } = this.standing
    this.anyVersion = true
    this.heardAnew = new Set()
    this.own.make({ room, who: 'conductor', epoch, seq, lastSeq, atMs: clock.now(), by: room, count: 0, nodes: [] })
  }

  /** Rooms can dial now: those that do not are waited for no longer than this. */
  countDown(): void {
    if (this.awaited.size === 0) return
    this.cancelWait()
    this.cancelWait = this.parts.clock.after(WAIT_MS, () => void this.waited())
  }

  /** As long as the database does not answer, no room can be heard. */
  private async waited(): Promise<void> {
    const answers = await this.refresh().then(
      () => true,
      () => false,
    )
    if (!answers) return this.countDown()
    if (this.awaited.size === 0) return
    this.parts.log.info({ rooms: [...this.awaited] }, 'boot rooms that did not dial are waited for no longer')
    this.endWait()
  }

  start(): void {
    const { owner, clock, log } = this.parts
    const onError = (error: unknown) => log.warn({ err: error }, 'whether the database is in doubt cannot be read')
    owner?.listen({ told: (text) => this.hear(text), missed: () => void this.refresh().catch(onError) })
    this.loop = new Loop({ clock, everyMs: LOOK_MS, onError }, async () => {
      await this.own.tell()
      await this.refresh()
      if (this.awaited.size > 0 && !this.asksAnew) await owner?.tell([JSON.stringify({ doubt: 'ask' })])
    })
  }

  async stop(): Promise<void> {
    this.cancelWait()
    await this.loop?.stop()
  }

  get epoch(): number {
    return this.standing.epoch
  }

  get now(): StoreTrust {
    return this.standing
  }

  get inDoubt(): boolean {
    return this.standing.claims.length > 0
  }

  /** Rooms that are waited for, while nothing else keeps this conductor from its work. */
  get waitsFor(): readonly string[] {
    return this.inDoubt ? [] : [...this.awaited]
  }

  get isOpen(): boolean {
    return this.state === 'open'
  }

  private get state(): Trusting {
    return this.inDoubt ? 'doubt' : this.awaited.size + this.unsaved.size > 0 ? 'waiting' : 'open'
  }

  /** Why nothing is acted on; undefined: it is. */
  get why(): string | undefined {
    const { awaited, unsaved, asksAnew } = this
    return whyClosed({ claims: this.standing.claims, unsaved, awaited, wasLost: asksAnew, waitMs: WAIT_MS })
  }

  /** Throws `store.doubt`. */
  mayAct = (): void => {
    const { why } = this
    if (why !== undefined) throw new Fault('store.doubt', why)
  }

  listen = (listener: DoubtListener): void => void this.listeners.push(listener)

  /** A room has said what it knows, and knows nothing newer. */
  heard(room: string): void {
    this.heardAnew?.add(room)
    if (this.unsaved.delete(room)) this.look()
    if (this.awaited.delete(room) && this.awaited.size === 0) this.endWait()
  }

  /** A room, or this conductor, knows more than the database. */
  async claim(claim: Claim): Promise<void> {
    const name = claimant(claim)
    this.heardAnew?.add(name)
    const before = this.anyVersion ? undefined : this.standing.claims.find((one) => claimant(one) === name)
    // One that dials again and again costs nothing.
    if (before && before.epoch === claim.epoch && before.seq === claim.seq && before.count === claim.count)
      return void this.awaited.delete(name)
    // It holds at once, and also while the database takes nothing.
    this.unsaved.add(name)
    this.look()
    const { claims } = await this.change((standing) => withClaim(standing, claim))
    // The database was accepted meanwhile.
    if (!claims.some((one) => claimant(one) === name)) return this.heard(name)
    this.unsaved.delete(name)
    this.awaited.delete(name)
    this.look()
    if (before) return
    const { epoch, seq, lastSeq, count } = claim
    this.parts.log.warn(
      { room: name, epoch, seq, lastSeq, nodes: count },
      'the database is older than what is known of it',
    )
    this.parts.tell('store-doubt', { room: name, epoch, seq, lastSeq, nodes: count })
  }

  /** What this room said counts no longer. */
  async forget(room: string): Promise<void> {
    this.heard(room)
    if (!this.standing.claims.some((claim) => claimant(claim) === room)) return
    await this.change((standing) => withoutRoom(standing, room))
  }

  /** The records are to be believed. `version`: of what the operator saw. Throws `object.conflict`. */
  async accept(at: { readonly by: string; readonly version: number }): Promise<StoreTrust> {
    const atMs = this.parts.clock.now()
    const changed = await this.change((standing) => {
      if (standing.claims.length === 0) throw new Fault('object.conflict', 'the database is not in doubt')
      if (standing.version !== at.version)
        throw new Fault('object.conflict', 'what boot rooms say has changed since it was read: look at it again')
      return withAcceptance(standing, { by: at.by, atMs })
    })
    const { epoch, accepted } = changed
    this.parts.tell('store-accepted', { by: at.by, epoch, rooms: accepted?.rooms ?? [] })
    return changed
  }

  private async change(change: (standing: StoreTrust) => TrustBody): Promise<StoreTrust> {
    const standing = await changeStanding(this.parts, change)
    this.take(standing)
    await this.parts.owner?.tell([JSON.stringify({ doubt: 'look' })]).catch(() => undefined)
    return standing
  }

  /** What other conductors wrote is known afterwards. */
  async refresh(): Promise<void> {
    this.take(standingOf(await this.parts.objects.find(STANDING, STANDING_NAME)))
  }

  private hear(text: string): void {
    const { doubt } = (parsedOr(text, undefined) ?? {}) as { doubt?: unknown }
    const { owner, hearsRooms } = this.parts
    if (doubt === 'ask' && hearsRooms && this.isOpen)
      void owner?.tell([JSON.stringify({ doubt: 'open' })]).catch(() => undefined)
    if (doubt === 'look') void this.refresh().catch(() => undefined)
    if (doubt === 'open' && this.awaited.size > 0 && !this.asksAnew) this.endWait()
  }

  private endWait(): void {
    this.cancelWait()
    this.awaited.clear()
    this.asksAnew = false
    this.look()
  }

  private take(standing: StoreTrust): void {
    // What was read earlier may arrive later.
    if (!this.anyVersion && (standing.version ?? -1) < (this.standing.version ?? -1)) return
    this.anyVersion = false
    const isOther = standing.epoch !== this.standing.epoch
    this.standing = standing
    this.look(isOther)
  }

  private look(isOther = false): void {
    const { state, was } = this
    this.was = state
    for (const { opened, closed, doubted } of this.listeners) {
      if (state !== 'open' && was === 'open') closed?.()
      if (state === 'doubt' && was !== 'doubt') doubted?.()
      if (state === 'open' && (was !== 'open' || isOther)) opened?.(was === 'doubt' || isOther)
    }
  }
}
