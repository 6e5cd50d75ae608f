/** The tracker as agents call it: only a node that writes an image now is a member of its swarm, and it leaves with any
 *  change that ends that. Tickets are good for a minute, for one reader at one address, and are made anew with each
 *  call. */
import { createHmac } from 'node:crypto'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { Random } from '../../../kit/random.ts'
import { ticketText, type Neighbour, type SwarmAnswer, type SwarmCall } from '../../api/swarm-wire.ts'
import { orderId, type NodeRecord } from '../../node/record.ts'
import { believes } from '../../node/workflow/belief.ts'
import type { Store } from '../../store/port.ts'
import type { SwarmMember } from './member.ts'
import { Tracker, type Introduction, type TrackerLimits } from './tracker.ts'

export interface IntroductionParts {
  readonly store: Pick<Store, 'ports'>
  readonly clock: Clock
  readonly random: Random
  readonly limits: TrackerLimits
  /** What one node may send in a second; null: by the speed of its card. */
  readonly uploadBytesPerSecond: number | null
}

const TICKET_MS = 60_000
/** Of a node that is not a member: there are too many. */
const REFUSED_AGAIN_MS = 30_000
const NO_KEY = Buffer.alloc(32).toString('base64url')
const PORTS = { limit: 64, sortKey: 'id', descending: false } as const

export class Introductions {
  private readonly parts: IntroductionParts
  private readonly tracker: Tracker
  /** Of members: their ports are looked at once. */
  private readonly racks = new Map<string, string>()

  constructor(parts: IntroductionParts) {
    this.parts = parts
    const drawn = () => parts.random.bytes(4).readUInt32BE() / 2 ** 32
    this.tracker = new Tracker(parts.limits, drawn)
  }

  /** Throws `store.stale` for a node that does not write an image now, or not by this order. */
  async call(node: NodeRecord, call: SwarmCall, fromIp: string): Promise<SwarmAnswer> {
    const { clock, random } = this.parts
    if (!isWriting(node) || call.orderId !== orderId(node)) {
      this.leave(node.uuid)
      throw new Fault('store.stale', 'the node’s present order writes no image')
    }
    const nowMs = clock.now()
    const introduction = this.tracker.call(
      {
        nodeUuid: node.uuid,
        imageId: node.workflow.imageId ?? '',
        generation: node.workflow.generation,
        ip: fromIp.replace(/^::ffff:/, ''),
        port: call.port,
        rack: await this.rackOf(node),
        bad: call.bad,
        unreachable: call.unreachable,
      },
      () => random.bytes(32),
      nowMs,
    )
    return introduction ? this.answer(introduction, nowMs) : refused(node, nowMs)
  }

  /** A node changed: who writes no image any more is introduced to nobody. */
  changed(node: NodeRecord): void {
    if (this.tracker.has(node.uuid) && !isWriting(node)) this.leave(node.uuid)
  }

  private leave(nodeUuid: string): void {
    this.tracker.leave(nodeUuid)
    this.racks.delete(nodeUuid)
  }

  private answer({ isOn, againMs, self, neighbours, seed }: Introduction, nowMs: number): SwarmAnswer {
    const notAfterMs = nowMs + TICKET_MS
    return {
      on: isOn,
      nowMs,
      againMs,
      id: self.nodeUuid,
      key: self.key.toString('base64url'),
      neighbours: neighbours.map(({ member, isNear }) => ticketFor(self, member, { isNear, notAfterMs })),
      seed,
      uploadBytesPerSecond: this.parts.uploadBytesPerSecond,
    }
  }

  /** The switch that its ports are connected to, as far as it is known; else its chassis. */
  private async rackOf(node: NodeRecord): Promise<string> {
    const known = this.racks.get(node.uuid)
    if (known !== undefined) return known
    const ports = await this.parts.store.ports({ nodeUuid: node.uuid }, PORTS)
    const booted = ports.find(({ pxeEnabled, localLinkConnection: link }) => pxeEnabled && link.switch_id)
    const rack = String(booted?.localLinkConnection.switch_id ?? node.chassisUuid ?? '')
    if (this.racks.size > 2 * this.parts.limits.members) this.racks.clear()
    this.racks.set(node.uuid, rack)
    return rack
  }
}

const isWriting = (node: NodeRecord): boolean => believes(node, 'image') && node.workflow.imageId !== null

function ticketFor(
  reader: SwarmMember,
  server: SwarmMember,
  { isNear, notAfterMs }: { isNear: boolean; notAfterMs: number },
): Neighbour {
  const ticket = ticketText({
    imageId: server.imageId,
    reader: reader.nodeUuid,
    generation: reader.generation,
    readerIp: reader.ip,
    server: server.nodeUuid,
    notAfterMs,
  })
  const ticketKey = createHmac('sha256', server.key).update(ticket).digest('base64url')
  return { id: server.nodeUuid, ip: server.ip, port: server.port, near: isNear, ticket, ticketKey }
}

const refused = (node: NodeRecord, nowMs: number): SwarmAnswer => ({
  on: false,
  nowMs,
  againMs: REFUSED_AGAIN_MS,
  id: node.uuid,
  key: NO_KEY,
  neighbours: [],
  seed: null,
  uploadBytesPerSecond: null,
})
