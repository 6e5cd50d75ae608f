/** What is due although nothing happened: asked of the store every second, whoever saved it. Deadlines are stored by
 *  the wall clock, to outlive a restart, and move with that clock when it is set. */
import { turn, type Clock } from '../../../kit/clock.ts'
import { isFault } from '../../../kit/fault.ts'
import type { Log } from '../../../kit/log.ts'
import type { NodeOwner } from '../../store/owner.ts'
import type { DueNode, Store } from '../../store/port.ts'
import { bootPathOf } from '../query/boot-path.ts'
import { lateText, type Sightings } from '../query/sightings.ts'
import { deadlineAtMs, lateAtMs, type NodeRecord } from '../record.ts'
import type { Settings } from '../workflow/context.ts'
import type { StepEvent } from '../workflow/events.ts'
import { STATES } from '../workflow/states.ts'

export interface DeadlineParts {
  readonly store: Store
  readonly clock: Clock
  /** Never set: tells by how much the other one was. */
  readonly monotonic: Clock
  readonly log: Log
  readonly settings: Settings
  readonly sightings: Sightings
  /** Time between two looks at what is due; a second if it is left out. */
  readonly tickMs?: number | undefined
  readonly owner: Pick<NodeOwner, 'mine' | 'holding'>
  readonly dispatch: (uuid: string, event: StepEvent) => Promise<NodeRecord>
  /** A node of ours that is due: what it owes is performed, if it owes something. */
  readonly onDue: (node: NodeRecord) => void
}

const TICK_MS = 1_000
/** Less is the clock's discipline (NTP) or a busy machine. */
const CLOCK_SET_MS = 2_000
/** Nodes that are asked for at a time. */
const SLICE = 500

export class Deadlines {
  private readonly parts: DeadlineParts
  private readonly abort: AbortSignal
  /** Nodes that are not looked at before this time, although their deadline has passed: their agent works. */
  private readonly notBefore = new Map<string, number>()
  private startedAtMs = 0
  /** Wall clock minus monotonic clock, as it was last looked at. */
  private offsetMs = 0
  private ticking: Promise<void> | undefined

  constructor(parts: DeadlineParts, abort: AbortSignal) {
    this.parts = parts
    this.abort = abort
  }

  /** Before anything is performed. */
  begin(): void {
    this.taken()
    this.offsetMs = this.offset()
  }

  /** Nodes became ours: their agents are given the time to reach us. */
  taken(): void {
    this.startedAtMs = this.parts.clock.now()
  }

  start(): void {
    this.ticking = this.tick()
  }

  /** Resolves when the last look has ended. */
  ended = async (): Promise<void> => this.ticking

  /** The node was changed, or is gone. */
  changed(uuid: string): void {
    this.notBefore.delete(uuid)
  }

  private async tick(): Promise<void> {
    const { clock, log, tickMs } = this.parts
    while (!this.abort.aborted) {
      await this.look().catch((error: unknown) => log.error({ err: error }, 'deadlines could not be read'))
      await clock.sleep(tickMs ?? TICK_MS, this.abort).catch(() => undefined)
    }
  }

  private async look(): Promise<void> {
    await this.followClock()
    const nowMs = this.parts.clock.now()
    for await (const uuid of this.due(nowMs)) {
      if ((this.notBefore.get(uuid) ?? 0) > nowMs) continue
      await this.handle(uuid, nowMs).catch((error: unknown) => {
        // One record that cannot be read holds up no other node.
        if (isFault(error, 'store.damaged')) this.notBefore.set(uuid, Infinity)
        this.parts.log.error({ node: uuid, err: error }, 'a deadline could not be handled')
      })
    }
  }

  private async *due(nowMs: number): AsyncGenerator<string> {
    for (let after: DueNode | undefined; !this.abort.aborted;) {
      const nodes = await this.parts.store.dueNodes(nowMs, { limit: SLICE, after })
      for (const node of nodes) if (this.parts.owner.mine(node)) yield node.uuid
      after = nodes.at(-1)
      if (nodes.length < SLICE) return
      await turn()
    }
  }

  private offset = (): number => this.parts.clock.now() - this.parts.monotonic.now()

  /** When the wall clock is set, deadlines are moved with it: no node's time is over because of it. */
  private async followClock(): Promise<void> {
    const { sightings, log, dispatch } = this.parts
    const byMs = Math.round(this.offset() - this.offsetMs)
    if (Math.abs(byMs) < CLOCK_SET_MS) return
    // Before anything is changed: where the store cannot be read, all of this is tried again.
    const waiting: string[] = []
    for await (const uuid of this.due(Number.MAX_SAFE_INTEGER)) waiting.push(uuid)
    this.offsetMs += byMs
    this.startedAtMs += byMs
    sightings.clockSet(byMs)
    this.notBefore.clear()
    log.warn({ bySeconds: byMs / 1000 }, 'the wall clock was set; the deadlines of nodes move with it')
    for (const uuid of waiting) {
      await dispatch(uuid, { type: 'clock-set', byMs }).catch((error: unknown) =>
        log.error({ node: uuid, err: error }, 'a deadline could not be moved'),
      )
    }
  }

  private async handle(uuid: string, nowMs: number): Promise<void> {
    const { store, settings, sightings, log, dispatch, onDue, owner } = this.parts
    const node = await store.node(uuid)
    if (!node) return
    onDue(node)
    const lateMs = lateAtMs(node)
    if (lateMs !== null && lateMs <= nowMs) return this.tell(uuid)
    const dueMs = deadlineAtMs(node)
    if (!dueMs || dueMs > nowMs) return

    const live = sightings.look(uuid)
    const heardMs = this.heardUntilMs(node)
    // While we make it wait for others that load the ramdisk, its time does not run.
    const waitedMs = node.agent || !live.waiting ? 0 : live.waiting.atMs + settings.callbackTimeoutMs
    // What its agent says meanwhile is not saved, so that the node stays due; nor is its place.
    const laterMs = Math.max(heardMs, waitedMs)
    if (laterMs > nowMs) return void this.notBefore.set(uuid, Math.min(laterMs, lateMs ?? Infinity))
    const event: StepEvent = {
      type: 'deadline',
      agentSeen: node.agent !== null,
      lastSeen: lateText(live, { hasAgent: node.agent !== null, path: bootPathOf(node, live) }),
    }
    await owner
      .holding(node, () => dispatch(uuid, event))
      .catch((error: unknown) => log.error({ node: uuid, err: error }, 'a deadline could not be handled'))
  }

  /** A conductor that was away has heard nobody: an agent, or the system into which one jumped, gets its full time from
   *  our start. What the boot services saw meanwhile comes with their connection. */
  private heardUntilMs(node: NodeRecord): number {
    const { settings, sightings } = this.parts
    if (node.workflow.phase === 'jump') return this.startedAtMs + settings.agentSilenceMs
    if (!node.agent || node.workflow.phase === 'bmc' || STATES[node.provisionState].kind !== 'waiting') return 0
    return Math.max(sightings.look(node.uuid).agentAtMs, this.startedAtMs) + settings.agentSilenceMs
  }

  private async tell(uuid: string): Promise<void> {
    await this.parts
      .dispatch(uuid, { type: 'late' })
      .catch((error: unknown) => this.parts.log.error({ node: uuid, err: error }, 'a long state could not be told'))
  }
}
