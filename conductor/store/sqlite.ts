/** The store in one SQLite file: WAL, every change one transaction, one conductor at a time. Nodes, ports and inventories here. */
import { Fault } from '../../kit/fault.ts'
import { bmcAddress, bmcAddressKeys } from '../bmc/address.ts'
import { PRESENCE } from '../node/belief.ts'
import { newNode, type NodeRecord } from '../node/record.ts'
import { marks, openBody, SqliteFile, stale, type Row, type Value } from './file.ts'
import {
  PORT_DEFAULTS,
  type ConductorRow,
  type EventRecord,
  type Journal,
  type NodeFilter,
  type ObjectStore,
  type Page,
  type PortFilter,
  type PortRecord,
  type Store,
} from './port.ts'
import type { Seal } from './secrets.ts'
import { conductorTable, journalTable, objectTable, OF_PROJECT } from './tables.ts'

const inBody = (fields: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(fields).map(([name, key]) => [name, `json_extract(body, '$.${key}')`]))

const NODE_SORTS: Record<string, string> = {
  ...Object.fromEntries(
    ['id', 'uuid', 'name', 'provision_state', 'maintenance', 'driver', 'instance_uuid', 'resource_class', 'parent_node', 'created_at', 'updated_at'].map(
      (name) => [name, name],
    ),
  ),
  ...inBody({
    power_state: 'powerState',
    target_power_state: 'targetPowerState',
    last_error: 'lastError',
    maintenance_reason: 'maintenanceReason',
    fault: 'fault',
    owner: 'owner',
    lessee: 'lessee',
    description: 'description',
    conductor_group: 'conductorGroup',
    shard: 'shard',
    protected: 'protected',
    retired: 'retired',
    automated_clean: 'automatedClean',
    instance_name: 'instanceName',
    chassis_uuid: 'chassisUuid',
    allocation_uuid: 'allocationUuid',
    provision_updated_at: 'provisionUpdatedAtMs',
    inspection_started_at: 'inspectionStartedAtMs',
    inspection_finished_at: 'inspectionFinishedAtMs',
  }),
}
const PORT_SORTS: Record<string, string> = {
  ...Object.fromEntries(['id', 'uuid', 'address', 'name', 'node_uuid', 'created_at', 'updated_at'].map((name) => [name, name])),
  ...inBody({ pxe_enabled: 'pxeEnabled', physical_network: 'physicalNetwork', portgroup_uuid: 'portgroupUuid', is_smartnic: 'isSmartnic' }),
}
const OF_SHARD = (shards: readonly string[]) => `node_uuid IN (SELECT uuid FROM nodes WHERE json_extract(body, '$.shard') IN (${marks(shards)}))`

export class SqliteStore implements Store {
  readonly objects: ObjectStore
  readonly journal: Journal
  readonly conductors: () => Promise<ConductorRow[]>
  readonly putConductor: (row: ConductorRow) => Promise<void>
  private readonly file: SqliteFile
  private readonly seal: Seal

  /** Throws `store.locked` when another conductor has the file. */
  constructor(path: string, seal: Seal) {
    this.seal = seal
    this.file = new SqliteFile(path)
    this.objects = objectTable(this.file)
    this.journal = journalTable(this.file)
    const table = conductorTable(this.file)
    this.conductors = () => table.conductors()
    this.putConductor = (row) => table.putConductor(row)
  }

  async addNode(node: NodeRecord): Promise<void> {
    this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      const columns = this.nodeColumns(node)
      this.checkBmc(node, columns.bmc)
      const names = Object.keys(columns)
      this.file.sql(`INSERT INTO nodes (${names.join()}) VALUES (${marks(names)})`).run(...Object.values(columns))
      this.file.addEvent({ atMs: node.createdAtMs, nodeUuid: node.uuid, kind: 'node-added', detail: { name: node.name, driver: node.driver } })
    })
  }

  async putNode(node: NodeRecord, events: readonly Omit<EventRecord, 'seq'>[] = []): Promise<NodeRecord> {
    const next = { ...node, version: node.version + 1 }
    this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      const columns = this.nodeColumns(next)
      this.checkBmc(next, columns.bmc)
      const sets = Object.keys(columns).map((name) => `${name} = ?`)
      const { changes } = this.file
        .sql(`UPDATE nodes SET ${sets.join()} WHERE uuid = ? AND version = ?`)
        .run(...Object.values(columns), node.uuid, node.version)
      if (changes === 0) throw new Fault('store.stale', `node ${node.uuid} is no longer at version ${node.version}`)
      for (const event of events) this.file.addEvent(event)
    })
    return next
  }

  async node(uuid: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.file.sql<Row>('SELECT body, version FROM nodes WHERE uuid = ?').get(uuid))
  }

  async nodeByName(name: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.file.sql<Row>('SELECT body, version FROM nodes WHERE name = ?').get(name))
  }

  async sharersOfBmc(node: NodeRecord): Promise<string[]> {
    const rows = this.file.sql<{ uuid: string }>('SELECT uuid FROM nodes WHERE bmc = ? AND uuid <> ? ORDER BY id LIMIT 100').all(bmcAddress(node), node.uuid)
    return rows.map(({ uuid }) => uuid)
  }

  async nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]> {
    return this.file
      .list({ table: 'nodes', columns: 'body, version', what: 'node', wheres: nodeWheres(filter), within: nodesWithin(filter), page, sorts: NODE_SORTS })
      .map((row) => this.openNode(row) as NodeRecord)
  }

  async everyNode(): Promise<NodeRecord[]> {
    return this.file
      .sql<Row>('SELECT body, version FROM nodes ORDER BY id')
      .all()
      .map((row) => this.openNode(row) as NodeRecord)
  }

  async removeNode(uuid: string): Promise<void> {
    this.file.write({ what: 'node', nodeUuid: uuid }, () => this.file.sql('DELETE FROM nodes WHERE uuid = ?').run(uuid))
  }

  async shards(): Promise<{ name: string; count: number }[]> {
    const shard = "json_extract(body, '$.shard')"
    return this.file
      .sql<{ name: string; count: number }>(`SELECT ${shard} AS name, count(*) AS count FROM nodes WHERE ${shard} IS NOT NULL GROUP BY 1 ORDER BY 1`)
      .all()
  }

  async addPort(port: PortRecord): Promise<void> {
    this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () =>
      this.file
        .sql('INSERT INTO ports (uuid, address, name, node_uuid, created_at, updated_at, version, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
        .run(port.uuid, port.address, port.name, port.nodeUuid, port.createdAtMs, port.updatedAtMs, port.version, JSON.stringify(port)),
    )
  }

  async putPort(port: PortRecord): Promise<PortRecord> {
    const next = { ...port, version: port.version + 1 }
    this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () => {
      const { changes } = this.file
        .sql('UPDATE ports SET address = ?, name = ?, node_uuid = ?, updated_at = ?, body = ?, version = ? WHERE uuid = ? AND version = ?')
        .run(port.address, port.name, port.nodeUuid, port.updatedAtMs, JSON.stringify(next), next.version, port.uuid, port.version)
      if (changes === 0) throw stale('port', port.uuid)
    })
    return next
  }

  async port(ident: string): Promise<PortRecord | undefined> {
    const by = (column: string, value: string) => openPort(this.file.sql<Row>(`SELECT body, version FROM ports WHERE ${column} = ?`).get(value))
    return by('uuid', ident.toLowerCase()) ?? by('name', ident)
  }

  async portByAddress(address: string): Promise<PortRecord | undefined> {
    return openPort(this.file.sql<Row>('SELECT body, version FROM ports WHERE address = ?').get(address))
  }

  async ports(filter: PortFilter, page: Page): Promise<PortRecord[]> {
    const wheres: [string, ...Value[]][] = []
    if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
    if (filter.address !== undefined) wheres.push(['address = ?', filter.address])
    if (filter.fixedIp !== undefined) wheres.push(["json_extract(body, '$.extra.ipv4_address') = ?", filter.fixedIp])
    if (filter.heldIp !== undefined) wheres.push(["json_extract(body, '$.internalInfo.ipv4_address') = ?", filter.heldIp])
    if (filter.portgroupUuid !== undefined) wheres.push(["json_extract(body, '$.portgroupUuid') = ?", filter.portgroupUuid])
    if (filter.descriptionContains !== undefined) wheres.push(["instr(json_extract(body, '$.description'), ?) > 0", filter.descriptionContains])
    if (filter.shard) wheres.push([OF_SHARD(filter.shard), ...filter.shard])
    if (filter.conductorGroups)
      wheres.push([
        `node_uuid IN (SELECT uuid FROM nodes WHERE json_extract(body, '$.conductorGroup') IN (${marks(filter.conductorGroups)}))`,
        ...filter.conductorGroups,
      ])
    const within: [string, ...Value[]][] = filter.project === undefined ? [] : [[OF_PROJECT, filter.project, filter.project]]
    const columns = 'body, version'
    return this.file.list({ table: 'ports', columns, what: 'port', wheres, within, page, sorts: PORT_SORTS }).map((row) => openPort(row) as PortRecord)
  }

  async everyPort(): Promise<PortRecord[]> {
    return this.file
      .sql<Row>('SELECT body, version FROM ports ORDER BY id')
      .all()
      .map((row) => openPort(row) as PortRecord)
  }

  async removePort(uuid: string): Promise<void> {
    this.file.write({ what: 'port' }, () => this.file.sql('DELETE FROM ports WHERE uuid = ?').run(uuid))
  }

  async inventory(nodeUuid: string): Promise<unknown> {
    return openBody(this.file.sql<Row>('SELECT body FROM inventories WHERE node_uuid = ?').get(nodeUuid))
  }

  async putInventory(nodeUuid: string, inventory: unknown): Promise<void> {
    this.file.write({ what: 'inventory', nodeUuid }, () =>
      this.file.sql('INSERT OR REPLACE INTO inventories (node_uuid, body) VALUES (?, ?)').run(nodeUuid, JSON.stringify(inventory)),
    )
  }

  async close(): Promise<void> {
    this.file.close()
  }

  /** Inside a transaction. Two nodes that shared a BMC before this was checked can still be saved. */
  private checkBmc(node: NodeRecord, bmc: Value | undefined): void {
    if (bmc === null || bmc === undefined) return
    const { other, same } = this.file
      .sql<{ other: number; same: number }>(
        'SELECT EXISTS (SELECT 1 FROM nodes WHERE bmc = ? AND uuid <> ?) AS other, EXISTS (SELECT 1 FROM nodes WHERE uuid = ? AND bmc = ?) AS same',
      )
      .get(bmc, node.uuid, node.uuid, bmc) ?? { other: 0, same: 0 }
    if (other && !same)
      throw new Fault('object.conflict', `driver_info/${bmcAddressKeys(node.driver)[0]}: another node has this BMC already; one BMC belongs to one node`)
  }

  private nodeColumns(node: NodeRecord): Record<string, Value> {
    const sealed = {
      ...node,
      driverInfo: this.seal.closeAll(node.driverInfo, node.uuid),
      instanceInfo: this.seal.closeAll(node.instanceInfo, node.uuid),
    }
    return {
      uuid: node.uuid,
      name: node.name,
      instance_uuid: node.instanceUuid,
      provision_state: node.provisionState,
      maintenance: node.maintenance ? 1 : 0,
      driver: node.driver,
      resource_class: node.resourceClass,
      parent_node: node.parentNode,
      bmc: bmcAddress(node),
      version: node.version,
      created_at: node.createdAtMs,
      updated_at: node.updatedAtMs,
      body: JSON.stringify(sealed),
    }
  }

  private openNode(row: Row | undefined): NodeRecord | undefined {
    const stored = openBody<NodeRecord>(row)
    if (!stored) return undefined
    // A record of an older program lacks the fields that came later.
    const node = stored.interfaces === undefined || stored.machine.bootToken === undefined ? upgraded(stored) : stored
    return { ...node, driverInfo: this.seal.openAll(node.driverInfo, node.uuid), instanceInfo: this.seal.openAll(node.instanceInfo, node.uuid) }
  }
}

function upgraded(stored: NodeRecord): NodeRecord {
  const fresh = newNode({ uuid: stored.uuid, driver: stored.driver }, stored.createdAtMs)
  // A boot that an older program ordered is still to be traded.
  const presence = PRESENCE[stored.provisionState]
  const bootToken =
    presence === 'none' || presence === 'idle' ? 'none' : stored.agent ? 'traded' : presence === 'works' || presence === 'boots' ? 'good' : 'none'
  return { ...fresh, ...stored, machine: { ...fresh.machine, ...stored.machine, bootToken: stored.machine.bootToken ?? bootToken } }
}

const openPort = (row: Row | undefined): PortRecord | undefined => {
  const port = openBody<PortRecord>(row)
  return port && { ...PORT_DEFAULTS, ...port }
}

const nodesWithin = ({ project }: NodeFilter): [string, ...Value[]][] =>
  project === undefined ? [] : [["(json_extract(body, '$.owner') = ? OR json_extract(body, '$.lessee') = ?)", project, project]]

function nodeWheres(filter: NodeFilter): [string, ...Value[]][] {
  const body = (key: string) => `json_extract(body, '$.${key}')`
  const wheres: [string, ...Value[]][] = []
  const equal = (column: string, value: string | boolean | undefined) =>
    value !== undefined && wheres.push([`${column} = ?`, typeof value === 'boolean' ? Number(value) : value])
  equal('instance_uuid', filter.instanceUuid)
  equal('maintenance', filter.maintenance)
  equal('provision_state', filter.provisionState)
  equal('driver', filter.driver)
  equal('resource_class', filter.resourceClass)
  equal('parent_node', filter.parentNode)
  for (const key of ['fault', 'owner', 'lessee', 'chassisUuid', 'conductorGroup', 'retired', 'instanceName'] as const) equal(body(key), filter[key])
  if (filter.associated !== undefined) wheres.push(['(instance_uuid IS NOT NULL) = ?', Number(filter.associated)])
  if (filter.descriptionContains !== undefined) wheres.push([`instr(${body('description')}, ?) > 0`, filter.descriptionContains])
  if (filter.shard) wheres.push([`${body('shard')} IN (${marks(filter.shard)})`, ...filter.shard])
  if (filter.vif !== undefined) wheres.push(["EXISTS (SELECT 1 FROM json_each(body, '$.vifs') WHERE key = ?)", filter.vif])
  if (filter.sharded !== undefined) wheres.push([`(${body('shard')} IS NOT NULL) = ?`, Number(filter.sharded)])
  if (filter.parentNode === undefined && filter.includeChildren !== true) wheres.push(['parent_node IS NULL'])
  return wheres
}
