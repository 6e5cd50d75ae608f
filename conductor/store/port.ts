/** What the conductor asks of its store. Asynchronous from the first day: PostgreSQL shall stand behind the same
 *  port. */
import type { ConfigDriveRef, NodeRecord } from '../node/record.ts'
import type { EventFilter, NodeFilter, ObjectFilter, Page, PortFilter } from './filters.ts'
import type { NodeOwner } from './owner.ts'
import type { PortSighting, SeenOfPort } from './seen-of-port.ts'

export type { EventFilter, NodeFilter, ObjectFilter, Page, PortFilter } from './filters.ts'

/** What the user gave: a gzipped ISO image in base64, or the content of its files as an object. */
export type DriveContent = string | Buffer | Readonly<Record<string, unknown>>

export interface PortRecord {
  readonly uuid: string
  readonly version: number
  readonly nodeUuid: string
  /** Lower case, with colons. */
  readonly address: string
  readonly pxeEnabled: boolean
  readonly name: string | null
  readonly extra: Readonly<Record<string, unknown>>
  readonly internalInfo: Readonly<Record<string, unknown>>
  readonly localLinkConnection: Readonly<Record<string, unknown>>
  readonly physicalNetwork: string | null
  readonly portgroupUuid: string | null
  readonly isSmartnic: boolean
  readonly description: string | null
  readonly vendor: string | null
  readonly category: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

/** What is not said of a port; a record of an older program is completed with it too. */
export const PORT_DEFAULTS = {
  version: 0,
  pxeEnabled: true,
  name: null,
  description: null,
  extra: {},
  internalInfo: {},
  localLinkConnection: {},
  physicalNetwork: null,
  portgroupUuid: null,
  isSmartnic: false,
  vendor: null,
  category: null,
  updatedAtMs: null,
} as const

/** One thing that happened, in order. `nodeUuid` is null for what belongs to no node, such as an unknown MAC. */
export interface EventRecord {
  readonly seq: number
  readonly atMs: number
  readonly nodeUuid: string | null
  readonly kind: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** A record of one of the smaller resources. `body` holds what its resource defines, by Ironic's wire names. */
export interface ObjectRecord {
  readonly kind: string
  readonly uuid: string
  readonly version: number
  /** Unique among its kind, when there is one. */
  readonly name: string | null
  readonly nodeUuid: string | null
  /** What else must be unique among its kind, such as an address. */
  readonly uniqueKey: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
  readonly body: Readonly<Record<string, unknown>>
}

export interface ConductorRow {
  readonly hostname: string
  readonly conductorGroup: string
  readonly drivers: readonly string[]
  readonly startedAtMs: number
  /** When it last said that it is alive. */
  readonly aliveAtMs: number
  /** By the clock of a store that several share; absent: `aliveAtMs` tells. */
  readonly isAlive?: boolean
}

/** A record that cannot be read. Owner and lessee as far as they are known. */
export interface Damaged {
  readonly kind: string
  readonly uuid: string
  readonly name: string | null
  readonly owner: string | null
  readonly lessee: string | null
  readonly why: string
}

export interface NodeCount {
  readonly provisionState: string
  readonly powerState: string | null
  readonly maintenance: boolean
  readonly count: number
}

export interface DueNode {
  readonly uuid: string
  readonly dueAtMs: number
  /** Where several conductors share the store. */
  readonly conductorGroup?: string
}

export type NewEvent = Omit<EventRecord, 'seq'>

/** An event, and who owns and leases its node now. */
export interface SeenEvent extends EventRecord {
  readonly owner: string | null
  readonly lessee: string | null
}

/** The smaller resources, by kind. Throws as `Store` does; lists leave out what cannot be read. */
export interface ObjectStore {
  add(object: ObjectRecord): Promise<void>
  /** All or none, in one transaction: a thousand cost little more than one. */
  addAll(objects: readonly ObjectRecord[]): Promise<void>
  /** Replaces an object if its version is still `object.version`, and answers it with the next version; throws
   *  `store.moved` otherwise. */
  put(object: ObjectRecord): Promise<ObjectRecord>
  /** By UUID or by name. */
  find(kind: string, ident: string): Promise<ObjectRecord | undefined>
  list(kind: string, filter: ObjectFilter, page: Page): Promise<ObjectRecord[]>
  every(kind: string): Promise<ObjectRecord[]>
  remove(kind: string, uuid: string): Promise<void>
}

/** Everything that happened, in order. */
/** The database was replaced by an older one: its last event, and the last one that was seen here before. */
export type WatchOlder = (at: { readonly seq: number; readonly seen: number }) => void

export interface Journal {
  add(event: NewEvent): Promise<void>
  /** In one transaction. */
  addAll(events: readonly NewEvent[]): Promise<void>
  /** Of one node, newest first; of these kinds, before this sequence number. */
  ofNode(
    nodeUuid: string,
    limit: number,
    only?: Pick<EventFilter, 'kinds' | 'project'> & { beforeSeq?: number },
  ): Promise<EventRecord[]>
  /** Events later than `seq`, oldest first. */
  after(seq: number, filter: EventFilter, limit: number): Promise<EventRecord[]>
  /** The same, but looks at a bounded number of events. `upToSeq`: everything up to there was looked at; `end`: and
   *  there was no more. */
  scan(seq: number, filter: EventFilter, limit: number): Promise<{ events: SeenEvent[]; upToSeq: number; end: boolean }>
  one(seq: number, filter?: EventFilter): Promise<EventRecord | undefined>
  lastSeq(): Promise<number>
  /** Calls back when there are events up to this number, whoever added them. `older`: when the database that answers
   *  has come less far than it had before. The answer ends it. */
  watch(listener: (upToSeq: number) => void, older?: WatchOlder): () => void
  /** How long nodes of this model were in this state: the newest of them, in milliseconds. */
  durations(model: string, state: string): Promise<number[]>
  /** Forgets events that are older, and durations that are too many: at most `limit` of each. Answers how many it was
   *  of what it was more of. */
  prune(beforeMs: number, limit: number): Promise<number>
  cursor(name: string): Promise<number | undefined>
  setCursor(name: string, seq: number): Promise<void>
}

/** Documents that are read through the BMC of a node; node/hardware-documents.ts has their form. */
export type HardwareKind = 'bios' | 'firmware'

/** Every method may throw `store.broken`; what reads one record throws `store.damaged` when it cannot be read, and what
 *  reads many leaves it out. Methods that change something are durable when they resolve. */
export interface Store {
  readonly objects: ObjectStore
  readonly journal: Journal
  /** Absent: no other conductor can open this store. */
  readonly owner?: NodeOwner

  /** Throws `object.conflict` when uuid, name, instance or BMC is taken. */
  addNode(node: NodeRecord): Promise<void>
  /** Replaces a node if its version is still `node.version`, and answers it with the next version; throws `store.moved`
   *  otherwise. */
  putNode(node: NodeRecord, events?: readonly NewEvent[]): Promise<NodeRecord>
  node(uuid: string): Promise<NodeRecord | undefined>
  nodeByName(name: string): Promise<NodeRecord | undefined>
  /** The UUIDs of other nodes with the BMC of this one: databases of older programs may hold some. */
  sharersOfBmc(node: NodeRecord): Promise<string[]>
  nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]>
  everyNode(): Promise<NodeRecord[]>
  nodeCounts(): Promise<NodeCount[]>
  /** Nodes whose deadline has passed, the earliest first. A store that several conductors share names those that owe
   *  something too, as due at 0. */
  dueNodes(nowMs: number, page: { limit: number; after?: DueNode | undefined }): Promise<DueNode[]>
  /** Takes the node's ports, portgroups, volumes, config drive and inventory with it; its events stay. */
  removeNode(uuid: string): Promise<void>
  shards(): Promise<{ name: string; count: number }[]>

  /** Stores a config drive under a new `id`; it becomes the node's when its record refers to it, and goes when the
   *  record refers to it no more. */
  addConfigDrive(nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef>
  configDrive(nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent>
  /** One that no record refers to. */
  removeConfigDrive(id: string): Promise<void>

  addPort(port: PortRecord): Promise<void>
  /** As `putNode`; leaves the address that DHCP gave as it is. */
  putPort(port: PortRecord): Promise<PortRecord>
  /** The address that DHCP gave a card, which is `internalInfo.ipv4_address` of its port, and of no other from then on:
   *  who has an address speaks for its port. */
  learnPortIp(address: string, ip: string): Promise<void>
  /** What was seen of a card, and what was noted of it before. */
  notePort<Kind extends keyof SeenOfPort>(
    address: string,
    kind: Kind,
    saw: SeenOfPort[Kind],
  ): Promise<SeenOfPort[Kind] | undefined>
  portSightings(nodeUuid: string): Promise<PortSighting[]>
  port(ident: string): Promise<PortRecord | undefined>
  portByAddress(address: string): Promise<PortRecord | undefined>
  ports(filter: PortFilter, page: Page): Promise<PortRecord[]>
  removePort(uuid: string): Promise<void>

  inventory(nodeUuid: string): Promise<unknown>
  putInventory(nodeUuid: string, inventory: unknown): Promise<void>
  /** What was read of a node through its BMC; undefined: nothing yet. */
  hardware(nodeUuid: string, kind: HardwareKind): Promise<unknown>
  /** With the events that the document brings: all of it or nothing. */
  putHardware(
    nodeUuid: string,
    kind: HardwareKind,
    read: { readonly document: unknown; readonly events: readonly NewEvent[] },
  ): Promise<void>

  /** Keeps the first secret that any conductor gives under this name, sealed, and answers that one. Absent: no other
   *  conductor can open this store at the same time. */
  readonly keepSecret?: ((name: string, secret: Buffer) => Promise<Buffer>) | undefined

  conductors(): Promise<ConductorRow[]>
  putConductor(row: ConductorRow): Promise<void>

  /** Records that were found damaged. */
  damaged(): readonly Damaged[]
  /** Reads everything once, for `damaged`, and clears away what was left half done. */
  survey(): Promise<readonly Damaged[]>
  /** Rejects, or never answers, when this process cannot go on with it: another one must be started. */
  alive(): Promise<boolean>
  /** Why nothing can be written now; undefined: it can. */
  writeFailure(): Promise<string | undefined>

  close(): Promise<void>
}
