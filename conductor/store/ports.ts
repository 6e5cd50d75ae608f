/** The table of ports: written version by version, listed in pages; the address that DHCP gave is written by itself. */
import { turn } from '../../kit/clock.ts'
import type { Damage } from './damage.ts'
import type { SqliteFile } from './file.ts'
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
import type { Page, PortFilter, PortRecord } from './port.ts'
import { listWhole } from './tables.ts'
import { VersionedTable } from './versioned.ts'

/** Rows that are read in one turn of the event loop. */
const SLICE = 200

export class PortTable {
  private readonly file: SqliteFile
  private readonly damage: Damage
  private readonly rows: VersionedTable

  constructor(file: SqliteFile, damage: Damage) {
    this.file = file
    this.damage = damage
    this.rows = new VersionedTable(file, 'ports', ['is_smartnic'])
  }

  async add(port: PortRecord): Promise<void> {
    await this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () =>
      this.rows.insert({
        uuid: port.uuid,
        created_at: port.createdAtMs,
        learned_ip: learnedIp(port),
        ...portColumns(port),
      }),
    )
  }

  async put(port: PortRecord): Promise<PortRecord> {
    const next = { ...port, version: port.version + 1 }
    const columns = portColumns(next)
    await this.file.write({ what: 'port', nodeUuid: port.nodeUuid }, () =>
      this.rows.replace(port.uuid, this.rows.before(port.uuid, port.version), columns),
    )
    this.damage.forget('port', port.uuid)
    return next
  }

  async learnIp(address: string, ip: string): Promise<void> {
    const known = this.file
      .sql<{ learned_ip: string | null }>('SELECT learned_ip FROM ports WHERE address = ?')
      .get(address)
    if (!known) return
    const others = this.file.sql('SELECT 1 FROM ports WHERE learned_ip = ? AND address <> ?').get(ip, address)
    if (known.learned_ip === ip && !others) return
    await this.file.write({ what: 'port' }, () => {
      this.file.sql('UPDATE ports SET learned_ip = NULL WHERE learned_ip = ? AND address <> ?').run(ip, address)
      this.file.sql('UPDATE ports SET learned_ip = ? WHERE address = ?').run(ip, address)
    })
  }

  one(column: 'uuid' | 'name' | 'address', value: string): PortRecord | undefined {
    const row = this.file.sql<PortRow>(`SELECT ${PORT_COLUMNS} FROM ports WHERE ${column} = ?`).get(value)
    return row && this.read(row)
  }

  list(filter: PortFilter, page: Page): PortRecord[] {
    const narrowed = { wheres: portWheres(filter), within: portsWithin(filter) }
    const listing = {
      table: 'ports',
      columns: PORT_COLUMNS,
      what: 'port',
      everyRow: 'ports_by_node',
      ...narrowed,
      page,
      sorts: PORT_SORTS,
    } as const
    return listWhole<PortRow, PortRecord>(this.file, listing, (rows) => this.damage.openAll(rows, this.read))
  }

  async remove(uuid: string): Promise<void> {
    await this.file.write({ what: 'port' }, () => this.file.sql('DELETE FROM ports WHERE uuid = ?').run(uuid))
    this.damage.forget('port', uuid)
  }

  /** Reads every one once, so that what is damaged is known. */
  async survey(): Promise<void> {
    for (let after = 0; ;) {
      const rows = this.file
        .sql<PortRow & { id: number }>(`SELECT id, ${PORT_COLUMNS} FROM ports WHERE id > ? ORDER BY id LIMIT ?`)
        .all(after, SLICE)
      this.damage.openAll(rows, this.read)
      if (rows.length < SLICE) return
      after = rows.at(-1)?.id ?? after
      await turn()
    }
  }

  private readonly read = (row: PortRow): PortRecord =>
    this.damage.open({ kind: 'port', uuid: row.uuid, name: row.name, owner: null, lessee: null }, () => readPort(row))
}
