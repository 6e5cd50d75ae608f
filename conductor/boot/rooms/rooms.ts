/** The conductor's side of boot rooms: which there are, which are connected, and what is known of them. */
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { Log } from '../../../kit/log.ts'
import type { Random } from '../../../kit/random.ts'
import type { Config } from '../../config.ts'
import type { SegmentSeen } from '../../node/query/explain-rooms.ts'
import { roomKey, type BootToken } from '../token.ts'
import type { BootEvent } from '../wire.ts'
import type { RoomHub } from './hub.ts'
import {
  CERTIFICATE_DAYS,
  newCertificate,
  ROOM_NAME,
  withCertificate,
  type Bundle,
  type RoomRecord,
  type RoomRecords,
} from './records.ts'
import { Redials } from './redials.ts'
import { RoomSession, type RoomHello } from './session.ts'
import type { HeldClient, RoomSettings } from './wire.ts'

export interface RoomsParts {
  readonly config: Pick<Config, 'rooms' | 'boot' | 'agent'>
  readonly conductor: string
  readonly pin: string
  readonly tokenKey: Buffer
  readonly records: RoomRecords
  readonly hub: RoomHub
  readonly clock: Clock
  readonly random: Random
  readonly log: Pick<Log, 'warn' | 'info'>
  readonly onEvent: (event: BootEvent) => void
  /** What a room knows, before it is told anything. Throws for one that is not to be served. */
  readonly onHeld: (room: string, hello: RoomHello, held: readonly HeldClient[]) => Promise<void>
  /** A room is removed: what it said counts no longer. */
  readonly onRemoved: (room: string) => Promise<void>
  /** Something happened to a room: an event of the journal. */
  readonly tell: (kind: string, detail: Record<string, unknown>) => void
}

/** What was heard of a room by other conductors holds for so long. */
const HEARD_MS = 90_000
const NOTE_MS = 30_000
const MAX_ROOMS = 2_000
/** Rooms that an agent is told of. */
const MAX_NEAR = 4
/** A rack that deploys one image asks for each of its nodes. */
const NEAR_FRESH_MS = 2_000

export interface RoomNow extends RoomRecord {
  readonly isConnected: boolean
  /** When any conductor heard of it last; null: none ever did. */
  readonly heardAtMs: number | null
}

export class Rooms {
  private readonly parts: RoomsParts
  private readonly sessions = new Map<string, RoomSession>()
  private readonly redials: Redials
  private cancelNote: () => void = () => undefined
  private near: { readonly atMs: number; readonly rooms: Promise<RoomNow[]> } | undefined

  constructor(parts: RoomsParts) {
    this.parts = parts
    this.redials = new Redials(parts.clock, (name) => void this.tellLeft(name))
  }

  start(): void {
    this.cancelNote = this.parts.clock.after(NOTE_MS, () => {
      void this.noteAll()
        .catch((error: Error) => this.parts.log.warn({ error: error.message }, 'what is heard of boot rooms'))
        .finally(() => this.start())
    })
  }

  stop(): void {
    this.cancelNote()
    this.cancelNote = () => undefined
    this.redials.stop()
    for (const session of this.sessions.values()) session.end()
  }

  async states(): Promise<RoomNow[]> {
    return (await this.parts.records.all()).map((room) => this.stateOf(room))
  }

  /** Throws `object.missing`. */
  async state(name: string): Promise<RoomNow> {
    return this.stateOf(await this.parts.records.get(name))
  }

  /** The segments in which a node has ports, with the rooms that are to serve them. */
  async segmentsOf(nodeUuid: string): Promise<SegmentSeen[]> {
    const names = this.parts.hub.segmentsOf(nodeUuid)
    const rooms = names.length === 0 ? [] : await this.states()
    return names.map((name) => ({ name, rooms: rooms.filter(({ segments }) => segments.includes(name)) }))
  }

  /** Where a node may have files of the conductors nearer: its rooms that are connected, whose order spreads nodes over
   *  them. Never throws: a node that is told of none asks the conductor. */
  readonly nearOf = async (nodeUuid: string): Promise<string[]> => {
    const names = this.parts.hub.segmentsOf(nodeUuid)
    const rooms = names.length === 0 ? [] : await this.nearStates()
    return rooms
      .filter(({ isConnected, segments }) => isConnected && segments.some((segment) => names.includes(segment)))
      .toSorted((a, b) => (orderOf(nodeUuid, a.name) < orderOf(nodeUuid, b.name) ? -1 : 1))
      .flatMap(({ heard }) => (heard ? [`http://${heard.address}:${heard.port}`] : []))
      .slice(0, MAX_NEAR)
  }

  /** A moment old at most. */
  private nearStates(): Promise<RoomNow[]> {
    const nowMs = this.parts.clock.now()
    if (!this.near || Math.abs(nowMs - this.near.atMs) > NEAR_FRESH_MS)
      this.near = { atMs: nowMs, rooms: this.states().catch(() => []) }
    return this.near.rooms
  }

  /** Throws `input.invalid`, `object.conflict`. */
  async add({ name, segments, days }: { name: string; segments: readonly string[]; days?: number }): Promise<Bundle> {
    const { records, clock, random, hub, tell } = this.parts
    if (!ROOM_NAME.test(name))
      throw new Fault('input.invalid', 'name: a boot room has up to 32 lower-case letters, digits and dashes')
    const odd = segments.find((one) => hub.segmentOf(one) === undefined)
    if (odd !== undefined || segments.length === 0)
      throw new Fault('input.invalid', `segments: ${odd ?? 'none'} is not one of rooms.segments in the configuration`)
    const all = await records.all()
    if (all.length >= MAX_ROOMS) throw new Fault('object.conflict', `there are ${MAX_ROOMS} boot rooms already`)
    const made = await newCertificate(name, { days: days ?? CERTIFICATE_DAYS, nowMs: clock.now() })
    const { pin, expiresAtMs } = made
    const room = { name, uuid: random.uuid(), segments: [...new Set(segments)], certificates: [{ pin, expiresAtMs }] }
    await records.add(room, clock.now())
    tell('room', { room: name, what: 'added', segments })
    return this.bundle(name, made)
  }

  /** A new certificate; the one of before holds until this one is seen. */
  async renew(name: string, days = CERTIFICATE_DAYS): Promise<Bundle> {
    const { records, clock, tell } = this.parts
    await records.get(name)
    const made = await newCertificate(name, { days, nowMs: clock.now() })
    const { pin, expiresAtMs } = made
    await records.change(name, clock.now(), (room) => withCertificate(room, { pin, expiresAtMs }))
    tell('room', { room: name, what: 'renewed' })
    return this.bundle(name, made)
  }

  /** Its certificate is refused from now on. */
  async remove(name: string): Promise<void> {
    await this.parts.records.get(name)
    // First: of a room that is no more, nobody could take back what it said.
    await this.parts.onRemoved(name)
    await this.parts.records.remove(name)
    this.sessions.get(name)?.end()
    // What it said until it was removed counts no longer either.
    await this.parts.onRemoved(name)
    this.parts.tell('room', { room: name, what: 'removed' })
  }

  /** Those that are connected here dial again, and say what they know. Answers their names. */
  redial(): string[] {
    const names = [...this.sessions.keys()]
    for (const name of names) this.redials.begin(name)
    for (const session of this.sessions.values()) session.end()
    return names
  }

  /** Everything anew, to all that are connected here. */
  tellAll(): void {
    for (const session of this.sessions.values()) session.tellAll()
  }

  /** Throws `agent.token` for a token of a room that is no more, or for a node that is none of the room's. */
  readonly checkToken = async ({ room: name, nodeUuid }: BootToken): Promise<void> => {
    if (name === undefined) return
    const room = await this.parts.records.find(name)
    if (!room) throw new Fault('agent.token', `the boot token is of the boot room ${name}, which is no more`)
    if (!this.parts.hub.isIn(new Set(room.segments), nodeUuid))
      throw new Fault('agent.token', `the boot token is of the boot room ${name}, which does not serve this node`)
  }

  /** Where the nodes of a room reach it; undefined: it is not connected. */
  readonly placeOf = (name: string): { readonly address: string; readonly port: number } | undefined =>
    this.sessions.get(name)?.address

  readonly onLink = (room: RoomRecord, socket: Socket): void => {
    const { hub, clock, log, onEvent } = this.parts
    const session: RoomSession = new RoomSession({
      socket,
      room,
      hub,
      clock,
      log,
      onEvent,
      onTotals: () => undefined,
      welcome: (hello) => this.welcome(room, hello),
      onHeld: (hello, held) => this.parts.onHeld(room.name, hello, held),
      takenOf: async (queue) => {
        const { queue: kept } = await this.parts.records.get(room.name)
        return kept?.name === queue ? kept.taken : 0
      },
      keepTaken: async (queue, taken) => {
        await this.parts.records.change(room.name, clock.now(), () => ({ queue: { name: queue, taken } }))
      },
      onEnd: () => void this.left(room.name, session),
    })
    // Of one that dials again the connection of before is dead.
    this.sessions.get(room.name)?.end()
    this.sessions.set(room.name, session)
    session.start()
  }

  private async welcome(room: RoomRecord, hello: RoomHello): Promise<RoomSettings> {
    const { records, clock, conductor, log, tell } = this.parts
    const heard = {
      atMs: clock.now(),
      by: conductor,
      address: hello.address,
      port: hello.port,
      ...hello.mark,
      connected: true,
    }
    // A new certificate was used: the one of before is void.
    const [shown] = room.certificates
    await records.change(room.name, clock.now(), (now) => ({
      heard,
      ...(now.certificates[0]?.pin === shown?.pin ? { certificates: now.certificates.slice(0, 1) } : {}),
    }))
    log.info({ room: room.name, address: hello.address }, 'a boot room is connected')
    if (!this.redials.back(room.name)) tell('room', { room: room.name, what: 'connected', address: hello.address })
    return this.settingsOf(room)
  }

  private settingsOf({ name, segments }: RoomRecord): RoomSettings {
    const { config, pin, tokenKey, hub } = this.parts
    const { boot, agent } = config
    if (!boot || !agent) throw new Fault('config.invalid', 'rooms: boot and agent must both be there')
    const { kernel, initrd, rescueInitrd, kernelArgs, architecture, ramdisks, routerAdvertisements } = boot
    return {
      agent,
      pin,
      tokenKey: roomKey(tokenKey, name).toString('base64'),
      boot: { kernel, initrd, rescueInitrd, kernelArgs, architecture, ramdisks, routerAdvertisements },
      segments: segments.flatMap((one) => hub.segmentOf(one) ?? []),
    }
  }

  private async left(name: string, session: RoomSession): Promise<void> {
    if (this.sessions.get(name) !== session) return
    this.sessions.delete(name)
    if (!this.redials.has(name)) await this.tellLeft(name)
  }

  private async tellLeft(name: string): Promise<void> {
    this.parts.tell('room', { room: name, what: 'left' })
    await this.note(name, false).catch(() => undefined)
  }

  private async noteAll(): Promise<void> {
    const there = new Map((await this.parts.records.all()).map((room) => [room.name, room]))
    for (const [name, session] of this.sessions) {
      const room = there.get(name)
      // It was removed, or given other segments, perhaps by another conductor.
      const isSame =
        room &&
        room.segments.length === session.segments.size &&
        room.segments.every((one) => session.segments.has(one))
      if (isSame) await this.note(name, true)
      else session.end()
    }
  }

  private async note(name: string, connected: boolean): Promise<void> {
    const { records, clock, hub } = this.parts
    await records.change(name, clock.now(), ({ heard }) =>
      heard ? { heard: { ...heard, ...(connected ? hub.mark : {}), atMs: clock.now(), connected } } : {},
    )
  }

  private stateOf(room: RoomRecord): RoomNow {
    const { clock } = this.parts
    const { heard } = room
    const isConnected =
      this.sessions.has(room.name) || (heard !== null && heard.connected && clock.now() - heard.atMs < HEARD_MS)
    return { ...room, isConnected, heardAtMs: heard?.atMs ?? null }
  }

  private bundle(name: string, { cert, key, expiresAtMs }: { cert: string; key: string; expiresAtMs: number }): Bundle {
    return { room: name, pins: [this.parts.pin], cert, key, expiresAt: new Date(expiresAtMs).toISOString() }
  }
}

const orderOf = (nodeUuid: string, room: string): string =>
  createHash('sha256').update(`${nodeUuid} ${room}`).digest('hex')
