/** The store in PostgreSQL, behind the same port as the one in SQLite. What its tables make together. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { ConfigDriveRef, NodeRecord } from '../../node/record.ts'
import { Damage } from '../damage.ts'
import { ownerAlone, type NodeOwner } from '../owner.ts'
import type { DurationLimits } from '../durations.ts'
import { refuseMoved } from '../move/mark.ts'
import { markIn } from '../move/mark-of-postgres.ts'
import type {
  ConductorRow,
  Damaged,
  DriveContent,
  DueNode,
  HardwareKind,
  Journal,
  NewEvent,
  NodeCount,
  NodeFilter,
  ObjectStore,
  Page,
  PortFilter,
  PortRecord,
  Store,
} from '../port.ts'
import type { PortSighting } from '../seen-of-port.ts'
import type { Seal } from '../secrets.ts'
import { survey } from '../survey.ts'
import { Changes } from './changes.ts'
import { Connections, serversOf, type PostgresOptions } from './connect.ts'
import { PostgresDocuments } from './documents.ts'
import { PostgresDrives } from './drives.ts'
import { PostgresJournal } from './journal.ts'
import { checkKey, keepSecret } from './key.ts'
import { Lease } from './lease.ts'
import { migrate } from './migrate.ts'
import { PostgresNodes } from './nodes.ts'
import { Numbering } from './numbering.ts'
import { PostgresObjects } from './objects.ts'
import { Ownership } from './ownership.ts'
import { PostgresPorts } from './ports.ts'
import { Timelines } from './timeline.ts'

export interface PostgresParts {
  readonly clock: Clock
  readonly monotonic: Clock
  readonly limits: DurationLimits
  readonly seal: Seal
  /** Who works on the nodes: the same for each start on one data directory, which a lock keeps for one process. */
  readonly conductor: string
  /** Where it is kept which server was the last primary; absent: nowhere. */
  readonly timelineFile?: string
  /** How this conductor shares the nodes with others; absent: with nobody. */
  readonly shared?: { readonly hostname: string; readonly group: string } | undefined
}

/** A few for what must never wait for the others: the lease, and the numbers of events. */
const OWN_CONNECTIONS = 2

/** Throws `store.broken` for a database that cannot be used, `store.locked` when another conductor has it,
 *  `store.migrated` when its records are elsewhere, `secret.key` when the key is not the one that its secrets were
 *  sealed with. */
export async function openPostgres(options: PostgresOptions, parts: PostgresParts): Promise<PostgresStore> {
  const { timelineFile } = parts
  const servers = serversOf(options.url, timelineFile === undefined ? undefined : await Timelines.open(timelineFile))
  const connections = new Connections(options, servers)
  const own = new Connections({ ...options, connections: OWN_CONNECTIONS }, servers)
  const { clock, monotonic, conductor: owner, shared } = parts
  const tenure = shared
    ? new Ownership({ own, connections, clock, monotonic, me: { owner, ...shared } })
    : new Lease({ connections: own, clock, monotonic, owner })
  const numbering = new Numbering(own, clock)
  const store = new PostgresStore({ ...parts, connections, own, tenure, numbering })
  try {
    await migrate(connections)
    await checkKey(connections, parts.seal)
    await tenure.start()
    // It may have been moved while the lease was waited for.
    refuseMoved(await markIn(connections.rows))
    await numbering.start()
    for (const one of [connections, own]) one.onMade = (client) => numbering.compare(client)
    return store
  } catch (error) {
    await store.close()
    throw error
  }
}

interface StoreParts extends PostgresParts {
  readonly connections: Connections
  readonly own: Connections
  /** Of the database, or of slots of its nodes. */
  readonly tenure: Lease | Ownership
  readonly numbering: Numbering
}

export class PostgresStore implements Store {
  readonly objects: ObjectStore
  readonly journal: Journal
  readonly owner: NodeOwner
  readonly keepSecret: Store['keepSecret']
  private readonly parts: StoreParts
  private readonly damage = new Damage()
  private readonly nodeTable: PostgresNodes
  private readonly portTable: PostgresPorts
  private readonly drives: PostgresDrives
  private readonly documents: PostgresDocuments

  constructor(parts: StoreParts) {
    this.parts = parts
    const { connections, tenure, numbering, seal, limits } = parts
    const changes = new Changes({ connections, ...proofOf(tenure), onEvents: numbering.committed })
    const { damage } = this
    this.keepSecret = parts.shared && ((name, secret) => keepSecret(parts, name, secret))
    this.owner = tenure instanceof Lease ? ownerAlone(tenure.isHeld) : tenure
    this.nodeTable = new PostgresNodes({ connections, changes, seal, damage })
    this.portTable = new PostgresPorts({ connections, changes, damage })
    this.objects = new PostgresObjects({ connections, changes, damage, seal })
    this.journal = new PostgresJournal({ connections, changes, numbering, limits })
    this.drives = new PostgresDrives({ connections, changes, seal })
    this.documents = new PostgresDocuments(connections, changes)
  }

  addNode = (node: NodeRecord): Promise<void> => this.nodeTable.add(node)
  putNode = (node: NodeRecord, events: readonly NewEvent[] = []): Promise<NodeRecord> =>
    this.nodeTable.put(node, events)
  node = (uuid: string): Promise<NodeRecord | undefined> => this.nodeTable.one('uuid', uuid)
  nodeByName = (name: string): Promise<NodeRecord | undefined> => this.nodeTable.one('name', name)
  sharersOfBmc = (node: NodeRecord): Promise<string[]> => this.nodeTable.sharersOfBmc(node)
  nodes = (filter: NodeFilter, page: Page): Promise<NodeRecord[]> => this.nodeTable.list(filter, page)
  everyNode = (): Promise<NodeRecord[]> => this.nodeTable.every()
  nodeCounts = (): Promise<NodeCount[]> => this.nodeTable.counts()
  dueNodes = (nowMs: number, page: { limit: number; after?: DueNode | undefined }): Promise<DueNode[]> =>
    this.nodeTable.due(nowMs, page)
  shards = (): Promise<{ name: string; count: number }[]> => this.nodeTable.shards()

  async removeNode(uuid: string): Promise<void> {
    await this.nodeTable.remove(uuid)
    await this.forgetGone()
  }

  addConfigDrive = (nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef> =>
    this.drives.add(nodeUuid, id, content)
  configDrive = (nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent> => this.drives.read(nodeUuid, drive)
  removeConfigDrive = (id: string): Promise<void> => this.drives.remove(id)

  addPort = (port: PortRecord): Promise<void> => this.portTable.add(port)
  putPort = (port: PortRecord): Promise<PortRecord> => this.portTable.put(port)
  learnPortIp = (address: string, ip: string): Promise<void> => this.portTable.learnIp(address, ip)
  notePort: Store['notePort'] = (...noted) => this.portTable.note(...noted)
  portSightings = (nodeUuid: string): Promise<PortSighting[]> => this.portTable.sightings(nodeUuid)
  portByAddress = (address: string): Promise<PortRecord | undefined> => this.portTable.one('address', address)
  ports = (filter: PortFilter, page: Page): Promise<PortRecord[]> => this.portTable.list(filter, page)
  removePort = (uuid: string): Promise<void> => this.portTable.remove(uuid)

  async port(ident: string): Promise<PortRecord | undefined> {
    return (await this.portTable.one('uuid', ident.toLowerCase())) ?? (await this.portTable.one('name', ident))
  }

  inventory = (nodeUuid: string): Promise<unknown> => this.documents.inventory(nodeUuid)
  putInventory = (nodeUuid: string, inventory: unknown): Promise<void> =>
    this.documents.putInventory(nodeUuid, inventory)
  hardware = (nodeUuid: string, kind: HardwareKind): Promise<unknown> => this.documents.hardware(nodeUuid, kind)
  putHardware: Store['putHardware'] = (...read) => this.documents.putHardware(...read)
  conductors = (): Promise<ConductorRow[]> => this.documents.conductors()
  putConductor = (row: ConductorRow): Promise<void> => this.documents.putConductor(row)

  damaged = (): readonly Damaged[] => this.damage.list()

  survey = (): Promise<readonly Damaged[]> =>
    survey({ damage: this.damage, drives: this.drives, nodes: this.nodeTable, ports: this.portTable })

  /** A server that is away comes back; a lease that another one took does not. */
  async alive(): Promise<boolean> {
    const { tenure } = this.parts
    if (tenure instanceof Lease && tenure.lost) throw new Fault('store.locked', 'another conductor has taken over')
    return true
  }

  /** Housekeeping writes every few seconds, so that the end of a failure is seen. */
  async writeFailure(): Promise<string | undefined> {
    const { connections, tenure } = this.parts
    const isAlone = tenure instanceof Lease
    if (isAlone && tenure.lost) return 'another conductor has taken over the nodes of this database'
    const failed = connections.changeFailed ?? connections.failed
    if (failed !== undefined) return `the last statement failed: ${failed}`
    if (!isAlone) return tenure.trouble
    return tenure.isHeld() ? undefined : 'the lease could not be renewed in time: nothing is begun until it is'
  }

  async close(): Promise<void> {
    const { connections, own, tenure, numbering } = this.parts
    await numbering.stop()
    await tenure.stop()
    await Promise.all([connections.close(), own.close()])
  }

  /** What was damaged may have gone with its node. */
  private async forgetGone(): Promise<void> {
    for (const { kind, uuid } of this.damage.list()) {
      const table = kind === 'node' || kind === 'port' ? `${kind}s` : 'objects'
      const [there] = await this.parts.connections.rows({
        text: `SELECT 1 FROM ${table} WHERE uuid = $1`,
        values: [uuid],
      })
      if (!there) this.damage.forget(kind, uuid)
    }
  }
}

/** What each change proves. One that shares the nodes proves the slot, and only for a node's own work. */
const proofOf = (tenure: Lease | Ownership): { token: () => number | undefined; onLost: () => void } =>
  tenure instanceof Lease
    ? { token: tenure.token, onLost: () => (tenure.lost = true) }
    : { token: () => undefined, onLost: () => undefined }
