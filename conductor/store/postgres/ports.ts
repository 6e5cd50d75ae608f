/** The tables of ports, and of what was seen of their cards, in PostgreSQL. */
import { parsedOr } from '../../../kit/json.ts'
import type { Damage } from '../damage.ts'
import { moved } from '../moved.ts'
import { learnedIp, PORT_COLUMNS, PORT_SORTS, portColumns, readPort, type PortRow } from '../port-rows.ts'
import type { Page, PortFilter, PortRecord, Store } from '../port.ts'
import type { PortSighting } from '../seen-of-port.ts'
import type { Changes } from './changes.ts'
import type { Connections } from './connect.ts'
import { listWhole } from './listing.ts'
import { portsWithin, portWheres } from './wheres.ts'

/** Rows that are read at a time. */
const SLICE = 500

const SORTS = Object.fromEntries(Object.entries(PORT_SORTS).map(([name, { by }]) => [name, by]))

interface PortTableParts {
  readonly connections: Connections
  readonly changes: Changes
  readonly damage: Damage
}

export class PostgresPorts {
  private readonly parts: PortTableParts

  constructor(parts: PortTableParts) {
    this.parts = parts
  }

  async add(port: PortRecord): Promise<void> {
    const columns = {
      uuid: port.uuid,
      created_at: port.createdAtMs,
      learned_ip: learnedIp(port),
      ...portColumns(port),
    }
    const names = Object.keys(columns)
    await this.parts.changes.make({
      what: 'port',
      nodeUuid: port.nodeUuid,
      name: 'port add',
      text: `INSERT INTO ports (${names.join()}) VALUES (${names.map((_, i) => `$${i + 1}`).join()}) RETURNING 1`,
      values: Object.values(columns),
    })
  }

  async put(port: PortRecord): Promise<PortRecord> {
    const next = { ...port, version: port.version + 1 }
    const columns = portColumns(next)
    const sets = Object.keys(columns).map((name, i) => `${name} = $${i + 3}`)
    const { rows } = await this.parts.changes.make({
      what: 'port',
      nodeUuid: port.nodeUuid,
      name: 'port put',
      text: `UPDATE ports SET ${sets.join()} WHERE uuid = $1 AND version = $2 RETURNING 1`,
      values: [port.uuid, port.version, ...Object.values(columns)],
      mustChange: true,
    })
    if (rows === 0) throw moved('port', port.uuid)
    this.parts.damage.forget('port', port.uuid)
    return next
  }

  async learnIp(address: string, ip: string): Promise<void> {
    await this.parts.changes.make({
      what: 'port',
      name: 'port ip',
      text: `UPDATE ports SET learned_ip = CASE WHEN address = $1 THEN $2 END
        WHERE (address = $1 AND learned_ip IS DISTINCT FROM $2)
          OR (learned_ip = $2 AND address <> $1 AND EXISTS (SELECT 1 FROM ports WHERE address = $1))
        RETURNING 1`,
      values: [address, ip],
      mustChange: true,
    })
  }

  /** Answers what was noted before of this kind. An address that no port has is passed over. */
  note: Store['notePort'] = async (address, kind, saw) => {
    const { answer } = await this.parts.changes.make({
      what: 'port',
      name: 'port note',
      text: `INSERT INTO port_sightings (port_uuid, kind, address, body)
        SELECT uuid, $2, $1, $3 FROM ports WHERE address = $1
        ON CONFLICT (port_uuid, kind) DO UPDATE SET address = excluded.address, body = excluded.body RETURNING 1`,
      values: [address, kind, JSON.stringify(saw)],
      answer: '(SELECT body FROM port_sightings WHERE address = $1 AND kind = $2 LIMIT 1)',
      mustChange: true,
    })
    return typeof answer === 'string' ? (parsedOr(answer, undefined) as typeof saw | undefined) : undefined
  }

  async sightings(nodeUuid: string): Promise<PortSighting[]> {
    const rows = await this.parts.connections.rows<{ portUuid: string; kind: string; body: string }>({
      name: 'port sightings',
      text: `SELECT port_uuid AS "portUuid", kind, port_sightings.body AS body FROM port_sightings
        JOIN ports ON ports.uuid = port_uuid AND ports.address = port_sightings.address WHERE node_uuid = $1`,
      values: [nodeUuid],
    })
    return rows.flatMap(({ portUuid, kind, body }) => {
      const saw = parsedOr(body, undefined)
      return saw === undefined ? [] : [{ portUuid, kind, saw } as PortSighting]
    })
  }

  async one(column: 'uuid' | 'name' | 'address', value: string): Promise<PortRecord | undefined> {
    const [row] = await this.parts.connections.rows<PortRow>({
      name: `port by ${column}`,
      text: `SELECT ${PORT_COLUMNS} FROM ports WHERE ${column} = $1`,
      values: [value],
    })
    return row && this.read(row)
  }

  list(filter: PortFilter, page: Page): Promise<PortRecord[]> {
    const narrowed = { wheres: portWheres(filter), within: portsWithin(filter) }
    const listing = { table: 'ports', columns: PORT_COLUMNS, what: 'port', ...narrowed, page, sorts: SORTS } as const
    return listWhole<PortRow, PortRecord>(this.parts.connections, listing, this.readAll)
  }

  async remove(uuid: string): Promise<void> {
    await this.parts.changes.make({
      what: 'port',
      name: 'port remove',
      text: 'DELETE FROM ports WHERE uuid = $1 RETURNING 1',
      values: [uuid],
    })
    this.parts.damage.forget('port', uuid)
  }

  /** Reads every one once, so that what is damaged is known. */
  async survey(): Promise<void> {
    for (let after = 0; ;) {
      const rows = await this.parts.connections.rows<PortRow & { id: number }>({
        text: `SELECT id, ${PORT_COLUMNS} FROM ports WHERE id > $1 ORDER BY id LIMIT ${SLICE}`,
        values: [after],
      })
      this.readAll(rows)
      if (rows.length < SLICE) return
      after = rows.at(-1)?.id ?? after
    }
  }

  private readonly readAll = (rows: readonly PortRow[]): PortRecord[] => this.parts.damage.openAll(rows, this.read)

  private readonly read = (row: PortRow): PortRecord =>
    this.parts.damage.open({ kind: 'port', uuid: row.uuid, name: row.name, owner: null, lessee: null }, () =>
      readPort(row),
    )
}
