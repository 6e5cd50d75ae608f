/** Who works on which node, and who has which duty, where several conductors share the database: what the rest of the
 *  conductor asks and hears of slots. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import { runHolding, type BmcSession, type Holding } from '../../holding.ts'
import { DUTIES, type Duty, type NodeHolder, type NodeKey, type NodeOwner, type OwnerListener } from '../owner.ts'
import { SLOTS, slotOf } from '../slot.ts'
import { Bells } from './bells.ts'
import type { Connections } from './connect.ts'
import { FormerSessions } from './former-sessions.ts'
import { Members, type Member, type Slot } from './members.ts'
import { Slots } from './slots.ts'

/** No group of nodes can have this name. */
const DUTY_GROUP = '/duties'

export interface OwnershipParts {
  /** For leases, which never wait for the others. */
  readonly own: Connections
  readonly connections: Connections
  readonly clock: Clock
  readonly monotonic: Clock
  readonly me: Member
}

const NOT_OURS = 'another conductor may have this node now'

export class Ownership implements NodeOwner {
  private readonly slots: Slots
  private readonly bells: Bells
  private readonly members: Members
  private readonly former: FormerSessions
  private readonly group: string
  private readonly listeners: OwnerListener[] = []

  constructor({ own, connections, clock, monotonic, me }: OwnershipParts) {
    this.group = me.group
    this.bells = new Bells(connections, clock, me.owner)
    this.members = new Members(connections)
    this.former = new FormerSessions(new Members(own), monotonic)
    this.slots = new Slots({
      members: new Members(own),
      clock,
      monotonic,
      me,
      groups: new Map([
        [me.group, SLOTS],
        [DUTY_GROUP, DUTIES.length],
      ]),
      onTaking: (slots) => this.former.load(slots),
      onTaken: () => this.each((listener) => listener.taken?.()),
      onLeaving: () => this.leave(),
      ring: this.bells.slots,
    })
  }

  /** Throws `store.locked` while a conductor that shares with nobody has the database. */
  async start(): Promise<void> {
    await this.slots.start()
    this.bells.start({
      node: (bell) => this.each((listener) => listener.changed?.(bell)),
      slots: this.slots.look,
      told: (text) => this.each((listener) => listener.told?.(text)),
      missed: () => this.each((listener) => listener.missed?.()),
    })
  }

  async stop(): Promise<void> {
    await this.slots.stop()
    await this.bells.stop()
  }

  get trouble(): string | undefined {
    return this.slots.trouble
  }

  mine = (node: NodeKey): boolean => this.slotOf(node) !== undefined

  holds = (duty: Duty): boolean => this.slots.of(DUTY_GROUP, DUTIES.indexOf(duty)) !== undefined

  ring = (uuid: string, gone: readonly string[] = []): void => this.bells.node(uuid, gone)

  tell = (texts: readonly string[]): Promise<void> => this.bells.tell(texts)

  listen = (listener: OwnerListener): void => void this.listeners.push(listener)

  async holding<T>(node: NodeKey, work: () => Promise<T>): Promise<T> {
    const slot = this.slotOf(node)
    if (!slot) throw new Fault('store.locked', NOT_OURS)
    const { group, id, token } = slot
    const holding: Holding = {
      group,
      slot: id,
      token,
      still: () => this.still(slot),
      check: (session) => this.check(slot, node.uuid, session),
      former: this.former.of(node.uuid),
      closed: (session) => this.former.closed(node.uuid, token, session),
      lost: () => this.slots.lost(slot),
    }
    return runHolding(holding, work)
  }

  holderOf = ({ uuid, conductorGroup = '' }: NodeKey): NodeHolder => {
    const id = slotOf(uuid)
    const slot = this.slots.seen.find((seen) => seen.group === conductorGroup && seen.id === id)
    const living = this.slots.living.filter(({ group }) => group === conductorGroup)
    const owner = slot?.isFree ? undefined : this.slots.living.find((member) => member.owner === slot?.owner)
    return { hostname: owner?.hostname ?? null, living: living.length }
  }

  elsewhere = ({ conductorGroup = '' }: NodeKey): string[] | undefined => {
    if (conductorGroup === this.group) return undefined
    return this.slots.living.filter(({ group }) => group === conductorGroup).map(({ hostname }) => hostname)
  }

  private slotOf({ uuid, conductorGroup = '' }: NodeKey): Slot | undefined {
    return conductorGroup === this.group ? this.slots.of(this.group, slotOf(uuid)) : undefined
  }

  /** The server's word, in the same breath as the command: no clock here tells that the whole machine was stopped. */
  private async check(slot: Slot, node: string, session: BmcSession | undefined): Promise<void> {
    const asked = session ? this.members.isHeldFor(slot, node, session) : this.members.isHeld(slot)
    const isHeld = await asked.catch((error: unknown) => {
      if (isFault(error, 'store.locked')) this.slots.lost(slot)
      throw new Fault('store.locked', NOT_OURS, { cause: error })
    })
    if (!isHeld) throw new Fault('store.locked', NOT_OURS)
    this.still(slot)
  }

  /** By this conductor's own clock. */
  private still({ group, id, token }: Slot): void {
    if (this.slots.of(group, id)?.token !== token) throw new Fault('store.locked', NOT_OURS)
  }

  private async leave(): Promise<boolean> {
    const ends = await Promise.all(this.listeners.map(async (listener) => (await listener.leaving?.()) ?? true))
    return ends.every(Boolean)
  }

  private each(tell: (listener: OwnerListener) => void): void {
    for (const listener of this.listeners) tell(listener)
  }
}
