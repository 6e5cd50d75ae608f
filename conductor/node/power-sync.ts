/** What the power of every node truly is, read anew every 30 seconds. One BMC that is dead delays no other; one that stays dead takes its node
 *  out of service, and one that comes back puts it in again. Nothing is forced back: what somebody did at the server is told, not undone. */
import { setMaxListeners } from 'node:events'
import { asFault, isFault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Arbiter } from '../bmc/arbiter.ts'
import type { BmcRegistry } from '../bmc/registry.ts'
import type { Store } from '../store/port.ts'
import { nodeSlices } from '../store/slices.ts'
import type { PollSeen } from './explain.ts'
import { isLocked, type NodeRecord } from './record.ts'
import type { Worker } from './worker.ts'

interface PowerSyncParts {
  readonly store: Store
  readonly worker: Worker
  readonly arbiter: Arbiter
  readonly bmcs: BmcRegistry
  readonly clock: Clock
  readonly log: Log
  readonly everyMs: number
  /** Failed polls in a row after which a BMC counts as lost (Ironic's power_state_sync_max_retries). */
  readonly lostAfter: number
}

const POLL_TIMEOUT_MS = 12_000

export interface Pass {
  readonly asked: number
  readonly failed: number
  readonly tookMs: number
}

export class PowerSync {
  private readonly parts: PowerSyncParts
  private readonly seen = new Map<string, PollSeen>()
  private readonly abort = new AbortController()
  private running: Promise<void> | undefined
  last: Pass | undefined

  constructor(parts: PowerSyncParts) {
    this.parts = parts
    // Every poll under way listens for the end: that is no leak.
    setMaxListeners(0, this.abort.signal)
  }

  start(): void {
    if (this.parts.everyMs > 0) this.running = this.loop()
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('the conductor stops'))
    await this.running
  }

  of = (uuid: string): PollSeen | undefined => this.seen.get(uuid)

  forget = (uuid: string): void => void this.seen.delete(uuid)

  /** Asks every node once. */
  async pass(): Promise<Pass> {
    const { store, clock } = this.parts
    const startMs = clock.now()
    const polls: Promise<boolean>[] = []
    for await (const nodes of nodeSlices(store, { includeChildren: true })) {
      for (const node of nodes) if (wanted(node)) polls.push(this.poll(node))
      if (this.abort.signal.aborted) break
    }
    const answered = await Promise.all(polls)
    this.last = { asked: polls.length, failed: answered.filter((ok) => !ok).length, tookMs: clock.now() - startMs }
    return this.last
  }

  private async poll(node: NodeRecord): Promise<boolean> {
    const { arbiter, bmcs, clock, worker, lostAfter } = this.parts
    const before = this.seen.get(node.uuid)
    try {
      const target = bmcs.target(node)
      const power = await arbiter.act(target, { priority: 'poll', timeoutMs: POLL_TIMEOUT_MS, signal: this.abort.signal }, (bmc, signal) => bmc.poll(signal))
      this.seen.set(node.uuid, { okAtMs: clock.now(), failures: 0, fault: null })
      const state = power === 'on' ? 'power on' : 'power off'
      if (node.powerState !== state || node.fault === 'power failure')
        await worker.dispatch(node.uuid, { type: 'polled', power: state, owing: node.machine.owing })
      return true
    } catch (error) {
      if (this.abort.signal.aborted || isFault(error, 'object.missing')) return true
      const fault = asFault(error, 'bmc.unreachable')
      const failures = (before?.failures ?? 0) + 1
      this.seen.set(node.uuid, { okAtMs: before?.okAtMs ?? null, failures, fault: fault.detail })
      // Also later than at once: the node may have been busy then.
      if (failures >= lostAfter)
        await worker
          .dispatch(node.uuid, { type: 'poll-lost', fault: { code: fault.code, text: fault.message, retry: fault.retry } })
          .catch((why: unknown) => this.parts.log.error({ node: node.uuid, err: why }, 'a lost BMC could not be noted'))
      return false
    }
  }

  private async loop(): Promise<void> {
    const { clock, log, everyMs } = this.parts
    while (!this.abort.signal.aborted) {
      await clock.sleep(everyMs, this.abort.signal).catch(() => undefined)
      if (this.abort.signal.aborted) return
      await this.pass().catch((error: unknown) => log.error({ err: error }, 'a pass of the power sync broke'))
    }
  }
}

/** Nodes whose credentials were tried; in maintenance those alone that a lost BMC put there. */
const wanted = (node: NodeRecord): boolean =>
  node.provisionState !== 'enroll' && node.provisionState !== 'verifying' && !isLocked(node) && (!node.maintenance || node.fault === 'power failure')
