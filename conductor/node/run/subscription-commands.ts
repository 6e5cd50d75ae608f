/** What users do with the event subscriptions of a node's BMC: for receivers of their own, such as Metal3's. */
import { partOf } from '../../bmc/controller.ts'
import type { Subscriptions, SubscriptionView, WantedSubscription } from '../../bmc/parts/subscriptions.ts'
import { locked } from '../policy/guards.ts'
import { isLocked, type NodeRecord } from '../record.ts'
import type { BmcCommandsParts } from './bmc-commands.ts'
import { reachable } from './reach.ts'

const COMMAND_TIMEOUT_MS = 60_000

export class SubscriptionCommands {
  private readonly parts: BmcCommandsParts

  constructor(parts: BmcCommandsParts) {
    this.parts = parts
  }

  list = (node: NodeRecord): Promise<SubscriptionView> => this.onBmc(node, (all, signal) => all.list(signal))

  show = (node: NodeRecord, id: string): Promise<SubscriptionView> =>
    this.onBmc(node, (all, signal) => all.show(id, signal))

  /** The record holds the host alone: a path or a header may be a secret. */
  async create(node: NodeRecord, wanted: WantedSubscription): Promise<SubscriptionView> {
    await this.note(node, { what: 'event subscription', create: new URL(wanted.destination).host })
    return this.onBmc(node, (all, signal) => all.create(wanted, signal))
  }

  async remove(node: NodeRecord, id: string): Promise<void> {
    await this.note(node, { what: 'event subscription', delete: id })
    await this.onBmc(node, (all, signal) => all.remove(id, signal))
  }

  private note(node: NodeRecord, detail: Record<string, unknown>): Promise<void> {
    if (isLocked(node)) throw locked(node)
    const { store, clock } = this.parts
    return store.journal.add({ atMs: clock.now(), nodeUuid: node.uuid, kind: 'bmc-act', detail })
  }

  private onBmc<T>(node: NodeRecord, act: (all: Subscriptions, signal: AbortSignal) => Promise<T>): Promise<T> {
    const options = { priority: 'operator', timeoutMs: COMMAND_TIMEOUT_MS } as const
    return this.parts.bmcQueue.run(reachable(this.parts, node), options, (bmc, signal) =>
      act(partOf(bmc, 'subscriptions'), signal),
    )
  }
}
