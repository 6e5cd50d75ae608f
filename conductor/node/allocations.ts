/** Allocations: a node is asked for by what it must be, found, and held for its asker (Ironic's allocation API). */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { Turns } from '../../kit/turns.ts'
import type { NodeFilter, ObjectRecord, Store } from '../store/port.ts'
import { untilFresh } from '../store/again.ts'
import { nodeSlices } from '../store/slices.ts'
import { isLocked, type NodeRecord } from './record.ts'
import { modeWaitWhy } from './policy/firmware-target.ts'
import type { Worker } from './run/worker.ts'

export const ALLOCATION = 'allocation'

interface AllocationParts {
  readonly store: Store
  readonly worker: Worker
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly turns: Turns
}

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []

/** An allocation of a project gets nodes that the project owns; one without an owner gets any. */
const ownedAsAsked = ({ body: { owner } }: ObjectRecord) => ({
  includeChildren: true,
  ...(typeof owner === 'string' ? { owner } : {}),
})

/** What a node must be. Pure. */
export function matches(node: NodeRecord, allocation: ObjectRecord): boolean {
  const { resource_class: wanted, owner } = allocation.body
  const candidates = strings(allocation.body.candidate_nodes)
  return (
    node.provisionState === 'available' &&
    node.resourceClass === wanted &&
    node.instanceUuid === null &&
    node.allocationUuid === null &&
    !node.maintenance &&
    !node.retired &&
    node.powerState !== null &&
    !isLocked(node) &&
    modeWaitWhy(node) === undefined &&
    strings(allocation.body.traits).every((trait) => node.traits.includes(trait)) &&
    (candidates.length === 0 || candidates.includes(node.uuid)) &&
    (typeof owner !== 'string' || node.owner === owner)
  )
}

export class Allocations {
  private readonly parts: AllocationParts
  private readonly running = new Map<string, Promise<void>>()

  constructor(parts: AllocationParts) {
    this.parts = parts
  }

  /** Takes up what was being allocated when the last conductor ended, and drops what lost its node. */
  async start(): Promise<void> {
    for (const allocation of await this.parts.store.objects.every(ALLOCATION)) {
      if (allocation.body.state === 'allocating') this.begin(allocation)
      const node = allocation.nodeUuid ? await this.parts.store.node(allocation.nodeUuid) : undefined
      if (allocation.body.state === 'active' && node?.allocationUuid !== allocation.uuid)
        await this.parts.store.objects.remove(ALLOCATION, allocation.uuid)
    }
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.running.values())
  }

  /** Finds a node in the background; the allocation's state tells how it ended. */
  begin(allocation: ObjectRecord): void {
    const run = this.allocate(allocation).catch((error: unknown) =>
      this.parts.log.error({ err: error, allocation: allocation.uuid }, 'an allocation broke'),
    )
    this.running.set(allocation.uuid, run)
    void run.finally(() => this.running.delete(allocation.uuid))
  }

  /** A node with an instance that we did not allocate gets an allocation afterwards (1.58). Throws when it cannot. */
  async backfill(allocation: ObjectRecord, node: NodeRecord): Promise<void> {
    const { traits, resource_class: wanted } = allocation.body
    if (node.provisionState !== 'active')
      throw new Fault(
        'input.invalid',
        `node: node ${node.uuid} is ${node.provisionState}; only active ones are given an allocation afterwards`,
      )
    if (typeof wanted === 'string' && node.resourceClass !== wanted)
      throw new Fault('input.invalid', `resource_class: node ${node.uuid} has ${node.resourceClass}`)
    const lacking = strings(traits).find((trait) => !node.traits.includes(trait))
    if (lacking) throw new Fault('input.invalid', `traits: node ${node.uuid} does not have ${lacking}`)
    await this.parts.worker.change(node.uuid, (now) => {
      if (now.allocationUuid !== null || (now.instanceUuid !== null && now.instanceUuid !== allocation.uuid))
        throw new Fault('object.conflict', `node ${now.uuid} has the instance ${now.instanceUuid} already`)
      return { ...now, allocationUuid: allocation.uuid, instanceUuid: allocation.uuid }
    })
  }

  /** Lets go of the node. Throws `object.conflict` while it is in use. */
  async release(allocation: ObjectRecord): Promise<void> {
    // What is being allocated may hold a node in a moment: it is let go when that is known.
    await this.running.get(allocation.uuid)
    const stored = await this.parts.store.objects.find(ALLOCATION, allocation.uuid)
    if (!stored?.nodeUuid || stored.body.state !== 'active') return
    const node = await this.parts.store.node(stored.nodeUuid)
    if (node?.allocationUuid !== allocation.uuid) return
    await this.parts.worker.change(node.uuid, (now) => {
      if (now.provisionState !== 'available' && !now.maintenance)
        throw new Fault(
          'object.conflict',
          `node ${now.uuid} is ${now.provisionState}: undeploy it, or put it into maintenance`,
        )
      const { traits: _, ...instanceInfo } = now.instanceInfo
      return { ...now, allocationUuid: null, instanceUuid: null, instanceInfo }
    })
  }

  private async allocate(allocation: ObjectRecord): Promise<void> {
    const { random } = this.parts
    const held = await this.held(allocation)
    if (held) return this.finish(allocation, { nodeUuid: held.uuid, state: 'active', why: null })
    const wanted = { resourceClass: String(allocation.body.resource_class), ...ownedAsAsked(allocation) }
    const found = (await this.every({ ...wanted, provisionState: 'available' })).filter((node) =>
      matches(node, allocation),
    )
    // A node of the same name is meant (1.79); otherwise anyone, so that two askers seldom want the same.
    const order = found
      .map((node) => ({ node, key: node.name !== null && node.name === allocation.name ? '' : random.uuid() }))
      .sort((a, b) => a.key.localeCompare(b.key))
    for (const { node } of order) {
      if (!(await this.claim(node, allocation))) continue
      return this.finish(allocation, { nodeUuid: node.uuid, state: 'active', why: null })
    }
    if (await this.held(allocation)) return this.allocate(allocation)
    await this.finish(allocation, { nodeUuid: null, state: 'error', why: await this.whyNone(allocation) })
  }

  /** A conductor that died after the claim, or another one that took it up too, has its node already. The UUID alone
   *  proves nothing: a client may have chosen that of an instance of another project. */
  private async held(allocation: ObjectRecord): Promise<NodeRecord | undefined> {
    const [node] = await this.parts.store.nodes(
      { instanceUuid: allocation.uuid, ...ownedAsAsked(allocation) },
      { limit: 1, sortKey: 'id', descending: false },
    )
    return node?.allocationUuid === allocation.uuid ? node : undefined
  }

  /** Name and extra may have been changed meanwhile: they are read anew. */
  private async finish(
    { uuid }: ObjectRecord,
    end: { nodeUuid: string | null; state: 'active' | 'error'; why: string | null },
  ): Promise<void> {
    const { clock, store, turns } = this.parts
    const writeEnd = async () => {
      const now = await store.objects.find(ALLOCATION, uuid)
      if (!now && end.nodeUuid !== null) await this.letGo(end.nodeUuid, uuid)
      // Another conductor that took it up as well has found a node.
      if (!now || now.body.state === 'active') return
      await store.objects.put({
        ...now,
        nodeUuid: end.nodeUuid,
        updatedAtMs: clock.now(),
        body: { ...now.body, state: end.state, last_error: end.why },
      })
    }
    await turns.take(`${ALLOCATION} ${uuid}`, () => untilFresh(writeEnd))
  }

  /** The allocation was deleted, perhaps at another conductor, while a node was being found for it. */
  private async letGo(nodeUuid: string, uuid: string): Promise<void> {
    await this.parts.worker.change(nodeUuid, (now) => {
      if (now.allocationUuid !== uuid || now.provisionState !== 'available') return now
      const { traits: _, ...instanceInfo } = now.instanceInfo
      return { ...now, allocationUuid: null, instanceUuid: null, instanceInfo }
    })
  }

  private async every(filter: NodeFilter): Promise<NodeRecord[]> {
    const all: NodeRecord[] = []
    for await (const nodes of nodeSlices(this.parts.store, filter)) all.push(...nodes)
    return all
  }

  private async claim(node: NodeRecord, allocation: ObjectRecord): Promise<boolean> {
    try {
      const traits = strings(allocation.body.traits)
      const claimed = await this.parts.worker.change(node.uuid, (now) => {
        if (now.allocationUuid === allocation.uuid) return now
        if (!matches(now, allocation)) return now
        return {
          ...now,
          allocationUuid: allocation.uuid,
          instanceUuid: allocation.uuid,
          instanceInfo: { ...now.instanceInfo, ...(traits.length > 0 ? { traits } : {}) },
        }
      })
      return claimed.allocationUuid === allocation.uuid
    } catch (error) {
      if (isFault(error)) return false
      throw error
    }
  }

  /** Names the requirement that excluded the last candidate: Ironic's words first, which scripts look for, then the
   *  counts. Counts nodes of the allocation's owner alone: how many others have is not its business. */
  private async whyNone(allocation: ObjectRecord): Promise<string> {
    const { resource_class: wanted } = allocation.body
    const candidates = strings(allocation.body.candidate_nodes)
    const ofClass = await this.every({ resourceClass: String(wanted), ...ownedAsAsked(allocation) })
    const asked = candidates.length === 0 ? ofClass : ofClass.filter((node) => candidates.includes(node.uuid))
    const free = asked.filter(
      (node) => node.provisionState === 'available' && node.instanceUuid === null && !node.maintenance,
    )
    if (free.length === 0) {
      const why =
        asked.length === 0 ? 'no node has it' : `none of ${asked.length} is available, free and out of maintenance`
      return candidates.length === 0
        ? `no available nodes match the resource class ${String(wanted)}: ${why}`
        : `none of the requested nodes are available and match the resource class ${String(wanted)}: ${why}`
    }

    const traits = strings(allocation.body.traits)
    const able = free.filter((node) => traits.every((trait) => node.traits.includes(trait)))
    if (able.length === 0)
      return `no suitable nodes have the requested traits ${traits.join(', ')}: none of ${free.length} free nodes has all of them`
    return `could not reserve any of ${able.length} suitable nodes: each is locked, retired, held by another allocation, or its power state is not known`
  }
}
