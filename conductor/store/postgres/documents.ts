/** The small tables in PostgreSQL that hold one document for each key: inventories, what was read of hardware, and
 *  conductors. */
import { Fault } from '../../../kit/fault.ts'
import { parsedOr } from '../../../kit/json.ts'
import type { ConductorRow, HardwareKind, Store } from '../port.ts'
import type { Changes } from './changes.ts'
import type { Connections, Statement } from './connect.ts'

export class PostgresDocuments {
  private readonly connections: Connections
  private readonly changes: Changes

  constructor(connections: Connections, changes: Changes) {
    this.connections = connections
    this.changes = changes
  }

  inventory = (nodeUuid: string): Promise<unknown> =>
    this.one(
      { text: 'SELECT body FROM inventories WHERE node_uuid = $1', values: [nodeUuid] },
      `the stored inventory of node ${nodeUuid}`,
    )

  async putInventory(nodeUuid: string, inventory: unknown): Promise<void> {
    await this.changes.make({
      what: 'inventory',
      nodeUuid,
      name: 'inventory put',
      text: `INSERT INTO inventories (node_uuid, body) VALUES ($1, $2)
        ON CONFLICT (node_uuid) DO UPDATE SET body = excluded.body RETURNING 1`,
      values: [nodeUuid, JSON.stringify(inventory)],
    })
  }

  hardware = (nodeUuid: string, kind: HardwareKind): Promise<unknown> =>
    this.one(
      { text: 'SELECT body FROM hardware_documents WHERE node_uuid = $1 AND kind = $2', values: [nodeUuid, kind] },
      `what is stored of the ${kind} of node ${nodeUuid}`,
    )

  putHardware: Store['putHardware'] = async (nodeUuid, kind, { document, events }) => {
    await this.changes.make({
      what: kind,
      nodeUuid,
      name: 'hardware put',
      text: `INSERT INTO hardware_documents (node_uuid, kind, body) VALUES ($1, $2, $3)
        ON CONFLICT (node_uuid, kind) DO UPDATE SET body = excluded.body RETURNING 1`,
      values: [nodeUuid, kind, JSON.stringify(document)],
      events,
    })
  }

  /** A row that cannot be read is written anew by its conductor within seconds. */
  async conductors(): Promise<ConductorRow[]> {
    const rows = await this.connections.rows<{ body: string; alive: boolean | null }>({
      text: `SELECT body, CASE WHEN (SELECT owner FROM leases WHERE name = 'conductor') = 'slots' THEN EXISTS (
          SELECT 1 FROM members WHERE members.hostname = conductors.hostname AND until > clock_timestamp()) END AS alive
        FROM conductors ORDER BY hostname`,
    })
    return rows.flatMap(({ body, alive }) => {
      const row = parsedOr(body, undefined) as ConductorRow | undefined
      return row ? [{ ...row, ...(alive === null ? {} : { isAlive: alive }) }] : []
    })
  }

  async putConductor(row: ConductorRow): Promise<void> {
    await this.changes.make({
      what: 'conductor',
      name: 'conductor put',
      text: `INSERT INTO conductors (hostname, alive_at, body) VALUES ($1, $2, $3)
        ON CONFLICT (hostname) DO UPDATE SET alive_at = excluded.alive_at, body = excluded.body RETURNING 1`,
      values: [row.hostname, row.aliveAtMs, JSON.stringify(row)],
    })
  }

  private async one(statement: Statement, what: string): Promise<unknown> {
    const [row] = await this.connections.rows<{ body: string }>(statement)
    if (!row) return undefined
    try {
      return JSON.parse(row.body) as unknown
    } catch (error) {
      throw new Fault('store.damaged', `${what} cannot be read: it is not JSON`, { cause: error })
    }
  }
}
