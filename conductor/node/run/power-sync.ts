/** What the power of every node truly is, read anew every 30 seconds. One BMC that is dead delays no other; one that
 *  stays dead takes its node out of service, and one that comes back puts it in again. Nothing is forced back: what
 *  somebody did at the server is told, not undone. */
import { setMaxListeners } from 'node:events'
import { asFault, isFault, type Fault } from '../../../kit/fault.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Log } from '../../../kit/log.ts'
import type { Bmc, Power } from '../../bmc/controller.ts'
import type { Health } from '../../bmc/parts/inventory.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { runHolding } from '../../holding.ts'
import { ownerAlone, type NodeOwner } from '../../store/owner.ts'
import type { Store } from '../../store/port.ts'
import { nodeSlices } from '../../store/slices.ts'
import { usesAgent } from '../policy/drivers.ts'
import type { PollSeen } from '../query/account.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import { STATES } from '../workflow/states.ts'
import type { ReadEnd } from './bmc-events/doorbell.ts'
import type { Polled } from './bmc-events/watch.ts'
import type { Worker } from './worker.ts'

interface PowerSyncParts {
  readonly store: Store
  readonly worker: Worker
  readonly bmcQueue: BmcQueue
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  readonly log: Log
  readonly everyMs: number
  /** Failed polls in a row after which a BMC counts as lost (Ironic's power_state_sync_max_retries). */
  readonly lostAfter: number
  /** Absent: there is no other conductor. */
  readonly owner?: NodeOwner | undefined
}

/** A poll that could not be begun by then is given up; that is not its BMC's failure. */
const POLL_LIMIT_MS = 10 * 60_000
/** Polls are let go in portions over this part of the interval, so that thousands do not come at once. */
const SPREAD = 0.8
const PORTION_MS = 1_000
const MIN_PORTION = 250

export interface Pass {
  /** BMCs that were asked. */
  readonly asked: number
  readonly failed: number
  /** Could not be asked: something more urgent was under way, or this machine could not. */
  readonly notAsked: number
  readonly tookMs: number
}

/** `change`: it was asked, and is otherwise than it was known to be. A fault: why it was not asked. */
type End = 'ok' | 'change' | 'failed' | 'gone' | Fault

export class PowerSync {
  private readonly parts: PowerSyncParts
  private readonly owner: NodeOwner
  private readonly seen = new Map<string, PollSeen>()
  private readonly lastAskedMs = new Map<string, number>()
  private readonly pending = new Set<string>()
  private readonly passes = new Set<Promise<unknown>>()
  private readonly abort = new AbortController()
  private running: Promise<void> | undefined
  last: Pass | undefined
  /** Hears of every BMC that answered. */
  onPolled: (uuid: string, polled: Polled) => void = () => undefined

  constructor(parts: PowerSyncParts) {
    this.parts = parts
    this.owner = parts.owner ?? ownerAlone(() => true)
    // Every poll under way listens for the end: that is no leak.
    setMaxListeners(0, this.abort.signal)
  }

  start(): void {
    if (this.parts.everyMs > 0) this.running = this.loop()
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('the conductor stops'))
    await this.running
    await Promise.allSettled(this.passes)
  }

  of = (uuid: string): PollSeen | undefined => this.seen.get(uuid)

  forget = (uuid: string): void => [this.seen, this.lastAskedMs].forEach((known) => known.delete(uuid))

  /** Asks every node once, those first that were not asked for the longest time. A node whose last poll still waits is
   *  left to that one. */
  async pass(spreadMs = 0): Promise<Pass> {
    const { clock, log } = this.parts
    const startMs = clock.now()
    const uuids = await this.inOrder()
    const portion = Math.max(MIN_PORTION, Math.ceil((uuids.length * PORTION_MS) / Math.max(PORTION_MS, spreadMs)))
    const polls: Promise<End>[] = []
    for (let from = 0; from < uuids.length && !this.abort.signal.aborted; from += portion) {
      if (from > 0) await clock.sleep(spreadMs > 0 ? PORTION_MS : 0, this.abort.signal).catch(() => undefined)
      for (const uuid of uuids.slice(from, from + portion)) if (!this.pending.has(uuid)) polls.push(this.poll(uuid))
    }
    const ends = await Promise.all(polls)
    const failed = ends.filter((end) => end === 'failed').length
    const notAsked = ends.filter((end) => isFault(end))
    this.last = {
      asked: failed + ends.filter((end) => end === 'ok' || end === 'change').length,
      failed,
      notAsked: notAsked.length,
      tookMs: clock.now() - startMs,
    }
    const own = notAsked.filter(({ code }) => code !== 'bmc.busy')
    if (own[0])
      log.error({ bmcs: own.length, fault: own[0].code }, `the power of some BMCs could not be read: ${own[0].message}`)
    return this.last
  }

  /** Reads one node now, because its BMC has announced something. What fails is left to the next poll. */
  async look(uuid: string): Promise<ReadEnd> {
    if (this.abort.signal.aborted) return 'gone'
    if (this.pending.has(uuid)) return 'later'
    const node = await this.parts.store.node(uuid).catch(() => undefined)
    if (!node) return 'gone'
    if (isLocked(node) || node.workflow.bmcTask?.hush) return 'later'
    const end = await this.poll(uuid, true)
    if (isFault(end)) return 'later'
    return end === 'change' || end === 'gone' ? end : 'same'
  }

  private async inOrder(): Promise<string[]> {
    const uuids: string[] = []
    for await (const nodes of nodeSlices(this.parts.store, { includeChildren: true })) {
      for (const node of nodes) if (wanted(node) && this.owner.mine(node)) uuids.push(node.uuid)
      if (this.abort.signal.aborted) return []
    }
    const askedMs = (uuid: string) => this.lastAskedMs.get(uuid) ?? 0
    return uuids.sort((a, b) => askedMs(a) - askedMs(b))
  }

  private async poll(uuid: string, isAnnounced = false): Promise<End> {
    this.pending.add(uuid)
    try {
      return await this.ask(uuid, isAnnounced)
    } finally {
      this.pending.delete(uuid)
    }
  }

  private async ask(uuid: string, isAnnounced: boolean): Promise<End> {
    // As it is now: the pass may have begun a while ago.
    const node = await this.parts.store.node(uuid).catch((error: unknown) => asFault(error, 'run.failed'))
    if (isFault(node)) return this.abort.signal.aborted ? 'gone' : node
    if (!node || !wanted(node) || !this.owner.mine(node)) return 'gone'
    return this.owner.holding(node, () => this.askOf(node, isAnnounced))
  }

  private async askOf(node: NodeRecord, isAnnounced: boolean): Promise<End> {
    const { store, bmcQueue, bmcs, clock, worker } = this.parts
    const { uuid } = node
    try {
      const options = { priority: 'poll', timeoutMs: POLL_LIMIT_MS, signal: this.abort.signal } as const
      const target = bmcs.target(node)
      const { power, health } = await bmcQueue.run(target, options, poll)
      this.lastAskedMs.set(uuid, clock.now())
      const wasAway = (this.seen.get(uuid)?.failures ?? 0) > 0
      this.seen.set(uuid, { okAtMs: clock.now(), failures: 0, fault: null })
      const state = power === 'on' ? 'power on' : 'power off'
      const felt = health === undefined ? {} : { health }
      const isNew = node.powerState !== state || (health !== undefined && node.health !== health)
      if (isNew || node.fault === 'power failure')
        await worker.dispatch(uuid, {
          type: 'polled',
          power: state,
          pendingVersion: node.workflow.pendingVersion,
          ...felt,
        })
      // What begins here lasts longer than this poll.
      runHolding(undefined, () => this.onPolled(uuid, { target, isChange: isNew && !isAnnounced, wasAway }))
      return isNew ? 'change' : 'ok'
    } catch (error) {
      if (this.abort.signal.aborted || isFault(error, 'object.missing')) return 'gone'
      const fault = asFault(error, 'run.failed')
      // What this machine could not do, or had no time for, is not the BMC's failure.
      if (!fault.code.startsWith('bmc.') || fault.code === 'bmc.busy') return fault
      // The BMC may have begun to update itself while it was asked.
      const now = await store.node(uuid)
      if (!now || now.workflow.bmcTask?.hush) return 'gone'
      // An event may come while the BMC is busy with what it announces: only polls count, which come at their own pace.
      if (!isAnnounced) await this.failed(uuid, fault)
      return 'failed'
    }
  }

  private async failed(uuid: string, fault: Fault): Promise<void> {
    const { clock, lostAfter, worker, log } = this.parts
    const before = this.seen.get(uuid)
    const failures = (before?.failures ?? 0) + 1
    this.lastAskedMs.set(uuid, clock.now())
    this.seen.set(uuid, { okAtMs: before?.okAtMs ?? null, failures, fault: fault.detail, code: fault.code })
    // Also later than at once: the node may have been busy then.
    if (failures >= lostAfter)
      await worker
        .dispatch(uuid, { type: 'poll-lost', fault: { code: fault.code, text: fault.message, retry: fault.retry } })
        .catch((why: unknown) => log.error({ node: uuid, err: why }, 'a lost BMC could not be noted'))
  }

  /** One pass after the other, also where some of the last one's BMCs still wait for their turn. */
  private async loop(): Promise<void> {
    const { clock, log, everyMs } = this.parts
    while (!this.abort.signal.aborted) {
      await clock.sleep(everyMs, this.abort.signal).catch(() => undefined)
      if (this.abort.signal.aborted) return
      const pass: Promise<unknown> = this.pass(everyMs * SPREAD)
        .catch((error: unknown) => log.error({ err: error }, 'a pass of the power sync broke'))
        .finally(() => this.passes.delete(pass))
      this.passes.add(pass)
    }
  }
}

/** The power, and the health where it comes in the same request. */
const poll = async (
  bmc: Bmc,
  signal: AbortSignal,
  giveWay: AbortSignal,
): Promise<{ power: Power; health?: Health | null }> =>
  bmc.pollHealth ? bmc.pollHealth(signal) : { power: await bmc.poll(signal, giveWay) }

/** Nodes whose credentials were tried, and fake ones that were given a power state; in maintenance those alone that a
 *  lost BMC put there. */
const wanted = (node: NodeRecord): boolean =>
  !STATES[node.provisionState].unverified &&
  !isLocked(node) &&
  // A BMC that updates itself does not answer, which says nothing about it.
  !node.workflow.bmcTask?.hush &&
  (usesAgent(node) || node.powerState !== null) &&
  (!node.maintenance || node.fault === 'power failure')
