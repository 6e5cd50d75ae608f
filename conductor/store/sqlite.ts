/** The store in one SQLite file: WAL, every change one transaction, one conductor at a time. */
import Database from 'better-sqlite3'
import { Fault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import { MIGRATIONS } from './migrations.ts'
import type { EventRecord, NodeFilter, Page, PortRecord, Store } from './port.ts'
import type { Seal } from './secrets.ts'

type Row = { body: string; version?: number }
type Value = string | number | null

/** Columns that lists may be sorted by; everything else lives in the body. */
const NODE_SORT: Record<string, string> = {
  id: 'id',
  uuid: 'uuid',
  name: 'name',
  provision_state: 'provision_state',
  maintenance: 'maintenance',
  driver: 'driver',
  instance_uuid: 'instance_uuid',
  resource_class: 'resource_class',
  created_at: 'created_at',
  updated_at: 'updated_at',
}
const PORT_SORT: Record<string, string> = { id: 'id', uuid: 'uuid', address: 'address', created_at: 'created_at', updated_at: 'updated_at' }

export class SqliteStore implements Store {
  private readonly db: Database.Database
  private readonly lock: Database.Database
  private readonly seal: Seal

  /** Throws `store.locked` when another conductor has the directory. */
  constructor(path: string, seal: Seal) {
    this.seal = seal
    this.lock = takeLock(`${path}.lock`)
    try {
      this.db = new Database(path)
      this.db.pragma('journal_mode = WAL')
      // FULL: what was answered with 2xx survives a power cut, not only a crash of the process.
      this.db.pragma('synchronous = FULL')
      this.db.pragma('foreign_keys = ON')
      migrate(this.db)
    } catch (error) {
      this.lock.close()
      throw broken(error)
    }
  }

  async addNode(node: NodeRecord): Promise<void> {
    this.write(() => {
      const columns = this.nodeColumns(node)
      const names = Object.keys(columns)
      this.db.prepare(`INSERT INTO nodes (${names.join()}) VALUES (${names.map(() => '?').join()})`).run(...Object.values(columns))
    }, 'node')
  }

  async putNode(node: NodeRecord, events: readonly Omit<EventRecord, 'seq'>[] = []): Promise<NodeRecord> {
    const next = { ...node, version: node.version + 1 }
    this.write(() => {
      const columns = this.nodeColumns(next)
      const sets = Object.keys(columns).map((name) => `${name} = ?`)
      const { changes } = this.db
        .prepare(`UPDATE nodes SET ${sets.join()} WHERE uuid = ? AND version = ?`)
        .run(...Object.values(columns), node.uuid, node.version)
      if (changes === 0) throw new Fault('store.stale', `node ${node.uuid} is no longer at version ${node.version}`)
      for (const event of events) this.insertEvent(event)
    }, 'node')
    return next
  }

  async node(uuid: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.db.prepare<[string], Row>('SELECT body, version FROM nodes WHERE uuid = ?').get(uuid))
  }

  async nodeByName(name: string): Promise<NodeRecord | undefined> {
    return this.openNode(this.db.prepare<[string], Row>('SELECT body, version FROM nodes WHERE name = ?').get(name))
  }

  async nodes(filter: NodeFilter, page: Page): Promise<NodeRecord[]> {
    const wheres: [string, Value][] = []
    if (filter.instanceUuid !== undefined) wheres.push(['instance_uuid = ?', filter.instanceUuid])
    if (filter.maintenance !== undefined) wheres.push(['maintenance = ?', filter.maintenance ? 1 : 0])
    if (filter.provisionState !== undefined) wheres.push(['provision_state = ?', filter.provisionState])
    if (filter.driver !== undefined) wheres.push(['driver = ?', filter.driver])
    if (filter.resourceClass !== undefined) wheres.push(['resource_class = ?', filter.resourceClass])
    if (filter.fault !== undefined) wheres.push(["json_extract(body, '$.fault') = ?", filter.fault])
    if (filter.owner !== undefined) wheres.push(["json_extract(body, '$.owner') = ?", filter.owner])
    if (filter.descriptionContains !== undefined) wheres.push(["instr(json_extract(body, '$.description'), ?) > 0", filter.descriptionContains])
    if (filter.associated !== undefined) wheres.push([`(instance_uuid IS NOT NULL) = ?`, filter.associated ? 1 : 0])
    return this.list('nodes', { wheres, page, sort: NODE_SORT }).map((row) => this.openNode(row) as NodeRecord)
  }

  async everyNode(): Promise<NodeRecord[]> {
    return this.db
      .prepare<[], Row>('SELECT body, version FROM nodes ORDER BY id')
      .all()
      .map((row) => this.openNode(row) as NodeRecord)
  }

  async removeNode(uuid: string): Promise<void> {
    this.write(() => this.db.prepare('DELETE FROM nodes WHERE uuid = ?').run(uuid), 'node')
  }

  async addPort(port: PortRecord): Promise<void> {
    this.write(
      () =>
        this.db
          .prepare('INSERT INTO ports (uuid, address, node_uuid, created_at, updated_at, body) VALUES (?, ?, ?, ?, ?, ?)')
          .run(port.uuid, port.address, port.nodeUuid, port.createdAtMs, port.updatedAtMs, JSON.stringify(port)),
      'port',
    )
  }

  async putPort(port: PortRecord): Promise<void> {
    this.write(
      () =>
        this.db
          .prepare('UPDATE ports SET address = ?, node_uuid = ?, updated_at = ?, body = ? WHERE uuid = ?')
          .run(port.address, port.nodeUuid, port.updatedAtMs, JSON.stringify(port), port.uuid),
      'port',
    )
  }

  async port(uuid: string): Promise<PortRecord | undefined> {
    return openBody(this.db.prepare<[string], Row>('SELECT body FROM ports WHERE uuid = ?').get(uuid))
  }

  async portByAddress(address: string): Promise<PortRecord | undefined> {
    return openBody(this.db.prepare<[string], Row>('SELECT body FROM ports WHERE address = ?').get(address))
  }

  async ports(filter: { nodeUuid?: string; address?: string }, page: Page): Promise<PortRecord[]> {
    const wheres: [string, Value][] = []
    if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
    if (filter.address !== undefined) wheres.push(['address = ?', filter.address])
    return this.list('ports', { wheres, page, sort: PORT_SORT }).map((row) => openBody<PortRecord>(row) as PortRecord)
  }

  async everyPort(): Promise<PortRecord[]> {
    return this.db
      .prepare<[], Row>('SELECT body FROM ports ORDER BY id')
      .all()
      .map((row) => openBody<PortRecord>(row) as PortRecord)
  }

  async removePort(uuid: string): Promise<void> {
    this.write(() => this.db.prepare('DELETE FROM ports WHERE uuid = ?').run(uuid), 'port')
  }

  async inventory(nodeUuid: string): Promise<unknown> {
    return openBody(this.db.prepare<[string], Row>('SELECT body FROM inventories WHERE node_uuid = ?').get(nodeUuid))
  }

  async putInventory(nodeUuid: string, inventory: unknown): Promise<void> {
    this.write(
      () => this.db.prepare('INSERT OR REPLACE INTO inventories (node_uuid, body) VALUES (?, ?)').run(nodeUuid, JSON.stringify(inventory)),
      'inventory',
    )
  }

  async addEvent(event: Omit<EventRecord, 'seq'>): Promise<void> {
    this.write(() => this.insertEvent(event), 'event')
  }

  async events(nodeUuid: string, limit: number): Promise<EventRecord[]> {
    type EventRow = { seq: number; at: number; node_uuid: string | null; kind: string; detail: string }
    const rows = this.db.prepare<[string, number], EventRow>('SELECT * FROM events WHERE node_uuid = ? ORDER BY seq DESC LIMIT ?').all(nodeUuid, limit)
    return rows
      .reverse()
      .map((row) => ({ seq: row.seq, atMs: row.at, nodeUuid: row.node_uuid, kind: row.kind, detail: JSON.parse(row.detail) as Record<string, unknown> }))
  }

  async close(): Promise<void> {
    this.db.close()
    this.lock.close()
  }

  private nodeColumns(node: NodeRecord): Record<string, Value> {
    const sealed = { ...node, driverInfo: this.seal.closeAll(node.driverInfo, node.uuid) }
    return {
      uuid: node.uuid,
      name: node.name,
      instance_uuid: node.instanceUuid,
      provision_state: node.provisionState,
      maintenance: node.maintenance ? 1 : 0,
      driver: node.driver,
      resource_class: node.resourceClass,
      version: node.version,
      created_at: node.createdAtMs,
      updated_at: node.updatedAtMs,
      body: JSON.stringify(sealed),
    }
  }

  private openNode(row: Row | undefined): NodeRecord | undefined {
    const node = openBody<NodeRecord>(row)
    return node && { ...node, driverInfo: this.seal.openAll(node.driverInfo, node.uuid) }
  }

  private insertEvent(event: Omit<EventRecord, 'seq'>): void {
    this.db
      .prepare('INSERT INTO events (at, node_uuid, kind, detail) VALUES (?, ?, ?, ?)')
      .run(event.atMs, event.nodeUuid, event.kind, JSON.stringify(event.detail))
  }

  /** Key-set paging: rows after the marker in the wanted order; NULLs come first, as SQLite sorts them. */
  private list(table: 'nodes' | 'ports', at: { wheres: [string, Value][]; page: Page; sort: Record<string, string> }): Row[] {
    const column = at.sort[at.page.sortKey]
    if (!column)
      throw new Fault(
        'input.invalid',
        `sort_key: ${table} cannot be sorted by ${JSON.stringify(at.page.sortKey)}; use one of ${Object.keys(at.sort).join(', ')}`,
      )
    const wheres = [...at.wheres]
    const values = wheres.map(([, value]) => value)
    const clauses = wheres.map(([clause]) => clause)
    const [order, beyond] = at.page.descending ? ['DESC', '<'] : ['ASC', '>']
    if (at.page.marker !== undefined) {
      const known = this.db.prepare<[string], { id: number }>(`SELECT id FROM ${table} WHERE uuid = ?`).get(at.page.marker)
      if (!known) throw new Fault('object.missing', `marker: there is no ${table.slice(0, -1)} ${at.page.marker}`)
      clauses.push(`(coalesce(${column}, ''), id) ${beyond} (SELECT coalesce(${column}, ''), id FROM ${table} WHERE id = ?)`)
      values.push(known.id)
    }
    const where = clauses.length > 0 ? `WHERE ${clauses.join(' AND ')}` : ''
    const sql = `SELECT body${table === 'nodes' ? ', version' : ''} FROM ${table} ${where} ORDER BY coalesce(${column}, '') ${order}, id ${order} LIMIT ?`
    return this.db.prepare<Value[], Row>(sql).all(...values, at.page.limit)
  }

  private write<T>(act: () => T, what: string): T {
    try {
      return this.db.transaction(act).immediate()
    } catch (error) {
      if (error instanceof Fault) throw error
      const code = (error as { code?: string }).code ?? ''
      if (code.startsWith('SQLITE_CONSTRAINT'))
        throw new Fault('object.conflict', `${what}: ${constraintField(String((error as Error).message))} is taken already`, { cause: error })
      throw broken(error)
    }
  }
}

const constraintField = (message: string) => /\w+\.(\w+)$/.exec(message)?.[1] ?? 'a value'

const broken = (error: unknown) =>
  error instanceof Fault ? error : new Fault('store.broken', `the database failed: ${(error as Error).message}`, { cause: error })

function openBody<T>(row: Row | undefined): T | undefined {
  if (!row) return undefined
  const body = JSON.parse(row.body) as T
  return row.version === undefined ? body : { ...body, version: row.version }
}

/** Held as an exclusive transaction on a file beside the database: the kernel lets go of it when the process dies, however it dies. */
function takeLock(path: string): Database.Database {
  const lock = new Database(path, { timeout: 0 })
  try {
    lock.pragma('locking_mode = EXCLUSIVE')
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY')) throw new Fault('store.locked', `another conductor holds ${path}`, { cause: error })
    throw broken(error)
  }
}

function migrate(db: Database.Database): void {
  const at = db.pragma('user_version', { simple: true }) as number
  if (at > MIGRATIONS.length) throw new Fault('store.broken', `the database has version ${at}, this program knows ${MIGRATIONS.length}: use the newer program`)
  for (const [i, sql] of MIGRATIONS.entries()) {
    if (i < at) continue
    db.transaction(() => {
      db.exec(sql)
      db.pragma(`user_version = ${i + 1}`)
    }).immediate()
  }
}
