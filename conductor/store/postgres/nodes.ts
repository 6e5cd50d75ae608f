/** The table of nodes in PostgreSQL: written version by version with their events and config drives, one BMC per node,
 *  listed in pages. */
import { bmcAddress } from '../../bmc/address.ts'
import type { NodeRecord } from '../../node/record.ts'
import type { Damage } from '../damage.ts'
import { moved } from '../moved.ts'
import { NODE_COLUMNS, NODE_SORTS, nodeColumns, readNode, type NodeRow } from '../node-rows.ts'
import type { DueNode, NewEvent, NodeCount, NodeFilter, Page } from '../port.ts'
import type { Seal } from '../secrets.ts'
import type { Changes } from './changes.ts'
import type { Connections, SqlValue } from './connect.ts'
import { listWhole } from './listing.ts'
import { nodesWithin, nodeWheres } from './wheres.ts'

/** Rows that are read at a time. */
const SLICE = 500
/** Of the next event at the earliest. */
const NEXT_RAW = '(SELECT last_value + is_called::int FROM events_raw)'

const SORTS = Object.fromEntries(Object.entries(NODE_SORTS).map(([name, { by }]) => [name, by]))

interface PgNodeParts {
  readonly connections: Connections
  readonly changes: Changes
  readonly seal: Seal
  readonly damage: Damage
}

export class PostgresNodes {
  private readonly parts: PgNodeParts

  constructor(parts: PgNodeParts) {
    this.parts = parts
  }

  async add(node: NodeRecord): Promise<void> {
    const columns = { uuid: node.uuid, created_at: node.createdAtMs, ...this.columnsOf(node) }
    const names = Object.keys(columns)
    const marks = names.map((_, i) => `$${i + 1}`)
    const claim = marks[names.indexOf('bmc')]
    await this.parts.changes.make({
      what: 'node',
      nodeUuid: node.uuid,
      name: 'node add',
      text: `INSERT INTO nodes (${names.join()}, bmc_claim, owner_raw, lessee_raw)
        VALUES (${marks.join()}, ${claim}, ${NEXT_RAW}, ${NEXT_RAW}) RETURNING 1`,
      values: Object.values(columns),
      events: [
        {
          atMs: node.createdAtMs,
          nodeUuid: node.uuid,
          kind: 'node-added',
          detail: { name: node.name, driver: node.driver },
        },
      ],
    })
  }

  async put(node: NodeRecord, events: readonly NewEvent[]): Promise<NodeRecord> {
    const next = { ...node, version: node.version + 1 }
    const columns = this.columnsOf(next)
    const names = Object.keys(columns)
    const mark = (name: string) => `$${names.indexOf(name) + 3}`
    const sets = names.map((name) => `${name} = ${mark(name)}`)
    // Two nodes that shared a BMC before this was checked can still be saved.
    sets.push(`bmc_claim = CASE WHEN bmc IS NOT DISTINCT FROM ${mark('bmc')} THEN bmc_claim ELSE ${mark('bmc')} END`)
    // A new owner, or lessee, sees events from its change on.
    for (const name of ['owner', 'lessee'])
      sets.push(
        `${name}_raw = CASE WHEN ${name} IS NOT DISTINCT FROM ${mark(name)} THEN ${name}_raw ELSE ${NEXT_RAW} END`,
      )
    const { rows } = await this.parts.changes.make({
      what: 'node',
      nodeUuid: node.uuid,
      name: 'node put',
      text: `UPDATE nodes SET ${sets.join()} WHERE uuid = $1 AND version = $2 RETURNING uuid`,
      values: [node.uuid, node.version, ...Object.values(columns)],
      also: {
        dropped: `DELETE FROM config_drives USING nodes AS before, changed
          WHERE before.uuid = changed.uuid AND config_drives.id = before.drive_id
          AND before.drive_id IS DISTINCT FROM ${mark('drive_id')}`,
      },
      events,
      mustChange: true,
    })
    if (rows === 0) throw moved('node', node.uuid)
    this.parts.damage.forget('node', node.uuid)
    return next
  }

  async one(column: 'uuid' | 'name', value: string): Promise<NodeRecord | undefined> {
    const [row] = await this.parts.connections.rows<NodeRow>({
      name: `node by ${column}`,
      text: `SELECT ${NODE_COLUMNS} FROM nodes WHERE ${column} = $1`,
      values: [value],
    })
    return row && this.read(row)
  }

  async sharersOfBmc(node: NodeRecord): Promise<string[]> {
    const rows = await this.parts.connections.rows<{ uuid: string }>({
      text: 'SELECT uuid FROM nodes WHERE bmc = $1 AND uuid <> $2 ORDER BY id LIMIT 100',
      values: [bmcAddress(node), node.uuid],
    })
    return rows.map(({ uuid }) => uuid)
  }

  list(filter: NodeFilter, page: Page): Promise<NodeRecord[]> {
    const narrowed = { wheres: nodeWheres(filter), within: nodesWithin(filter) }
    const listing = { table: 'nodes', columns: NODE_COLUMNS, what: 'node', ...narrowed, page, sorts: SORTS } as const
    return listWhole<NodeRow, NodeRecord>(this.parts.connections, listing, this.readAll)
  }

  async every(): Promise<NodeRecord[]> {
    const every: NodeRecord[] = []
    for (let after = 0; ;) {
      const rows = await this.parts.connections.rows<NodeRow>({
        text: `SELECT ${NODE_COLUMNS} FROM nodes WHERE id > $1 ORDER BY id LIMIT ${SLICE}`,
        values: [after],
      })
      every.push(...this.readAll(rows))
      if (rows.length < SLICE) return every
      after = rows.at(-1)?.id ?? after
    }
  }

  async counts(): Promise<NodeCount[]> {
    const groups = await this.parts.connections.rows<{
      state: string
      power: string | null
      maintenance: number
      count: number
    }>({
      text: `SELECT provision_state AS state, power_state AS power, maintenance, count(*) AS count FROM nodes
        GROUP BY 1, 2, 3`,
    })
    return groups.map(({ state, power, maintenance, count }) => ({
      provisionState: state,
      powerState: power,
      maintenance: maintenance === 1,
      count,
    }))
  }

  due(nowMs: number, { limit, after }: { limit: number; after?: DueNode | undefined }): Promise<DueNode[]> {
    return this.parts.connections.rows<DueNode>({
      name: 'nodes due',
      text: `SELECT uuid, due_at AS "dueAtMs", coalesce(conductor_group, '') AS "conductorGroup" FROM nodes
        WHERE due_at <= $1 AND (due_at, uuid) > ($2, $3) ORDER BY due_at, uuid LIMIT $4`,
      values: [nowMs, after?.dueAtMs ?? Number.MIN_SAFE_INTEGER, after?.uuid ?? '', limit],
    })
  }

  async remove(uuid: string): Promise<void> {
    await this.parts.changes.make({
      what: 'node',
      nodeUuid: uuid,
      name: 'node remove',
      text: 'DELETE FROM nodes WHERE uuid = $1 RETURNING 1',
      values: [uuid],
      also: { dropped: 'DELETE FROM config_drives WHERE node_uuid = $1' },
    })
  }

  shards(): Promise<{ name: string; count: number }[]> {
    return this.parts.connections.rows({
      text: 'SELECT shard AS name, count(*) AS count FROM nodes WHERE shard IS NOT NULL GROUP BY 1 ORDER BY 1',
    })
  }

  private columnsOf(node: NodeRecord): Record<string, SqlValue> {
    const columns = nodeColumns(node, this.parts.seal)
    // Another conductor that takes the node over finds what is owed.
    return node.workflow.pendingEffects.length > 0 ? { ...columns, due_at: 0 } : columns
  }

  private readonly readAll = (rows: readonly NodeRow[]): NodeRecord[] => this.parts.damage.openAll(rows, this.read)

  private readonly read = (row: NodeRow): NodeRecord => {
    const { uuid, name, owner, lessee } = row
    return this.parts.damage.open({ kind: 'node', uuid, name, owner, lessee }, () => readNode(row, this.parts.seal))
  }
}
