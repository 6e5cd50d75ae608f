/** The slots that this conductor leases: of the nodes of its group, and of the duties that all conductors of a database
 *  share. Renews them, takes its share of what is free, and gives back what is more. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { WAIT_MS, type Member, type Members, type LeasedSlot, type Slot } from './members.ts'
import { share } from './share.ts'

const RENEW_MS = 3_000
/** Between two looks at what is free. */
const LOOK_MS = 1_000
/** Without a renewal for this long, nothing is begun any more. */
const HELD_MS = 9_000
const AGAIN_MS = 500

interface Held extends Slot {
  renewedAtMs: number
  /** It is being given back: nothing is begun. */
  isLeaving: boolean
}

export interface SlotParts {
  readonly members: Members
  readonly clock: Clock
  readonly monotonic: Clock
  readonly me: Member
  /** Slots of each group that this conductor takes part in. */
  readonly groups: ReadonlyMap<string, number>
  /** Before anything is begun there. Throws: they are taken once more later. */
  readonly onTaking: (slots: readonly Slot[]) => Promise<void>
  readonly onTaken: (slots: readonly Slot[]) => void
  /** Ends what is under way there. False: it goes on, so the slots are kept for now. */
  readonly onLeaving: (slots: readonly Slot[]) => Promise<boolean>
  readonly ring: () => Promise<void>
}

const keyOf = ({ group, id }: Pick<Slot, 'group' | 'id'>): string => `${id} ${group}`

export class Slots {
  private readonly parts: SlotParts
  private readonly held = new Map<string, Held>()
  private readonly abort = new AbortController()
  private renewedAtMs = Number.NEGATIVE_INFINITY
  private running: Promise<void> | undefined
  private giving: Promise<void> | undefined
  private wake: () => void = () => undefined
  living: readonly Member[] = []
  seen: readonly LeasedSlot[] = []
  /** Why nothing is leased now; undefined: it is. */
  trouble: string | undefined

  constructor(parts: SlotParts) {
    this.parts = parts
  }

  /** Throws `store.locked` while a conductor that shares with nobody has the database, or one with this one's name. */
  async start(): Promise<void> {
    const { members, clock, monotonic, groups } = this.parts
    const endMs = monotonic.now() + WAIT_MS + AGAIN_MS
    while (!(await members.share())) {
      if (monotonic.now() > endMs)
        throw new Fault('store.locked', 'another conductor has this database alone: see store.postgres.conductors')
      await clock.sleep(AGAIN_MS)
    }
    await this.join(endMs)
    for (const [group, count] of groups) await members.addSlots(group, count)
    await this.round()
    this.running = this.loop()
  }

  /** The caller has ended everything that it had begun. Gives all back, so that nobody need wait. */
  async stop(): Promise<void> {
    const { members, me, ring } = this.parts
    this.abort.abort(new Error('the store is closed'))
    this.wake()
    await this.running
    await this.giving
    await members.give(me.owner, [...this.held.values()]).catch(() => undefined)
    await members.leave(me.owner).catch(() => undefined)
    this.held.clear()
    await ring()
  }

  /** The lease of a slot in which something may be begun now. */
  of(group: string, id: number): Slot | undefined {
    const held = this.held.get(keyOf({ group, id }))
    if (!held || held.isLeaving) return undefined
    return this.parts.monotonic.now() - held.renewedAtMs < HELD_MS ? held : undefined
  }

  /** Another conductor has it. */
  lost(slot: Slot): void {
    if (this.held.get(keyOf(slot))?.token === slot.token) this.held.delete(keyOf(slot))
  }

  /** Something was given back, or a conductor came or went: looks at once. */
  look = (): void => this.wake()

  private async join(endMs: number): Promise<void> {
    const { members, clock, monotonic, me } = this.parts
    for (;;) {
      const other = await members.join(me)
      if (other === undefined) return
      if (monotonic.now() > endMs)
        throw new Fault('store.locked', `a conductor of the name ${me.hostname} works on this database: ${other}`)
      await clock.sleep(AGAIN_MS)
    }
  }

  private async loop(): Promise<void> {
    const { clock, ring } = this.parts
    const { signal } = this.abort
    // The others give their surplus back.
    await ring()
    while (!signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(LOOK_MS, resolve)
        this.wake = () => {
          cancel()
          resolve()
        }
        if (signal.aborted) this.wake()
      })
      if (signal.aborted) return
      await this.round().catch((error: Error) => (this.trouble = error.message))
    }
  }

  private async round(): Promise<void> {
    const { members, groups, monotonic } = this.parts
    if (monotonic.now() - this.renewedAtMs >= RENEW_MS) await this.renew()
    ;[this.living, this.seen] = [await members.living(), await members.slots()]
    for (const group of groups.keys()) await this.balance(group)
  }

  private async renew(): Promise<void> {
    const { members, monotonic, me } = this.parts
    const sent = [...this.held.values()]
    const sentAtMs = monotonic.now()
    const renewed = await members.renew(me, sent)
    this.trouble = renewed ? undefined : 'a conductor that shares with nobody has taken the database over'
    const kept = new Set(renewed?.map(keyOf))
    for (const slot of sent)
      if (kept.has(keyOf(slot))) slot.renewedAtMs = sentAtMs
      else this.lost(slot)
    if (renewed) this.renewedAtMs = sentAtMs
    else await members.share()
  }

  private async balance(group: string): Promise<void> {
    const { members, monotonic, me, groups } = this.parts
    const isNode = group === me.group
    const living = this.living.filter((member) => !isNode || member.group === group).map(({ owner }) => owner)
    const slots = this.seen.filter((slot) => slot.group === group && slot.id < (groups.get(group) ?? 0))
    const mine = [...this.held.values()].filter((slot) => slot.group === group)
    const leaving = new Set(mine.filter(({ isLeaving }) => isLeaving).map(({ id }) => id))
    const held = new Set(mine.filter(({ isLeaving }) => !isLeaving).map(({ id }) => id))
    const { take, give } = share({ me: me.owner, living, slots, held, leaving })

    if (take.length > 0) {
      const sentAtMs = monotonic.now()
      const taken = await members.take(me.owner, group, take)
      if (taken.length > 0) await this.parts.onTaking(taken)
      for (const slot of taken) this.held.set(keyOf(slot), { ...slot, renewedAtMs: sentAtMs, isLeaving: false })
      if (taken.length > 0) this.parts.onTaken(taken)
    }
    if (give.length > 0) this.giveBack(mine.filter(({ id }) => give.includes(id)))
  }

  /** Beside the renewals, which go on for the slots until nothing is under way there. */
  private giveBack(slots: readonly Held[]): void {
    const { members, me, onLeaving, ring } = this.parts
    for (const slot of slots) slot.isLeaving = true
    const give = async () => {
      try {
        if (!(await onLeaving(slots))) return
        await members.give(me.owner, slots)
        for (const slot of slots) this.lost(slot)
        await ring()
      } catch (error) {
        this.trouble = (error as Error).message
      } finally {
        // Those that were not given back are tried again.
        for (const slot of slots) slot.isLeaving = false
      }
    }
    this.giving = Promise.resolve(this.giving).then(give)
  }
}
