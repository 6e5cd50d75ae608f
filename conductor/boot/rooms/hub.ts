/** What boot rooms hold, as this conductor knows it: the clients of each segment, with the versions of their records;
 *  and the rooms that are connected here, which hear of every change. */
import { isDeepStrictEqual } from 'node:util'
import { Fault } from '../../../kit/fault.ts'
import type { Log } from '../../../kit/log.ts'
import type { RoomSegment } from '../../config-rooms.ts'
import type { PortRecord } from '../../store/port.ts'
import type { BootClient } from '../orders.ts'
import type { NodeOrders, RoomServices } from '../updates.ts'
import type { RoomAddresses } from './addresses.ts'
import { addressedAtMs, type StoreMark } from './version.ts'
import type { Gone, RoomClient } from './wire.ts'

/** A room that is connected. */
export interface RoomListener {
  readonly room: string
  readonly segments: ReadonlySet<string>
  send(set: readonly RoomClient[], gone: readonly Gone[]): void
  /** Resolves to false when it does not take what it was sent in time. */
  flush(): Promise<boolean>
}

interface Placed {
  readonly segment: string
  readonly client: RoomClient
}

export interface HubParts {
  readonly segments: readonly RoomSegment[]
  readonly addresses: RoomAddresses
  /** Names of all rooms of a segment. */
  readonly roomsOf: (segment: string) => Promise<readonly string[]>
  readonly epoch: () => number
  /** False: rooms are told nothing, and go on with what they have. Absent: they are told everything. */
  readonly mayTell?: () => boolean
  readonly log: Pick<Log, 'error'>
}

export class RoomHub implements RoomServices {
  private readonly parts: HubParts
  private readonly segments: ReadonlyMap<string, RoomSegment>
  private readonly byMac = new Map<string, Placed>()
  private readonly byNode = new Map<string, ReadonlySet<string>>()
  private readonly listeners = new Set<RoomListener>()
  /** Addresses that records fix, by the MAC address that has each. */
  private readonly fixed = new Map<string, string>()
  private seq = 0

  constructor(parts: HubParts) {
    this.parts = parts
    this.segments = new Map(parts.segments.map((segment) => [segment.name, segment]))
  }

  /** How far the store has come, at least. */
  get mark(): StoreMark {
    return { epoch: this.parts.epoch(), seq: this.seq }
  }

  get mayTell(): boolean {
    return this.parts.mayTell?.() ?? true
  }

  /** The client with this MAC address, as rooms are to hold it. */
  readonly clientAt = (mac: string): RoomClient | undefined => this.byMac.get(mac)?.client

  /** The store has come so far. */
  readonly reached = (seq: number): void => {
    this.seq = Math.max(this.seq, seq)
  }

  /** The store was replaced by an older one. */
  readonly fellBack = ({ seq }: { readonly seq: number }): void => {
    this.seq = seq
  }

  segmentOf = (name: string): RoomSegment | undefined => this.segments.get(name)

  isFixed = (ip: string): boolean => this.fixed.has(ip)

  clientsOf(segments: ReadonlySet<string>): RoomClient[] {
    return [...this.byMac.values()].flatMap(({ segment, client }) => (segments.has(segment) ? [client] : []))
  }

  /** True for a node with a port in one of these segments. */
  isIn(segments: ReadonlySet<string>, nodeUuid: string): boolean {
    return [...(this.byNode.get(nodeUuid) ?? [])].some((mac) => segments.has(this.byMac.get(mac)?.segment ?? ''))
  }

  /** Names of the segments in which a node has ports. */
  segmentsOf(nodeUuid: string): string[] {
    return [...new Set([...(this.byNode.get(nodeUuid) ?? [])].map((mac) => this.byMac.get(mac)?.segment ?? ''))]
  }

  join(listener: RoomListener): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  async take(orders: NodeOrders): Promise<void> {
    const placed = await this.place(orders)
    const before = this.byNode.get(orders.nodeUuid) ?? new Set()
    const now = new Map(placed.map((one) => [one.client.mac, one]))
    const left = [...before].flatMap((mac) => {
      const old = this.byMac.get(mac)
      return old && old.client.nodeUuid === orders.nodeUuid && now.get(mac)?.segment !== old.segment ? [old] : []
    })
    for (const { client } of left) this.byMac.delete(client.mac)
    const changed = placed.filter((one) => !isDeepStrictEqual(this.byMac.get(one.client.mac), one))
    for (const one of placed) this.byMac.set(one.client.mac, one)
    if (now.size > 0) this.byNode.set(orders.nodeUuid, new Set(now.keys()))
    else this.byNode.delete(orders.nodeUuid)
    this.tell(changed, left)
    await this.release(left, orders)
  }

  /** Waits until the rooms that are connected have the orders of this node. Throws `boot.down` when none has. */
  async flush(nodeUuid: string): Promise<void> {
    for (const segment of this.segmentsOf(nodeUuid)) {
      const there = [...this.listeners].filter((one) => one.segments.has(segment))
      const took = await Promise.all(there.map((one) => one.flush()))
      if (took.includes(true)) continue
      const names = await this.parts.roomsOf(segment)
      if (names.length > 0)
        throw new Fault('boot.down', `no boot room of segment ${segment} (${names.join(', ')}) took the boot order`)
    }
  }

  private tell(changed: readonly Placed[], left: readonly Placed[]): void {
    if (!this.mayTell) return
    for (const listener of this.listeners) {
      const isIts = ({ segment }: Placed) => listener.segments.has(segment)
      const set = changed.filter(isIts).map(({ client }) => client)
      const gone = left.filter(isIts).map(({ client: { mac, version } }) => ({ mac, version }))
      if (set.length + gone.length > 0) listener.send(set, gone)
    }
  }

  private async place({ node, ports, clients }: NodeOrders): Promise<Placed[]> {
    const placed: Placed[] = []
    for (const client of node ? clients : []) {
      const port = ports.find(({ address }) => address === client.mac)
      const segment = this.segments.get(port?.physicalNetwork ?? '')
      if (!node || !port || !segment) continue
      const version = [this.parts.epoch(), addressedAtMs(port), port.version, node.version] as const
      placed.push({ segment: segment.name, client: { ...(await this.addressed(client, segment)), version } })
    }
    return placed
  }

  private async addressed(client: BootClient, segment: RoomSegment): Promise<BootClient> {
    if (client.fixedIp !== null) {
      this.fixed.set(client.fixedIp, client.mac)
      return client
    }
    const ip = await this.parts.addresses.of(segment, { nodeUuid: client.nodeUuid, key: holderKey(client) })
    return ip === undefined
      ? { ...client, refusal: `all addresses of the segment ${segment.name} are allotted` }
      : { ...client, fixedIp: ip }
  }

  /** An address is free again when its port is no more, or in another segment. */
  private async release(left: readonly Placed[], { ports }: Pick<NodeOrders, 'ports'>): Promise<void> {
    for (const { segment, client } of left) {
      const isIts = (port: PortRecord) => port.address === client.mac || port.portgroupUuid === client.group?.uuid
      if (ports.some((port) => port.physicalNetwork === segment && isIts(port))) continue
      await this.parts.addresses
        .forget(segment, holderKey(client))
        .catch((error: Error) => this.parts.log.error({ error: error.message }, 'the address of a port that is gone'))
    }
  }
}

const holderKey = ({ mac, group }: Pick<BootClient, 'mac' | 'group'>): string => group?.uuid ?? mac
