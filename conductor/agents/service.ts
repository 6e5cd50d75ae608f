/** What agents may ask: a session for a boot token, the order of the moment, the index of their image, their config drive; and what they report. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { Fault, FAULTS, isFault, type FaultCode } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Random } from '../../kit/random.ts'
import type { ImageStore } from '../../images/store.ts'
import type { Order, Report, SessionAsk, SessionGrant } from '../api/agent-wire.ts'
import type { Inspected } from '../api/inspected.ts'
import { readToken } from '../boot/token.ts'
import { believes } from '../node/workflow/belief.ts'
import { currentStep, hostNameOf, isLocked, orderId, type NodeRecord } from '../node/record.ts'
import type { Sightings } from '../node/query/sightings.ts'
import type { StepEvent } from '../node/workflow/events.ts'
import type { Worker } from '../node/run/worker.ts'
import type { Store } from '../store/port.ts'
import { buildConfigDrive, wantsConfigDrive } from './config-drive.ts'
import { addPorts, linkPorts } from './found-ports.ts'
import { hookData } from './hooks.ts'
import { inspectedProperties, ironicInventory, reportedProperties } from './inspection.ts'
import type { RuleCallParts } from './rule-calls.ts'
import { applyRules } from './apply-rules.ts'

export interface AgentServiceParts {
  readonly store: Store
  readonly worker: Worker
  readonly images: ImageStore
  readonly sightings: Sightings
  readonly tokenKey: Buffer
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** `http://10.0.0.1:8080`, where pieces are served. */
  readonly dataBase: string
  /** How long an inspection waits for announcements of switches. */
  readonly lldpSeconds: number
  /** What api-call of inspection rules may call. */
  readonly calls: RuleCallParts
  /** Ports that one inventory may make, and a config drive, unpacked. */
  readonly limits: { readonly portsPerReport: number; readonly configDriveBytes: number }
}

const MAX_INDEXES = 16
/** Disks whose erasing is kept in the node's record. */
const MAX_ERASED = 64
const NO_SESSION = 'the session is not the one of the node’s present boot'
const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex')

function checkSession(node: NodeRecord, session: string): void {
  const known = node.agent?.sessionHash ?? ''
  const given = hashOf(session)
  if (known.length !== given.length || !timingSafeEqual(Buffer.from(known), Buffer.from(given)))
    throw new Fault('agent.session', NO_SESSION)
}

export class AgentService {
  private readonly parts: AgentServiceParts
  private readonly waiting = new Map<string, Set<() => void>>()
  private readonly indexes = new Map<string, { id: string; text: string; sha256: string }>()

  constructor(parts: AgentServiceParts) {
    this.parts = parts
  }

  /** Trades a boot token for a session. Throws `agent.token` for one that was used, or was minted for another boot. */
  async open(ask: SessionAsk): Promise<SessionGrant> {
    const { worker, clock, store, sightings } = this.parts
    const token = readToken(this.parts.tokenKey, ask.token)
    const session = `${token.nodeUuid}.${ask.secret}`
    const nowMs = clock.now()
    await worker.dispatch(token.nodeUuid, {
      type: 'hello',
      agent: { sessionHash: hashOf(session), generation: token.generation, tokenMs: token.mintedMs, helloAtMs: nowMs },
    })
    const live = sightings.of(token.nodeUuid)
    live.agentAtMs = nowMs
    live.progress = null
    if (sightings.note(token.nodeUuid, 'hello', { atMs: nowMs, detail: '' })) {
      await store.journal.add({
        atMs: nowMs,
        nodeUuid: token.nodeUuid,
        kind: 'seen',
        detail: { step: 'hello', detail: ask.bootMode },
      })
    }
    return { session, nodeUuid: token.nodeUuid, nowMs }
  }

  /** The node whose session this is. Throws `agent.session`. */
  async node(session: string): Promise<NodeRecord> {
    const uuid = session.split('.')[0] ?? ''
    const node = await this.parts.store.node(uuid)
    if (!node) throw new Fault('agent.session', NO_SESSION)
    checkSession(node, session)
    this.parts.sightings.of(uuid).agentAtMs = this.parts.clock.now()
    return node
  }

  /** The order of the moment; waits up to `pollMs` while it is still the one that the agent has. */
  async order(session: string, at: { have: string; pollMs: number; signal: AbortSignal }): Promise<Order | null> {
    const endMs = this.parts.clock.now() + at.pollMs
    for (;;) {
      const node = await this.node(session)
      const order = await this.orderOf(node)
      if ((order?.id ?? '') !== at.have || this.parts.clock.now() >= endMs || at.signal.aborted) return order
      await this.changed(node.uuid, endMs - this.parts.clock.now(), at.signal)
    }
  }

  async report(session: string, report: Report): Promise<void> {
    const node = await this.node(session)
    if (report.orderId !== orderId(node) || !believes(node, 'progress'))
      throw new Fault('store.stale', 'the report is about an order of the past')
    if (report.progress) this.parts.sightings.of(node.uuid).progress = report.progress
    if (!report.failed && !report.done) return
    await this.parts.worker.dispatch(node.uuid, async (now) => {
      // The order, or the agent, may have changed while this waited for its turn.
      checkSession(now, session)
      if (report.orderId !== orderId(now)) throw new Fault('store.stale', 'the report is about an order of the past')
      return report.failed ? this.failed(now, report.failed) : this.done(now, report.done ?? {})
    })
    this.parts.sightings.of(node.uuid).progress = null
  }

  async configDrive(session: string): Promise<Buffer> {
    const node = await this.node(session)
    if (!believes(node, 'config-drive'))
      throw new Fault('agent.session', 'the node’s present order writes no config drive')
    if (!node.configDrive) throw new Fault('object.missing', 'this node has no config drive')
    return buildConfigDrive(
      node,
      await this.parts.store.configDrive(node.uuid, node.configDrive),
      this.parts.limits.configDriveBytes,
    )
  }

  /** The index of the image of the present order, as the exact bytes whose hash the order names. */
  async imageIndex(session: string): Promise<string> {
    const node = await this.node(session)
    if (!believes(node, 'image') || !node.workflow.imageId)
      throw new Fault('object.missing', 'the present order writes no image')
    return (await this.indexOf(node.workflow.imageId)).text
  }

  /** Wakes the agents that wait for a change of a node. */
  wake(uuid: string): void {
    for (const wake of this.waiting.get(uuid) ?? []) wake()
  }

  private async orderOf(node: NodeRecord): Promise<Order | null> {
    const step = currentStep(node)
    if (!step || !believes(node, 'order') || isLocked(node)) return null
    const id = orderId(node)
    const skip = (node.properties.skip_block_devices as Record<string, unknown>[] | undefined) ?? []
    switch (step.step) {
      case 'inspect':
      case 'collect_inventory':
        return { id, kind: 'inspect', lldpSeconds: this.parts.lldpSeconds }
      case 'erase_devices_express':
        return { id, kind: 'clean', skip, whole: false, discard: true }
      case 'erase_devices_metadata':
        return { id, kind: 'clean', skip, whole: false }
      case 'erase_devices':
        return { id, kind: 'clean', skip, whole: true }
      case 'rescue':
        return { id, kind: 'rescue', passwordHash: String(node.instanceInfo.hashed_rescue_password ?? '') }
      case 'write_image': {
        if (!node.workflow.imageId) return null
        const image = await this.indexOf(node.workflow.imageId)
        return {
          id,
          kind: 'deploy',
          imageId: image.id,
          dataUrl: `${this.parts.dataBase}/images/${image.id}/data.zst`,
          indexSha256: image.sha256,
          rootDevice: (node.instanceInfo.root_device ?? node.properties.root_device ?? null) as Record<
            string,
            unknown
          > | null,
          configDrive: wantsConfigDrive(node),
        }
      }
      default:
        return null
    }
  }

  /** An image is named by its content, so its index never changes; a rack that deploys one image asks for it with every poll. */
  private async indexOf(imageId: string): Promise<{ id: string; text: string; sha256: string }> {
    const known = this.indexes.get(imageId)
    if (known) return known
    const image = await this.parts.images.find(imageId)
    const text = JSON.stringify(image)
    const made = { id: image.id, text, sha256: createHash('sha256').update(text).digest('hex') }
    if (this.indexes.size >= MAX_INDEXES) this.indexes.delete(this.indexes.keys().next().value as string)
    this.indexes.set(imageId, made)
    return made
  }

  private changed(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const set = this.waiting.get(uuid) ?? new Set()
      this.waiting.set(uuid, set)
      const wake = () => {
        cancel()
        set.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const cancel = this.parts.clock.after(timeoutMs, wake)
      signal.addEventListener('abort', wake, { once: true })
      set.add(wake)
    })
  }

  private failed(node: NodeRecord, failed: { code: string; text: string }): StepEvent {
    const code = (Object.hasOwn(FAULTS, failed.code) ? failed.code : 'agent.broken') as FaultCode
    const fault = new Fault(code, failed.text)
    this.parts.log.warn({ node: node.uuid, fault: code }, fault.detail)
    return { type: 'agent-failed', orderId: orderId(node), fault: { code, text: fault.message, retry: fault.retry } }
  }

  /** A sign of life of an agent that speaks Ironic's protocol. */
  async heard(node: NodeRecord, callbackUrl: string): Promise<void> {
    const { clock, store, sightings } = this.parts
    const nowMs = clock.now()
    sightings.of(node.uuid).agentAtMs = nowMs
    if (sightings.note(node.uuid, 'hello', { atMs: nowMs, detail: callbackUrl }))
      await store.journal.add({
        atMs: nowMs,
        nodeUuid: node.uuid,
        kind: 'agent-heard',
        detail: { callback_url: callbackUrl },
      })
  }

  /** An inventory that came by Ironic's door. */
  async finishInspection(agent: NodeRecord, found: Inspected): Promise<void> {
    const { inventory, error, ...plugin } = found
    let broken: Fault | undefined
    await this.parts.worker.dispatch(agent.uuid, async (node) => {
      if (node.agent?.sessionHash !== agent.agent?.sessionHash || !believes(node, 'inventory'))
        throw new Fault('agent.session', NO_SESSION)
      if (error) return this.failed(node, { code: 'agent.broken', text: `the agent failed: ${error}` })
      const macs = inventory.interfaces
        .map(({ mac_address: mac }) => mac.toLowerCase())
        .filter((mac) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
      const document = { inventory, plugin_data: plugin }
      try {
        const patch = await this.inspected(node, { document, macs, properties: reportedProperties(node, inventory) })
        return { type: 'agent-done', orderId: orderId(node), patch }
      } catch (refused) {
        if (!isFault(refused, 'inspect.rule')) throw refused
        broken = refused
        return this.failed(node, { code: refused.code, text: refused.detail })
      }
    })
    if (broken) throw broken
  }

  /** Keeps an inventory, makes ports of its cards, and answers what the rules make of the node. */
  private async inspected(
    node: NodeRecord,
    found: {
      document: { inventory: Parameters<typeof hookData>[0]; plugin_data: Record<string, unknown> }
      macs: readonly string[]
      properties: Record<string, unknown>
    },
  ): Promise<Partial<NodeRecord>> {
    const { store, clock, log, calls } = this.parts
    const { inventory, plugin_data: plugin } = found.document
    const hooks = hookData(inventory, plugin)
    await addPorts(node, found.macs, this.parts)
    await linkPorts(node, hooks.links, this.parts)
    const { patch, pluginData } = await applyRules(
      { ...node, properties: found.properties },
      { inventory, plugin_data: hooks.pluginData },
      { store, log, calls },
    )
    await store.putInventory(node.uuid, { inventory, plugin_data: pluginData })
    return { properties: found.properties, ...patch, inspectionFinishedAtMs: clock.now() }
  }

  /** What a finished step makes of the node as it is now: runs in the node's mailbox, so that no change of a person's is undone. */
  private async done(node: NodeRecord, done: NonNullable<Report['done']>): Promise<StepEvent> {
    const { store, clock, sightings } = this.parts
    const { inventory, rootDisk, timings, writtenBytes, erased } = done
    sightings.of(node.uuid).timings = timings ?? {}
    const step = currentStep(node)
    const isErase = step?.step.startsWith('erase_devices') ?? false
    let patch: Partial<NodeRecord> = isErase
      ? { lastErase: { atMs: clock.now(), step: step?.step ?? '', disks: (erased ?? []).slice(0, MAX_ERASED) } }
      : {}
    try {
      if (inventory && believes(node, 'inventory')) {
        const macs = inventory.nics.map((nic) => nic.mac)
        const properties = inspectedProperties(node, inventory, rootDisk)
        const document = ironicInventory(inventory, { hostName: hostNameOf(node), root: rootDisk })
        patch = await this.inspected(node, { document, macs, properties })
      } else if (rootDisk && believes(node, 'image')) {
        patch = {
          lastErase: null,
          instanceInfo: {
            ...node.instanceInfo,
            root_disk: { name: rootDisk.name, serial: rootDisk.serial, wwn: rootDisk.wwn, size: rootDisk.sizeBytes },
          },
        }
      }
    } catch (error) {
      if (!isFault(error, 'inspect.rule')) throw error
      return this.failed(node, { code: error.code, text: error.detail })
    }
    await store.journal.add({
      atMs: clock.now(),
      nodeUuid: node.uuid,
      kind: 'agent-done',
      detail: {
        order: node.workflow.order,
        step: step ? `${step.interface}.${step.step}` : null,
        timings: timings ?? {},
        writtenBytes: writtenBytes ?? 0,
        ...(isErase ? { erased: (erased ?? []).slice(0, MAX_ERASED) } : {}),
      },
    })
    return { type: 'agent-done', orderId: orderId(node), patch }
  }
}
