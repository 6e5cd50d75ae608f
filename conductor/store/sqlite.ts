/** The store in one SQLite file: WAL, every change one transaction, one conductor at a time. Nodes, ports, config drives and inventories here. */
import { systemClock, turn, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { bmcAddress, bmcAddressKeys } from '../bmc/address.ts'
import type { ConfigDriveRef, NodeRecord } from '../node/record.ts'
import { Damage } from './damage.ts'
import { Drives } from './drives.ts'
import { SqliteFile, stale, type Value } from './file.ts'
import { journalTable } from './journal.ts'
import { checkKey, upgradeNodes } from './keys.ts'
import { NODE_COLUMNS, NODE_SORTS, nodeColumns, nodesWithin, nodeWheres, readNode, type NodeRow } from './node-rows.ts'
import {
  learnedIp,
  PORT_COLUMNS,
  PORT_SORTS,
  portColumns,
  portsWithin,
  portWheres,
  readPort,
  type PortRow,
} from './port-rows.ts'
import type {
  ConductorRow,
  Damaged,
  DriveContent,
  EventRecord,
  Journal,
  NodeCount,
  NodeFilter,
  ObjectStore,
  Page,
  PortFilter,
  PortRecord,
  Store,
} from './port.ts'
import type { Seal } from './secrets.ts'
import { conductorTable, listWhole, objectTable, upgradeObjects } from './tables.ts'

const SLICE = 200

export class SqliteStore implements Store {
  readonly objects: ObjectStore
  readonly journal: Journal
  readonly conductors: () => Promise<ConductorRow[]>
  readonly putConductor: (row: ConductorRow) => Promise<void>
  private readonly file: SqliteFile
  private readonly seal: Seal
  private readonly drives: Drives
  private readonly damage = new Damage()

  /** Throws `store.locked` when another conductor has the file, `secret.key` when the key is not the one that its secrets were sealed with. */
  constructor(path: string, seal: Seal, clock: Clock = systemClock) {
    this.seal = seal
    this.file = new SqliteFile(path, clock)
    this.drives = new Drives(this.file, seal)
    try {
      checkKey(this.file, seal)
      upgradeNodes(this.file, { seal, drives: this.drives })
      upgradeObjects(this.file, seal)
    } catch (error) {
      this.file.close()
      throw error
    }
    this.objects = objectTable(this.file, this.damage, seal)
    this.journal = journalTable(this.file)
    const table = conductorTable(this.file)
    this.conductors = () => table.conductors()
    this.putConductor = (row) => table.putConductor(row)
  }

  async addNode(node: NodeRecord): Promise<void> {
    await this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      const columns = { uuid: node.uuid, created_at: node.createdAtMs, ...nodeColumns(node, this.seal) }
      this.checkBmc(node)
      this.insert('nodes', columns)
      this.file.addEvent({
        atMs: node.createdAtMs,
        nodeUuid: node.uuid,
        kind: 'node-added',
        detail: { name: node.name, driver: node.driver },
      })
    })
  }

  async putNode(node: NodeRecord, events: readonly Omit<EventRecord, 'seq'>[] = []): Promise<NodeRecord> {
    const next = { ...node, version: node.version + 1 }
    const columns = nodeColumns(next, this.seal)
    const sets = Object.keys(columns).map((name) => `${name} = ?`)
    await this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      this.checkBmc(next)
      this.drives.replace(node.uuid, next.configDrive)
      const { changes } = this.file
        .sql(`UPDATE nodes SET ${sets.join()} WHERE uuid = ? AND version = ?`)
        .run(...Object.values(columns), node.uuid, node.version)
      if (changes === 0) throw new Fault('store.stale', `node ${node.uuid} is no longer at version ${node.version}`)
      for (const event of events) this.file.addEvent(event)
    })
    this.damage.forget('node', node.uuid)
    return next
  }

  async node(uuid: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.file.sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE uuid = ?`).get(uuid))
  }

  async nodeByName(name: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.file.sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE name = ?`).get(name))
  }

  async sharersOfBmc(node: NodeRecord): Promise<string[]> {
    const rows = this.file
      .sql<{ uuid: string }>('SELECT uuid FROM nodes WHERE bmc = ? AND uuid <> ? ORDER BY id LIMIT 100')
      .all(bmcAddress(node), node.uuid)
    return rows.map(({ uuid }) => uuid)
  }

  async nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]> {
    const narrowed = { wheres: nodeWheres(filter), within: nodesWithin(filter) }
    const listing = {
      table: 'nodes',
      columns: NODE_COLUMNS,
      what: 'node',
      ...narrowed,
      page,
      sorts: NODE_SORTS,
    } as const
    return listWhole<NodeRow, NodeRecord>(this.file, listing, (rows) => this.damage.openAll(rows, this.readNode))
  }

  async everyNode(): Promise<NodeRecord[]> {
    const every: NodeRecord[] = []
    for (let after = 0; ;) {
      const rows = this.file
        .sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE id > ? ORDER BY id LIMIT ?`)
        .all(after, SLICE)
      every.push(...this.damage.openAll(rows, this.readNode))
      if (rows.length < SLICE) return every
      after = rows.at(-1)?.id ?? after
      await turn()
    }
  }

  async nodeCounts(): Promise<NodeCount[]> {
    const groups = this.file.sql<{ state: string; power: string | null; maintenance: number; count: number }>(
      'SELECT provision_state AS state, power_state AS power, maintenance, count(*) AS count FROM nodes GROUP BY 1, 2, 3',
    )
    return groups.all().map(({ state, power, maintenance, count }) => ({
      provisionState: state,
      powerState: power,
      maintenance: maintenance === 1,
      count,
    }))
  }

  async removeNode(uuid: string): Promise<void> {
    await this.file.write({ what: 'node', nodeUuid: uuid }, () => {
      this.drives.removeOf(uuid)
      this.file.sql('DELETE FROM nodes WHERE uuid = ?').run(uuid)
    })
    this.damage.forgetUnless((one) => this.exists(one))
  }

  async shards(): Promise<{ name: string; count: number }[]> {
    return this.file
      .sql<{ name: string; count: number }>(
        'SELECT shard AS name, count(*) AS count FROM nodes WHERE shard IS NOT NULL GROUP BY 1 ORDER BY 1',
      )
      .all()
  }

  addConfigDrive = (nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef> =>
    this.drives.add(nodeUuid, id, content)
  configDrive = (nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent> => this.drives.read(nodeUuid, drive)
  removeConfigDrive = (id: string): Promise<void> => this.drives.remove(id)

  async addPort(port: PortRecord): Promise<void> {
    await this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () =>
      this.insert('ports', {
        uuid: port.uuid,
        created_at: port.createdAtMs,
        learned_ip: learnedIp(port),
        ...portColumns(port),
      }),
    )
  }

  async putPort(port: PortRecord): Promise<PortRecord> {
    const next = { ...port, version: port.version + 1 }
    const columns = portColumns(next)
    const sets = Object.keys(columns).map((name) => `${name} = ?`)
    await this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () => {
      const { changes } = this.file
        .sql(`UPDATE ports SET ${sets.join()} WHERE uuid = ? AND version = ?`)
        .run(...Object.values(columns), port.uuid, port.version)
      if (changes === 0) throw stale('port', port.uuid)
    })
    this.damage.forget('port', port.uuid)
    return next
  }

  async learnPortIp(address: string, ip: string): Promise<void> {
    const known = this.file
      .sql<{ learned_ip: string | null }>('SELECT learned_ip FROM ports WHERE address = ?')
      .get(address)
    if (!known || known.learned_ip === ip) return
    await this.file.write({ what: 'port' }, () =>
      this.file.sql('UPDATE ports SET learned_ip = ? WHERE address = ?').run(ip, address),
    )
  }

  async port(ident: string): Promise<PortRecord | undefined> {
    const by = (column: string, value: string) =>
      this.openPort(this.file.sql<PortRow>(`SELECT ${PORT_COLUMNS} FROM ports WHERE ${column} = ?`).get(value))
    return by('uuid', ident.toLowerCase()) ?? by('name', ident)
  }

  async portByAddress(address: string): Promise<PortRecord | undefined> {
    return this.openPort(this.file.sql<PortRow>(`SELECT ${PORT_COLUMNS} FROM ports WHERE address = ?`).get(address))
  }

  async ports(filter: PortFilter, page: Page): Promise<PortRecord[]> {
    const narrowed = { wheres: portWheres(filter), within: portsWithin(filter) }
    const listing = {
      table: 'ports',
      columns: PORT_COLUMNS,
      what: 'port',
      ...narrowed,
      page,
      sorts: PORT_SORTS,
    } as const
    return listWhole<PortRow, PortRecord>(this.file, listing, (rows) => this.damage.openAll(rows, this.readPort))
  }

  async removePort(uuid: string): Promise<void> {
    await this.file.write({ what: 'port' }, () => this.file.sql('DELETE FROM ports WHERE uuid = ?').run(uuid))
    this.damage.forget('port', uuid)
  }

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

  damaged = (): readonly Damaged[] => this.damage.list()

  trouble = (): Promise<string | undefined> => this.file.trouble()

  async survey(): Promise<readonly Damaged[]> {
    await this.drives.sweep()
    await this.everyNode()
    for (let after = 0; ;) {
      const rows = this.file
        .sql<PortRow & { id: number }>(`SELECT id, ${PORT_COLUMNS} FROM ports WHERE id > ? ORDER BY id LIMIT ?`)
        .all(after, SLICE)
      this.damage.openAll(rows, this.readPort)
      if (rows.length < SLICE) break
      after = rows.at(-1)?.id ?? after
      await turn()
    }
    return this.damaged()
  }

  async close(): Promise<void> {
    this.file.close()
  }

  /** Inside a transaction. Two nodes that shared a BMC before this was checked can still be saved. */
  private checkBmc(node: NodeRecord): void {
    const bmc = bmcAddress(node)
    if (bmc === null) return
    const { other, same } = this.file
      .sql<{ other: number; same: number }>(
        'SELECT EXISTS (SELECT 1 FROM nodes WHERE bmc = ? AND uuid <> ?) AS other, EXISTS (SELECT 1 FROM nodes WHERE uuid = ? AND bmc = ?) AS same',
      )
      .get(bmc, node.uuid, node.uuid, bmc) ?? { other: 0, same: 0 }
    if (other && !same)
      throw new Fault(
        'object.conflict',
        `driver_info/${bmcAddressKeys(node.driver)[0]}: another node has this BMC already; one BMC belongs to one node`,
      )
  }

  private exists({ kind, uuid }: Damaged): boolean {
    if (kind === 'node' || kind === 'port')
      return this.file.sql(`SELECT 1 FROM ${kind}s WHERE uuid = ?`).get(uuid) !== undefined
    return this.file.sql('SELECT 1 FROM objects WHERE kind = ? AND uuid = ?').get(kind, uuid) !== undefined
  }

  private insert(table: 'nodes' | 'ports', columns: Readonly<Record<string, Value>>): void {
    const names = Object.keys(columns)
    this.file
      .sql(`INSERT INTO ${table} (${names.join()}) VALUES (${names.map(() => '?').join()})`)
      .run(...Object.values(columns))
  }

  private readonly readNode = (row: NodeRow): NodeRecord => {
    const { uuid, name, owner, lessee } = row
    return this.damage.open({ kind: 'node', uuid, name, owner, lessee }, () => readNode(row, this.seal))
  }

  private readonly readPort = (row: PortRow): PortRecord =>
    this.damage.open({ kind: 'port', uuid: row.uuid, name: row.name, owner: null, lessee: null }, () => readPort(row))

  private openNode = (row: NodeRow | undefined): NodeRecord | undefined => row && this.readNode(row)
  private openPort = (row: PortRow | undefined): PortRecord | undefined => row && this.readPort(row)
}
