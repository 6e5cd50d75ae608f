/** Loads, steps, saves, performs, clears. One mailbox per node: nothing about a node happens twice at once here, and
 *  what another conductor saved meanwhile is read and stepped again. Effects are stored before they run and cleared
 *  after, so a conductor that dies anywhere goes on where it was. */
import { setMaxListeners } from 'node:events'
import { asFault, Fault, isFault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import { Turns } from '../../../kit/turns.ts'
import { untilFresh } from '../../store/again.ts'
import { ownerAlone, type NodeBell, type NodeOwner } from '../../store/owner.ts'
import type { NewEvent, Store } from '../../store/port.ts'
import type { Effect } from '../effect.ts'
import type { NodeRecord } from '../record.ts'
import { waitsForAdmission } from '../policy/admission.ts'
import type { Move, Settings } from '../workflow/context.ts'
import { changesOf } from '../query/history.ts'
import type { Sightings } from '../query/sightings.ts'
import type { EffectFound, StepEvent } from '../workflow/events.ts'
import { step } from '../workflow/step.ts'
import { Deadlines } from './deadlines.ts'
import { untilTry } from './next-try.ts'
import { recall } from './recall.ts'
import { Underway } from './underway.ts'
import { withUsual } from './usual-watch.ts'

export interface Performer {
  /** Performs one effect. May be repeated after a crash. Throws faults; `retry` ones are tried again. The signal:
   *  nobody wants it any more. */
  perform(effect: Effect, node: NodeRecord, signal: AbortSignal): Promise<EffectFound | undefined>
}

/** Makes the event of the record as it is when its turn comes. */
export type EventMaker = (node: NodeRecord) => StepEvent | Promise<StepEvent>

type Changed =
  NodeRecord | { readonly node: NodeRecord; readonly moves: readonly Move[]; readonly events?: readonly NewEvent[] }

export interface WorkerParts {
  readonly store: Store
  readonly clock: Clock
  /** Never set: tells by how much the other one was. */
  readonly monotonic: Clock
  readonly log: Log
  readonly settings: Settings
  readonly performer: Performer
  readonly sightings: Sightings
  /** Time between two looks at what is due; a second if it is left out. */
  readonly tickMs?: number
  /** After every change of a node that was saved. */
  readonly onChange: (node: NodeRecord) => void
  /** Another conductor changed a node. */
  readonly onHeard?: (uuid: string, gone: readonly string[]) => void
  /** Absent: there is no other conductor. */
  readonly owner?: NodeOwner | undefined
}

const SAVE_AGAIN_MS = 500
const STOP_MS = 2_000
/** For what is under way on nodes that are given back. */
const LEAVE_MS = 5_000
/** Less than what a lease leaves between its end and the next owner. */
const WATCH_MS = 500

export class Worker {
  private readonly parts: WorkerParts
  private readonly mailboxes = new Turns()
  private readonly changing = new Set<Promise<unknown>>()
  private readonly runners = new Map<string, Promise<void>>()
  private readonly underway = new Underway()
  private readonly abort = new AbortController()
  private readonly owner: NodeOwner
  private readonly deadlines: Deadlines
  private stopWatching: () => void = () => undefined
  private taking: Promise<void> = Promise.resolve()

  constructor(parts: WorkerParts) {
    this.parts = parts
    this.owner = parts.owner ?? ownerAlone(() => true)
    this.deadlines = new Deadlines(
      {
        ...parts,
        owner: this.owner,
        dispatch: (uuid, event) => this.dispatch(uuid, event),
        onDue: (node) => this.kick(node),
      },
      this.abort.signal,
    )
    // Every node that waits for its next try listens for the end: that is no leak.
    setMaxListeners(0, this.abort.signal)
  }

  /** Takes up everything that was owed or waited for when the last conductor ended. */
  async start(): Promise<void> {
    this.deadlines.begin()
    const broken = (error: unknown) => this.parts.log.error({ err: error }, 'nodes could not be taken up at once')
    this.owner.listen({
      changed: (bell) => this.heard(bell),
      taken: () => void this.takeUp().catch(broken),
      missed: () => void this.takeUp((node) => this.parts.onChange(node)).catch(broken),
      leaving: () => this.leave(),
    })
    await this.takeUp()
    this.deadlines.start()
    this.watchOwner()
  }

  /** A node became ours, or another conductor changed it. */
  async wake(uuid: string): Promise<void> {
    this.deadlines.changed(uuid)
    const node = await this.parts.store.node(uuid)
    if (!node) return
    // Another conductor was told to abandon what is owed.
    if (node.workflow.pendingEffects.length === 0) this.underway.abandon(uuid, 'nothing is owed any more')
    this.parts.onChange(node)
    this.kick(node)
  }

  /** What another conductor changed. */
  private heard({ uuid, gone }: NodeBell): void {
    this.parts.onHeard?.(uuid, gone)
    this.wake(uuid).catch((error: unknown) => this.parts.log.warn({ node: uuid, err: error }, 'a changed node'))
  }

  /** Nodes that are ours: at the start, and when others gave them up. */
  private takeUp(onEach: (node: NodeRecord) => void = () => undefined): Promise<void> {
    const take = async () => {
      this.deadlines.taken()
      for (const node of await this.parts.store.everyNode()) {
        onEach(node)
        if (!this.owner.mine(node) || this.abort.signal.aborted) continue
        await recall(node, this.parts)
        this.kick(node)
      }
    }
    // What is due is found by the deadlines as well.
    this.taking = this.taking.then(take, take)
    return this.taking
  }

  /** Ends what was begun on nodes that are not ours any more. False: something does not end. */
  private async leave(): Promise<boolean> {
    const left = this.interrupt('another conductor takes this node over').flatMap(
      (uuid) => this.runners.get(uuid) ?? [],
    )
    const ended = Promise.allSettled(left).then(() => true)
    return Promise.race([ended, this.parts.clock.sleep(LEAVE_MS).then(() => false)])
  }

  async stop(): Promise<void> {
    this.stopWatching()
    this.abort.abort(new Error('the conductor stops'))
    this.underway.interrupt(() => true, this.abort.signal.reason)
    await this.deadlines.ended()
    // An effect that cannot be interrupted is performed again by the next conductor.
    await Promise.race([Promise.allSettled(this.runners.values()), this.parts.clock.sleep(STOP_MS)])
    await Promise.all(this.changing)
  }

  /** Moves a node by one event. Throws the refusal, after it saved what came with it. */
  async dispatch(uuid: string, event: StepEvent | EventMaker): Promise<NodeRecord> {
    let refusal: Fault | undefined
    const saved = await this.change(uuid, async (node) => {
      const moves: Move[] = []
      const made = typeof event === 'function' ? await event(node) : event
      const stepped = step(node, made, { nowMs: this.parts.clock.now(), settings: this.parts.settings, moves })
      refusal = 'refused' in stepped ? new Fault(stepped.refused, stepped.why) : undefined
      if (!stepped.node) throw refusal as Fault
      return { node: stepped.node, moves }
    })
    if (refusal) throw refusal
    return saved
  }

  /** Abandons the pending effects of a node: the one under way is interrupted, and its late result is ignored. */
  async breakLock(uuid: string, why: string): Promise<NodeRecord> {
    const node = await this.dispatch(uuid, { type: 'break-lock', why })
    this.underway.abandon(uuid, why)
    return node
  }

  /** Changes a node in its mailbox. What `change` throws changes nothing. When another conductor was faster, `change`
   *  gets the record as that one left it, some times. Throws `store.moved` when others were faster every time. */
  change(uuid: string, change: (node: NodeRecord) => Changed | Promise<Changed>): Promise<NodeRecord> {
    const turn = this.mailboxes.take(uuid, () => untilFresh(() => this.changeOnce(uuid, change)))
    const ended = turn.catch(() => undefined).finally(() => this.changing.delete(ended))
    this.changing.add(ended)
    return turn
  }

  private async changeOnce(
    uuid: string,
    change: (node: NodeRecord) => Changed | Promise<Changed>,
  ): Promise<NodeRecord> {
    const node = await this.parts.store.node(uuid)
    if (!node) throw new Fault('object.missing', `there is no node ${uuid}`)
    const changed = await change(node)
    const { node: next, moves, events = [] } = 'moves' in changed ? changed : { node: changed, moves: [] }
    if (next === node) return node
    const nowMs = this.parts.clock.now()
    const timed = await withUsual(node, next, this.parts)
    const saved = await this.parts.store.putNode({ ...timed, updatedAtMs: nowMs }, [
      ...events,
      ...changesOf(node, next, { atMs: nowMs, moves }),
    ])
    this.deadlines.changed(uuid)
    this.parts.onChange(saved)
    this.owner.ring(uuid)
    this.kick(saved)
    return saved
  }

  /** Ends what was begun on nodes that are no longer ours: their owner begins it again. */
  private watchOwner(): void {
    if (!this.parts.owner || this.abort.signal.aborted) return
    this.interrupt('another conductor may have this node now')
    this.stopWatching = this.parts.clock.after(WATCH_MS, () => this.watchOwner())
  }

  private interrupt(why: string): string[] {
    return this.underway.interrupt((node) => !this.owner.mine(node), new Fault('store.locked', why))
  }

  /** A node is gone. */
  forget(uuid: string): void {
    this.deadlines.changed(uuid)
    this.parts.sightings.forget(uuid)
  }

  private kick(node: NodeRecord): void {
    if (node.workflow.pendingEffects.length === 0 || this.runners.has(node.uuid) || this.abort.signal.aborted) return
    if (!this.owner.mine(node)) return
    // It is somebody else who ends that wait.
    if (this.parts.settings.admission && waitsForAdmission(node)) return
    const runner = this.runOwed(node.uuid)
      .catch((error: unknown) => {
        if (!this.abort.signal.aborted && !isFault(error, 'object.missing'))
          this.parts.log.error({ node: node.uuid, err: error }, 'an effect could not be performed')
      })
      .finally(() => {
        this.runners.delete(node.uuid)
        // Something may have become owed between the last look and now.
        void this.parts.store.node(node.uuid).then(
          (now) => now && this.kick(now),
          () => undefined,
        )
      })
    this.runners.set(node.uuid, runner)
  }

  private async runOwed(uuid: string): Promise<void> {
    for (;;) {
      const node = await this.parts.store.node(uuid)
      const effect = node?.workflow.pendingEffects[0]
      if (!node || !effect || (this.parts.settings.admission && waitsForAdmission(node))) return
      if (!(await untilTry(node, this.parts, this.abort.signal))) continue
      this.abort.signal.throwIfAborted()
      if (!this.owner.mine(node)) return
      await this.owner.holding(node, () => this.perform(node, effect))
    }
  }

  private async perform(node: NodeRecord, effect: Effect): Promise<void> {
    const { log, clock } = this.parts
    const { pendingVersion } = node.workflow
    const unwanted = this.underway.begin(node)
    let event: StepEvent
    try {
      const found = await this.parts.performer.perform(effect, node, unwanted)
      event = { type: 'effect-done', effect, pendingVersion, ...(found ? { found } : {}) }
    } catch (error) {
      this.abort.signal.throwIfAborted()
      // It stays pending: who owns the node performs it.
      if (!this.owner.mine(node) || isFault(error, 'store.locked')) throw error
      const fault = asFault(error, 'run.failed')
      log.warn({ node: node.uuid, effect, fault: fault.code }, fault.detail)
      event = {
        type: 'effect-failed',
        effect,
        pendingVersion,
        fault: { code: fault.code, text: fault.message, retry: fault.retry },
      }
    } finally {
      this.underway.end(node.uuid)
    }
    // A database that cannot be written for a moment (disk full) must not lose what was done.
    for (;;) {
      try {
        await this.dispatch(node.uuid, event)
        return
      } catch (error) {
        // The lock was broken meanwhile: nobody waits for this result.
        if (isFault(error, 'store.stale')) return
        if (!isFault(error, 'store.broken') && !isFault(error, 'store.moved')) throw error
        log.error({ node: node.uuid, err: error }, 'cannot save what was done; trying again')
        await clock.sleep(SAVE_AGAIN_MS, this.abort.signal)
      }
    }
  }
}
