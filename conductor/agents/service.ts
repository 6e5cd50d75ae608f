/** The agent API: a session for a boot token, the present order, the index of its image, its config drive; and the
 *  reports of the agent. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Order, Report, SessionRequest, SessionGrant } from '../api/agent-wire.ts'
import type { SwarmAnswer, SwarmCall } from '../api/swarm-wire.ts'
import type { TpmAnswer, TpmCall } from '../api/tpm-wire.ts'
import type { Inspected } from '../api/inspected.ts'
import { readToken, type BootToken } from '../boot/token.ts'
import { orderId, type NodeRecord } from '../node/record.ts'
import type { Worker } from '../node/run/worker.ts'
import { believes } from '../node/workflow/belief.ts'
import { tpmModeOf } from '../node/policy/tpm.ts'
import { Attestation, type AttestationParts } from './attestation.ts'
import { buildConfigDrive } from './config-drive.ts'
import { reportedProperties } from './inspection.ts'
import { claimedBoot } from './claim.ts'
import { Orders, type OrderParts } from './orders.ts'
import { Introductions, type IntroductionParts } from './swarm/introductions.ts'
import { doneEvent, failedEvent, storeInventory, type ResultParts } from './results.ts'

export interface AgentServiceParts extends OrderParts, ResultParts {
  readonly worker: Worker
  readonly tokenKey: Buffer
  /** Ports that one inventory may make, and the size of a config drive, decompressed. */
  readonly limits: { readonly portsPerReport: number; readonly configDriveBytes: number } & AttestationParts['limits']
  readonly servedTo: AttestationParts['servedTo']
  /** Of a boot room's token: throws `agent.token` where the room may not boot that node. */
  readonly checkToken?: (token: BootToken) => Promise<void>
  readonly introductions: Pick<IntroductionParts, 'limits' | 'uploadBytesPerSecond'>
}

/** Time zones are no fault: firmware often keeps local time. */
const CLOCK_OFF_MS = 15 * 3_600_000
const DAY_MS = 86_400_000
const YEAR_DAYS = 365.25
/** No PC is older: 70 to 99 may also be of the century before. */
const FIRST_OTHER_YEAR = 2070

function offText(offMs: number): string {
  const days = Math.abs(offMs) / DAY_MS
  const span = days < YEAR_DAYS ? `${days.toFixed(1)} days` : `${(days / YEAR_DAYS).toFixed(1)} years`
  return `${span} ${offMs < 0 ? 'behind' : 'ahead'}`
}

/** What the clock shows stands beside it: clocks of PCs keep two digits of the year, and a kernel takes 87 for 2087. */
export function clockText(clockMs: number, nowMs: number): string {
  const shown = new Date(clockMs)
  const off = offText(clockMs - nowMs)
  // The agent may say any number.
  if (Number.isNaN(shown.getTime())) return off
  const isOther = shown.getUTCFullYear() >= FIRST_OTHER_YEAR && shown.getUTCFullYear() < 2100
  const other = isOther ? `, or ${shown.getUTCFullYear() - 100} where it keeps two digits of the year` : ''
  return `it shows ${shown.toISOString().slice(0, 16).replace('T', ' ')} UTC (${off}${other})`
}

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
  private readonly orders: Orders
  private readonly introductions: Introductions
  private readonly attestation: Attestation

  constructor(parts: AgentServiceParts) {
    this.parts = parts
    this.orders = new Orders(parts)
    this.attestation = new Attestation(parts)
    const { store, clock, random } = parts
    this.introductions = new Introductions({ store, clock, random, ...parts.introductions })
  }

  /** Trades a boot token, or the claim of a signed ramdisk, for a session. Throws `agent.token` for one that was used,
   *  or is of another boot. */
  async open(request: SessionRequest, fromIp: string): Promise<SessionGrant> {
    const { worker, clock, store, sightings } = this.parts
    const token = request.token
      ? readToken(this.parts.tokenKey, request.token)
      : await claimedBoot(store, request.claim, fromIp)
    await this.parts.checkToken?.(token)
    const session = `${token.nodeUuid}.${request.secret}`
    const nowMs = clock.now()
    const before = await store.node(token.nodeUuid)
    const live = sightings.of(token.nodeUuid)
    const openedAtMs = live.seen.get('hello')?.atMs
    // One whose answer was lost asks again too: it has done nothing with its session yet.
    const isUsed = openedAtMs !== undefined && live.agentAtMs > openedAtMs
    const isAgain = isUsed && before?.agent?.sessionHash === hashOf(session)
    const node = await worker.dispatch(token.nodeUuid, {
      type: 'hello',
      agent: { sessionHash: hashOf(session), generation: token.generation, tokenMs: token.mintedMs, helloAtMs: nowMs },
    })
    live.agentAtMs = nowMs
    live.progress = null
    if (isAgain) sightings.sign(token.nodeUuid, 'agent-again', { atMs: nowMs, detail: '' })
    const { clockMs = nowMs } = request
    if (Math.abs(clockMs - nowMs) > CLOCK_OFF_MS)
      sightings.sign(token.nodeUuid, 'clock', { atMs: nowMs, detail: clockText(clockMs, nowMs) })
    if (sightings.note(token.nodeUuid, 'hello', { atMs: nowMs, detail: '' })) {
      await store.journal.add({
        atMs: nowMs,
        nodeUuid: token.nodeUuid,
        kind: 'seen',
        detail: { step: 'hello', detail: request.bootMode },
      })
    }
    const tpm = tpmModeOf(node)
    return { session, nodeUuid: token.nodeUuid, nowMs, ...(tpm === 'off' ? {} : { tpm }) }
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
      const order = await this.attestation.release(node, await this.orders.of(node))
      if ((order?.id ?? '') !== at.have || this.parts.clock.now() >= endMs || at.signal.aborted) return order
      await this.waitForChange(node.uuid, endMs - this.parts.clock.now(), at.signal)
    }
  }

  async report(session: string, report: Report): Promise<void> {
    const node = await this.node(session)
    if (report.orderId !== orderId(node) || !believes(node, 'progress'))
      throw new Fault('store.stale', 'the report is about an order of the past')
    const { sightings, clock } = this.parts
    if (report.progress) sightings.progressed(node.uuid, report.progress, clock.now())
    if (!report.failed && !report.done) return
    await this.parts.worker.dispatch(node.uuid, async (now) => {
      // The order, or the agent, may have changed while this waited for its turn.
      checkSession(now, session)
      if (report.orderId !== orderId(now)) throw new Fault('store.stale', 'the report is about an order of the past')
      if (report.failed) return failedEvent(now, report.failed, this.parts.log)
      this.attestation.mustHaveBeenGiven(now, await this.orders.of(now))
      return doneEvent(now, report.done ?? {}, this.parts)
    })
    sightings.of(node.uuid).progress = null
  }

  async configDrive(session: string): Promise<Buffer> {
    const node = await this.node(session)
    if (!believes(node, 'config-drive'))
      throw new Fault('agent.session', 'the node’s present order writes no config drive')
    this.attestation.mustBeProven(node)
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
    return (await this.orders.indexOf(node.workflow.imageId)).text
  }

  /** A part of the proof of its boot. */
  async tpm(session: string, call: TpmCall): Promise<TpmAnswer> {
    const node = await this.node(session)
    return tpmModeOf(node) === 'off' ? {} : this.attestation.answer(node, call)
  }

  /** Who else writes the image of the present order. */
  async swarm(session: string, call: SwarmCall, fromIp: string): Promise<SwarmAnswer> {
    const node = await this.node(session)
    if (!this.parts.swarm) throw new Fault('object.missing', 'images.swarm is off: nodes do not serve each other')
    return this.introductions.call(node, call, fromIp)
  }

  /** Wakes the agents that wait for a change of a node. */
  changed(node: NodeRecord): void {
    this.introductions.changed(node)
    for (const wake of this.waiting.get(node.uuid) ?? []) wake()
  }

  private waitForChange(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
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

  /** A heartbeat of an agent that speaks Ironic's protocol. */
  async heartbeat(node: NodeRecord, callbackUrl: string): Promise<void> {
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

  /** An inventory that came through Ironic's API. */
  async finishInspection(agent: NodeRecord, found: Inspected): Promise<void> {
    const { inventory, error, ...plugin } = found
    let broken: Fault | undefined
    await this.parts.worker.dispatch(agent.uuid, async (node) => {
      if (node.agent?.sessionHash !== agent.agent?.sessionHash || !believes(node, 'inventory'))
        throw new Fault('agent.session', NO_SESSION)
      if (error) return failedEvent(node, { code: 'agent.broken', text: `the agent failed: ${error}` }, this.parts.log)
      const macs = inventory.interfaces
        .map(({ mac_address: mac }) => mac.toLowerCase())
        .filter((mac) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
      const document = { inventory, plugin_data: plugin }
      try {
        const patch = await storeInventory(
          node,
          { document, macs, properties: reportedProperties(node, inventory) },
          this.parts,
        )
        return { type: 'agent-done', orderId: orderId(node), patch }
      } catch (refused) {
        if (!isFault(refused, 'inspect.rule')) throw refused
        broken = refused
        return failedEvent(node, { code: refused.code, text: refused.detail }, this.parts.log)
      }
    })
    if (broken) throw broken
  }
}
