/** The table of nodes: written version by version with their events and config drives, one BMC per node, listed in
 *  pages. */
import { turn } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { bmcAddress, bmcAddressKeys } from '../bmc/address.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Damage } from './damage.ts'
import type { Drives } from './drives.ts'
import type { SqliteFile, Value } from './file.ts'
import {
  EVERY_NODE,
  NODE_COLUMNS,
  NODE_FLAGS,
  NODE_SORTS,
  nodeColumns,
  nodesWithin,
  nodeWheres,
  readNode,
  type NodeRow,
} from './node-rows.ts'
import type { DueNode, EventRecord, NodeCount, NodeFilter, Page } from './port.ts'
import type { Seal } from './secrets.ts'
import { listWhole } from './tables.ts'
import { VersionedTable, type Before } from './versioned.ts'

/** Rows that are read in one turn of the event loop. */
const SLICE = 200

interface NodeTableParts {
  readonly file: SqliteFile
  readonly seal: Seal
  readonly damage: Damage
  readonly drives: Drives
}

export class NodeTable {
  private readonly parts: NodeTableParts
  private readonly file: SqliteFile
  private readonly rows: VersionedTable

  constructor(parts: NodeTableParts) {
    this.parts = parts
    this.file = parts.file
    this.rows = new VersionedTable(parts.file, 'nodes', ['drive_id', 'owner', 'lessee', 'vifs', ...NODE_FLAGS])
  }

  async add(node: NodeRecord): Promise<void> {
    const columns = nodeColumns(node, this.parts.seal)
    await this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      this.checkBmc(node, columns.bmc ?? null)
      const since = { owner_seq: this.file.nextSeq(), lessee_seq: this.file.nextSeq() }
      this.rows.insert({ uuid: node.uuid, created_at: node.createdAtMs, ...since, ...columns })
      this.file.addEvent({
        atMs: node.createdAtMs,
        nodeUuid: node.uuid,
        kind: 'node-added',
        detail: { name: node.name, driver: node.driver },
      })
    })
  }

  async put(node: NodeRecord, events: readonly Omit<EventRecord, 'seq'>[]): Promise<NodeRecord> {
    const next = { ...node, version: node.version + 1 }
    const columns = nodeColumns(next, this.parts.seal)
    await this.file.write({ what: 'node', nodeUuid: node.uuid }, () => {
      const before = this.rows.before(node.uuid, node.version)
      // Two nodes that shared a BMC before this was checked can still be saved.
      if (columns.bmc !== before.bmc) this.checkBmc(next, columns.bmc ?? null)
      if (columns.drive_id !== before.drive_id) this.parts.drives.replace(node.uuid, next.configDrive)
      this.rows.replace(node.uuid, before, { ...columns, ...this.since(before, columns) })
      for (const event of events) this.file.addEvent(event)
    })
    this.parts.damage.forget('node', node.uuid)
    return next
  }

  one(column: 'uuid' | 'name', value: string): NodeRecord | undefined {
    const row = this.file.sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE ${column} = ?`).get(value)
    return row && this.read(row)
  }

  sharersOfBmc(node: NodeRecord): string[] {
    const rows = this.file
      .sql<{ uuid: string }>('SELECT uuid FROM nodes WHERE bmc = ? AND uuid <> ? ORDER BY id LIMIT 100')
      .all(bmcAddress(node), node.uuid)
    return rows.map(({ uuid }) => uuid)
  }

  list(filter: NodeFilter, page: Page): NodeRecord[] {
    const narrowed = { wheres: nodeWheres(filter), within: nodesWithin(filter) }
    const listing = {
      table: 'nodes',
      columns: NODE_COLUMNS,
      what: 'node',
      everyRow: EVERY_NODE,
      ...narrowed,
      page,
      sorts: NODE_SORTS,
    } as const
    return listWhole<NodeRow, NodeRecord>(this.file, listing, (rows) => this.parts.damage.openAll(rows, this.read))
  }

  async every(): Promise<NodeRecord[]> {
    const every: NodeRecord[] = []
    for (let after = 0; ;) {
      const rows = this.file
        .sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE id > ? ORDER BY id LIMIT ?`)
        .all(after, SLICE)
      every.push(...this.parts.damage.openAll(rows, this.read))
      if (rows.length < SLICE) return every
      after = rows.at(-1)?.id ?? after
      await turn()
    }
  }

  counts(): NodeCount[] {
    const groups = this.file.sql<{ state: string; power: string; maintenance: number; count: number }>(
      'SELECT provision_state AS state, power_state AS power, maintenance, nodes AS count FROM node_counts WHERE nodes > 0',
    )
    return groups.all().map(({ state, power, maintenance, count }) => ({
      provisionState: state,
      powerState: power === '' ? null : power,
      maintenance: maintenance === 1,
      count,
    }))
  }

  due(nowMs: number, { limit, after }: { limit: number; after?: DueNode | undefined }): DueNode[] {
    const from = after ?? { uuid: '', dueAtMs: Number.MIN_SAFE_INTEGER }
    return this.file
      .sql<DueNode>(
        `SELECT uuid, due_at AS dueAtMs FROM nodes WHERE due_at <= ? AND (due_at, uuid) > (?, ?)
         ORDER BY due_at, uuid LIMIT ?`,
      )
      .all(nowMs, from.dueAtMs, from.uuid, limit)
  }

  async remove(uuid: string): Promise<void> {
    await this.file.write({ what: 'node', nodeUuid: uuid }, () => {
      this.parts.drives.removeOf(uuid)
      this.file.sql('DELETE FROM nodes WHERE uuid = ?').run(uuid)
    })
  }

  shards(): { name: string; count: number }[] {
    return this.file
      .sql<{ name: string; count: number }>(
        'SELECT shard AS name, count(*) AS count FROM nodes WHERE shard IS NOT NULL GROUP BY 1 ORDER BY 1',
      )
      .all()
  }

  /** Inside a transaction. A new owner, or lessee, sees events from its change on. */
  private since(before: Before, columns: Readonly<Record<string, Value>>): Record<string, Value> {
    const changed = (['owner', 'lessee'] as const).filter((name) => before[name] !== columns[name])
    return Object.fromEntries(changed.map((name) => [`${name}_seq`, this.file.nextSeq()]))
  }

  /** Inside a transaction. */
  private checkBmc(node: NodeRecord, bmc: Value): void {
    if (bmc === null) return
    if (this.file.sql('SELECT 1 FROM nodes WHERE bmc = ? AND uuid <> ? LIMIT 1').get(bmc, node.uuid))
      throw new Fault(
        'object.conflict',
        `driver_info/${bmcAddressKeys(node.driver)[0]}: another node has this BMC already; one BMC belongs to one node`,
      )
  }

  private readonly read = (row: NodeRow): NodeRecord => {
    const { uuid, name, owner, lessee } = row
    return this.parts.damage.open({ kind: 'node', uuid, name, owner, lessee }, () => readNode(row, this.parts.seal))
  }
}
