/** The store in one SQLite file: WAL, every change one transaction, one conductor at a time. What its tables make
 *  together. */
import { systemClock, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { ConfigDriveRef, NodeRecord } from '../node/record.ts'
import { Damage } from './damage.ts'
import { Drives } from './drives.ts'
import type { DurationLimits } from './durations.ts'
import { SqliteFile } from './file.ts'
import { journalTable } from './journal.ts'
import { checkKey, upgradeNodes } from './keys.ts'
import { NodeTable } from './nodes.ts'
import type {
  ConductorRow,
  Damaged,
  DriveContent,
  DueNode,
  EventRecord,
  HardwareKind,
  Journal,
  NodeCount,
  NodeFilter,
  ObjectStore,
  Page,
  PortFilter,
  PortRecord,
  Store,
} from './port.ts'
import { PortSightings } from './port-sightings.ts'
import { PortTable } from './ports.ts'
import type { PortSighting } from './seen-of-port.ts'
import type { Seal } from './secrets.ts'
import { survey } from './survey.ts'
import { conductorTable, objectTable, upgradeObjects } from './tables.ts'

export interface SqliteParts {
  readonly clock?: Clock
  readonly limits?: DurationLimits
  /** Other processes open the file too: each works on nodes of its own. */
  readonly shared?: boolean
}

/** Where no configuration says otherwise. */
const KEPT: DurationLimits = { durations: 200, durationsInAll: 200_000 }

export class SqliteStore implements Store {
  readonly objects: ObjectStore
  readonly journal: Journal
  readonly conductors: () => Promise<ConductorRow[]>
  readonly putConductor: (row: ConductorRow) => Promise<void>
  private readonly file: SqliteFile
  private readonly drives: Drives
  private readonly damage = new Damage()
  private readonly nodeTable: NodeTable
  private readonly portTable: PortTable
  private readonly seenOfPorts: PortSightings

  /** Throws `store.locked` when another conductor has the file, `secret.key` when the key is not the one that its
   *  secrets were sealed with. */
  constructor(path: string, seal: Seal, { clock = systemClock, limits = KEPT, shared = false }: SqliteParts = {}) {
    this.file = new SqliteFile(path, { clock, limits, shared })
    this.drives = new Drives(this.file, seal)
    try {
      checkKey(this.file, seal)
      upgradeNodes(this.file, { seal, drives: this.drives })
      upgradeObjects(this.file, seal)
    } catch (error) {
      this.file.close()
      throw error
    }

    this.nodeTable = new NodeTable({ file: this.file, seal, damage: this.damage, drives: this.drives })
    this.portTable = new PortTable(this.file, this.damage)
    this.seenOfPorts = new PortSightings(this.file)
    this.objects = objectTable(this.file, this.damage, seal)
    this.journal = journalTable(this.file)
    const table = conductorTable(this.file)
    this.conductors = () => table.conductors()
    this.putConductor = (row) => table.putConductor(row)
  }

  addNode = (node: NodeRecord): Promise<void> => this.nodeTable.add(node)
  putNode = (node: NodeRecord, events: readonly Omit<EventRecord, 'seq'>[] = []): Promise<NodeRecord> =>
    this.nodeTable.put(node, events)

  async node(uuid: string): Promise<NodeRecord | undefined> {
    return this.nodeTable.one('uuid', uuid)
  }

  async nodeByName(name: string): Promise<NodeRecord | undefined> {
    return this.nodeTable.one('name', name)
  }

  async sharersOfBmc(node: NodeRecord): Promise<string[]> {
    return this.nodeTable.sharersOfBmc(node)
  }

  async nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]> {
    return this.nodeTable.list(filter, page)
  }

  everyNode = (): Promise<NodeRecord[]> => this.nodeTable.every()

  async nodeCounts(): Promise<NodeCount[]> {
    return this.nodeTable.counts()
  }

  async dueNodes(nowMs: number, page: { limit: number; after?: DueNode | undefined }): Promise<DueNode[]> {
    return this.nodeTable.due(nowMs, page)
  }

  async removeNode(uuid: string): Promise<void> {
    await this.nodeTable.remove(uuid)
    this.damage.forgetUnless((one) => this.exists(one))
  }

  async shards(): Promise<{ name: string; count: number }[]> {
    return this.nodeTable.shards()
  }

  addConfigDrive = (nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef> =>
    this.drives.add(nodeUuid, id, content)
  configDrive = (nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent> => this.drives.read(nodeUuid, drive)
  removeConfigDrive = (id: string): Promise<void> => this.drives.remove(id)

  addPort = (port: PortRecord): Promise<void> => this.portTable.add(port)
  putPort = (port: PortRecord): Promise<PortRecord> => this.portTable.put(port)
  learnPortIp = (address: string, ip: string): Promise<void> => this.portTable.learnIp(address, ip)
  notePort: Store['notePort'] = (address, kind, saw) => this.seenOfPorts.note(address, kind, saw)

  async portSightings(nodeUuid: string): Promise<PortSighting[]> {
    return this.seenOfPorts.of(nodeUuid)
  }

  async port(ident: string): Promise<PortRecord | undefined> {
    return this.portTable.one('uuid', ident.toLowerCase()) ?? this.portTable.one('name', ident)
  }

  async portByAddress(address: string): Promise<PortRecord | undefined> {
    return this.portTable.one('address', address)
  }

  async ports(filter: PortFilter, page: Page): Promise<PortRecord[]> {
    return this.portTable.list(filter, page)
  }

  removePort = (uuid: string): Promise<void> => this.portTable.remove(uuid)

  async inventory(nodeUuid: string): Promise<unknown> {
    const row = this.file.sql<{ body: string }>('SELECT body FROM inventories WHERE node_uuid = ?').get(nodeUuid)
    if (!row) return undefined
    try {
      return JSON.parse(row.body) as unknown
    } catch (error) {
      throw new Fault('store.damaged', `the stored inventory of node ${nodeUuid} cannot be read: it is not JSON`, {
        cause: error,
      })
    }
  }

  async putInventory(nodeUuid: string, inventory: unknown): Promise<void> {
    await this.file.write({ what: 'inventory', nodeUuid }, () =>
      this.file
        .sql('INSERT OR REPLACE INTO inventories (node_uuid, body) VALUES (?, ?)')
        .run(nodeUuid, JSON.stringify(inventory)),
    )
  }

  async hardware(nodeUuid: string, kind: HardwareKind): Promise<unknown> {
    const row = this.file
      .sql<{ body: string }>('SELECT body FROM hardware_documents WHERE node_uuid = ? AND kind = ?')
      .get(nodeUuid, kind)
    if (!row) return undefined
    try {
      return JSON.parse(row.body) as unknown
    } catch (error) {
      throw new Fault('store.damaged', `what is stored of the ${kind} of node ${nodeUuid} is not JSON`, {
        cause: error,
      })
    }
  }

  putHardware: Store['putHardware'] = async (nodeUuid, kind, { document, events }) => {
    await this.file.write({ what: kind, nodeUuid }, () => {
      this.file
        .sql('INSERT OR REPLACE INTO hardware_documents (node_uuid, kind, body) VALUES (?, ?, ?)')
        .run(nodeUuid, kind, JSON.stringify(document))
      for (const event of events) this.file.addEvent(event)
    })
  }

  damaged = (): readonly Damaged[] => this.damage.list()

  alive = (): Promise<boolean> => this.conductors().then(() => true)

  writeFailure = (): Promise<string | undefined> => this.file.writeFailure()

  survey = (): Promise<readonly Damaged[]> =>
    survey({ damage: this.damage, drives: this.drives, nodes: this.nodeTable, ports: this.portTable })

  async close(): Promise<void> {
    this.file.close()
  }

  private exists({ kind, uuid }: Damaged): boolean {
    if (kind === 'node' || kind === 'port')
      return this.file.sql(`SELECT 1 FROM ${kind}s WHERE uuid = ?`).get(uuid) !== undefined
    return this.file.sql('SELECT 1 FROM objects WHERE kind = ? AND uuid = ?').get(kind, uuid) !== undefined
  }
}
