/** The table of the lesser resources in PostgreSQL. What lists filter and sort by has columns. */
import type { Damage } from '../damage.ts'
import { moved } from '../moved.ts'
import {
  fieldColumns,
  OBJECT_COLUMNS,
  OBJECT_FIELDS,
  objectColumns,
  readObject,
  type ObjectRow,
} from '../object-rows.ts'
import type { ObjectFilter, ObjectRecord, ObjectStore, Page } from '../port.ts'
import type { Seal } from '../secrets.ts'
import type { Changes } from './changes.ts'
import type { Connections, SqlValue } from './connect.ts'
import { listWhole } from './listing.ts'
import { objectsWithin, objectWheres } from './wheres.ts'

const SORTS = Object.fromEntries(
  ['id', 'uuid', 'name', 'created_at', 'updated_at', 'node_uuid', ...OBJECT_FIELDS].map((name) => [name, name]),
)

interface ObjectTableParts {
  readonly connections: Connections
  readonly changes: Changes
  readonly damage: Damage
  readonly seal: Seal
}

export class PostgresObjects implements ObjectStore {
  private readonly parts: ObjectTableParts

  constructor(parts: ObjectTableParts) {
    this.parts = parts
  }

  async add(object: ObjectRecord): Promise<void> {
    const columns = columnsOf(object, this.parts.seal)
    const names = Object.keys(columns)
    await this.parts.changes.make({
      what: object.kind,
      nodeUuid: object.nodeUuid,
      name: 'object add',
      text: `INSERT INTO objects (${names.join()}) VALUES (${names.map((_, i) => `$${i + 1}`).join()}) RETURNING 1`,
      values: Object.values(columns),
    })
  }

  async addAll(objects: readonly ObjectRecord[]): Promise<void> {
    const [first] = objects
    if (!first) return
    const rows = objects.map((object) => columnsOf(object, this.parts.seal))
    const names = Object.keys(rows[0] ?? {}).join()
    await this.parts.changes.make({
      what: first.kind,
      name: 'objects add',
      // One value of the statement, however many rows.
      text: `INSERT INTO objects (${names}) SELECT ${names} FROM jsonb_populate_recordset(NULL::objects, $1::jsonb) RETURNING 1`,
      values: [JSON.stringify(rows)],
    })
  }

  async put(object: ObjectRecord): Promise<ObjectRecord> {
    const next = { ...object, version: object.version + 1 }
    const columns = columnsOf(next, this.parts.seal)
    const sets = Object.keys(columns).map((name, i) => `${name} = $${i + 4}`)
    const { rows } = await this.parts.changes.make({
      what: object.kind,
      nodeUuid: object.nodeUuid,
      name: 'object put',
      text: `UPDATE objects SET ${sets.join()} WHERE kind = $1 AND uuid = $2 AND version = $3 RETURNING 1`,
      values: [object.kind, object.uuid, object.version, ...Object.values(columns)],
      mustChange: true,
    })
    if (rows === 0) throw moved(object.kind, object.uuid)
    this.parts.damage.forget(object.kind, object.uuid)
    return next
  }

  async find(kind: string, ident: string): Promise<ObjectRecord | undefined> {
    // A name that looks like the UUID of another object means that object.
    const [row] = await this.parts.connections.rows<ObjectRow>({
      name: 'object find',
      text: `SELECT ${OBJECT_COLUMNS} FROM objects WHERE kind = $1 AND (uuid = $2 OR name = $3)
        ORDER BY (uuid = $2) DESC LIMIT 1`,
      values: [kind, ident.toLowerCase(), ident],
    })
    return row && this.read(row)
  }

  list(kind: string, filter: ObjectFilter, page: Page): Promise<ObjectRecord[]> {
    const narrowed = { wheres: objectWheres(filter, OBJECT_FIELDS), within: objectsWithin(kind, filter) }
    const listing = {
      table: 'objects',
      columns: OBJECT_COLUMNS,
      what: kind,
      ...narrowed,
      page,
      sorts: SORTS,
    } as const
    return listWhole<ObjectRow, ObjectRecord>(this.parts.connections, listing, this.readAll)
  }

  async every(kind: string): Promise<ObjectRecord[]> {
    return this.readAll(
      await this.parts.connections.rows<ObjectRow>({
        text: `SELECT ${OBJECT_COLUMNS} FROM objects WHERE kind = $1 ORDER BY id`,
        values: [kind],
      }),
    )
  }

  async remove(kind: string, uuid: string): Promise<void> {
    await this.parts.changes.make({
      what: kind,
      name: 'object remove',
      text: 'DELETE FROM objects WHERE kind = $1 AND uuid = $2 RETURNING 1',
      values: [kind, uuid],
    })
    this.parts.damage.forget(kind, uuid)
  }

  private readonly readAll = (rows: readonly ObjectRow[]): ObjectRecord[] => this.parts.damage.openAll(rows, this.read)

  private readonly read = (row: ObjectRow): ObjectRecord =>
    this.parts.damage.open({ kind: row.kind, uuid: row.uuid, name: row.name, owner: null, lessee: null }, () =>
      readObject(row, this.parts.seal),
    )
}

const columnsOf = (object: ObjectRecord, seal: Seal): Record<string, SqlValue> => ({
  ...objectColumns(object, seal),
  ...fieldColumns(object.body),
})
