/** What the conductor asks of its store. Asynchronous from the first day: PostgreSQL shall stand behind the same port. */
import type { NodeRecord } from '../node/record.ts'

export interface PortRecord {
  readonly uuid: string
  readonly nodeUuid: string
  /** Lower case, with colons. */
  readonly address: string
  readonly pxeEnabled: boolean
  readonly name: string | null
  readonly extra: Readonly<Record<string, unknown>>
  readonly internalInfo: Readonly<Record<string, unknown>>
  readonly localLinkConnection: Readonly<Record<string, unknown>>
  readonly physicalNetwork: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

/** One thing that happened, in order. `nodeUuid` is null for what belongs to no node, such as an unknown MAC. */
export interface EventRecord {
  readonly seq: number
  readonly atMs: number
  readonly nodeUuid: string | null
  readonly kind: string
  readonly detail: Readonly<Record<string, unknown>>
}

export interface Page {
  readonly limit: number
  readonly marker?: string
  readonly sortKey: string
  readonly descending: boolean
}

export interface NodeFilter {
  readonly instanceUuid?: string
  readonly associated?: boolean
  readonly maintenance?: boolean
  readonly provisionState?: string
  readonly driver?: string
  readonly resourceClass?: string
  readonly fault?: string
  readonly owner?: string
  readonly descriptionContains?: string
}

/** Every method may throw `store.broken`. Methods that change something are durable when they resolve. */
export interface Store {
  /** Throws `object.conflict` when uuid, name or instance is taken. */
  addNode(node: NodeRecord): Promise<void>
  /** Replaces a node if its version is still `node.version`, and answers it with the next version; throws `store.stale` otherwise. */
  putNode(node: NodeRecord, events?: readonly Omit<EventRecord, 'seq'>[]): Promise<NodeRecord>
  node(uuid: string): Promise<NodeRecord | undefined>
  nodeByName(name: string): Promise<NodeRecord | undefined>
  nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]>
  everyNode(): Promise<NodeRecord[]>
  /** Takes the node's ports, inventory and events with it. */
  removeNode(uuid: string): Promise<void>

  addPort(port: PortRecord): Promise<void>
  putPort(port: PortRecord): Promise<void>
  port(uuid: string): Promise<PortRecord | undefined>
  portByAddress(address: string): Promise<PortRecord | undefined>
  ports(filter: { nodeUuid?: string; address?: string }, page: Page): Promise<PortRecord[]>
  everyPort(): Promise<PortRecord[]>
  removePort(uuid: string): Promise<void>

  inventory(nodeUuid: string): Promise<unknown>
  putInventory(nodeUuid: string, inventory: unknown): Promise<void>

  addEvent(event: Omit<EventRecord, 'seq'>): Promise<void>
  /** Newest last. */
  events(nodeUuid: string, limit: number): Promise<EventRecord[]>

  close(): Promise<void>
}
