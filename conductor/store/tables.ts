/** The smaller tables: objects of the lesser resources, and conductors. And what filters of several tables share. */
import type { Seal } from './secrets.ts'
import type { Damage } from './damage.ts'
import { isIn, type Listing, type SqliteFile, type Value, type Where } from './file.ts'
import { moved } from './moved.ts'
import { byColumn, byRare, type Sorts } from './listing.ts'
import {
  fieldsOf,
  OBJECT_COLUMNS,
  OBJECT_FIELDS,
  objectColumns,
  readObject,
  SECRET_PARTS,
  sealBody,
  type ObjectRow,
} from './object-rows.ts'
import type { ConductorRow, ObjectFilter, ObjectRecord, ObjectStore } from './port.ts'

/** Columns that have an index, and seldom change. */
const KEPT = ['kind', 'uuid', 'name', 'node_uuid', 'unique_key', 'created_at', 'fields']

const inFields = (field: string) => `iif(json_valid(fields), json_extract(fields, '$.${field}'), NULL)`

/** Each index has the kind before what it sorts by. */
const OBJECT_SORTS: Sorts = {
  id: byColumn('id', 'objects_by_kind'),
  uuid: byColumn('uuid', 'sqlite_autoindex_objects_1'),
  name: byColumn('name', 'sqlite_autoindex_objects_2'),
  created_at: byColumn('created_at', 'objects_by_kind_created_at'),
  ...Object.fromEntries(['node_uuid', 'updated_at'].map((name) => [name, byRare(name, `objects_by_kind_${name}`)])),
  ...Object.fromEntries(
    OBJECT_FIELDS.map((field) => [
      field,
      { by: inFields(field), index: `objects_by_kind_${field}`, isColumn: false, sparse: true },
    ]),
  ),
}

/** A page of records that can be read: what cannot does not make the page shorter, which would end the list for who
 *  asked. */
export function listWhole<R extends { readonly uuid: string }, T>(
  file: SqliteFile,
  listing: Listing,
  read: (rows: readonly R[]) => T[],
): T[] {
  const whole: T[] = []
  let { page } = listing
  for (;;) {
    const rows = file.list<R>({ ...listing, page })
    whole.push(...read(rows))
    const last = rows.at(-1)
    if (rows.length < page.limit || whole.length >= listing.page.limit || !last) return whole
    page = { ...page, limit: listing.page.limit - whole.length, marker: last.uuid }
  }
}

export function objectTable(file: SqliteFile, damage: Damage, seal: Seal): ObjectStore {
  const about = (object: ObjectRecord) => ({ what: object.kind, nodeUuid: object.nodeUuid })
  const read = (row: ObjectRow) =>
    damage.open({ kind: row.kind, uuid: row.uuid, name: row.name, owner: null, lessee: null }, () =>
      readObject(row, seal),
    )
  const one = (kind: string, column: 'uuid' | 'name', value: string) => {
    const row = file
      .sql<ObjectRow>(`SELECT ${OBJECT_COLUMNS} FROM objects WHERE kind = ? AND ${column} = ?`)
      .get(kind, value)
    return row && read(row)
  }
  const insert = (columns: Record<string, Value>) => {
    const names = Object.keys(columns)
    file
      .sql(`INSERT INTO objects (${names.join()}) VALUES (${names.map(() => '?').join()})`)
      .run(...Object.values(columns))
  }
  return {
    async add(object) {
      const columns = columnsOf(object, seal)
      await file.write(about(object), () => insert(columns))
    },
    async addAll(objects) {
      const [first] = objects
      if (!first) return
      const rows = objects.map((object) => columnsOf(object, seal))
      await file.write({ what: first.kind }, () => rows.forEach(insert))
    },
    async put(object) {
      const next = { ...object, version: object.version + 1 }
      const columns = columnsOf(next, seal)
      await file.write(about(object), () => {
        const before = file
          .sql<Record<string, Value>>(`SELECT ${KEPT.join()} FROM objects WHERE kind = ? AND uuid = ? AND version = ?`)
          .get(object.kind, object.uuid, object.version)
        if (!before) throw moved(object.kind, object.uuid)
        // What stays as it is costs no page of its index.
        const changed = Object.entries(columns).filter(([name, value]) => before[name] !== value)
        file
          .sql(`UPDATE objects SET ${changed.map(([name]) => `${name} = ?`).join()} WHERE kind = ? AND uuid = ?`)
          .run(...changed.map(([, value]) => value), object.kind, object.uuid)
      })
      damage.forget(object.kind, object.uuid)
      return next
    },
    async find(kind, ident) {
      return one(kind, 'uuid', ident.toLowerCase()) ?? one(kind, 'name', ident)
    },
    async list(kind, filter, page) {
      const narrowed = { wheres: objectWheres(filter), within: objectsWithin(filter) }
      const listing = {
        table: 'objects',
        columns: OBJECT_COLUMNS,
        what: kind,
        part: ['kind = ?', kind],
        everyRow: 'objects_by_kind',
        ...narrowed,
        page,
        sorts: OBJECT_SORTS,
      } as const
      return listWhole<ObjectRow, ObjectRecord>(file, listing, (rows) => damage.openAll(rows, read))
    },
    async every(kind) {
      return damage.openAll(
        file.sql<ObjectRow>(`SELECT ${OBJECT_COLUMNS} FROM objects WHERE kind = ? ORDER BY id`).all(kind),
        read,
      )
    },
    async remove(kind, uuid) {
      await file.write({ what: kind }, () =>
        file.sql('DELETE FROM objects WHERE kind = ? AND uuid = ?').run(kind, uuid),
      )
      damage.forget(kind, uuid)
    },
  }
}

const columnsOf = (object: ObjectRecord, seal: Seal): Record<string, Value> => ({
  ...objectColumns(object, seal),
  fields: fieldsOf(object.body),
})

/** Secrets of objects leave the body. What cannot be read stays as it is. */
export function upgradeObjects(file: SqliteFile, seal: Seal): void {
  const kinds = Object.keys(SECRET_PARTS)
  const old = file
    .sql<ObjectRow>(
      `SELECT ${OBJECT_COLUMNS} FROM objects WHERE sealed IS NULL AND ${isIn('kind')} AND json_valid(body)`,
    )
    .all(JSON.stringify(kinds))
  if (old.length === 0) return
  file.writeNow({ what: 'object' }, () => {
    for (const row of old) {
      const { sealed, body } = sealBody(readObject(row, seal), seal)
      file
        .sql('UPDATE objects SET sealed = ?, body = ? WHERE kind = ? AND uuid = ?')
        .run(sealed, body, row.kind, row.uuid)
    }
  })
}

function objectsWithin(filter: ObjectFilter): Where[] {
  const within: Where[] = []
  if (filter.project !== undefined) within.push(ofProject(filter.project))
  if (filter.readableBy !== undefined)
    within.push([`(${inFields('public')} = 1 OR ${inFields('owner')} = ?)`, filter.readableBy])
  if (filter.ownedBy !== undefined) within.push([`${inFields('owner')} = ?`, filter.ownedBy])
  return within
}

function objectWheres(filter: ObjectFilter): Where[] {
  const wheres: Where[] = []
  if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
  if (filter.shard) wheres.push(ofShard(filter.shard))
  for (const [field, value] of Object.entries(filter.where ?? {})) {
    if (!OBJECT_FIELDS.includes(field)) throw new Error(`objects cannot be filtered by ${field}`)
    wheres.push([`${inFields(field)} = ?`, typeof value === 'boolean' ? Number(value) : value])
  }
  return wheres
}

/** Things of nodes that a project owns or leases. */
export const ofProject = (project: string): Where => [
  'node_uuid IN (SELECT uuid FROM nodes WHERE owner = ? UNION ALL SELECT uuid FROM nodes WHERE lessee = ?)',
  project,
  project,
]

/** Things of nodes of these shards. */
export const ofShard = (shards: readonly string[]): Where => [
  `node_uuid IN (SELECT uuid FROM nodes WHERE ${isIn('shard')})`,
  JSON.stringify(shards),
]

export const conductorTable = (file: SqliteFile) => ({
  async conductors(): Promise<ConductorRow[]> {
    // A row that cannot be read is written anew by its conductor within seconds.
    return file
      .sql<{ body: string }>('SELECT body FROM conductors WHERE json_valid(body) ORDER BY hostname')
      .all()
      .map((row) => JSON.parse(row.body) as ConductorRow)
  },
  async putConductor(row: ConductorRow): Promise<void> {
    await file.write({ what: 'conductor' }, () =>
      file
        .sql('INSERT OR REPLACE INTO conductors (hostname, alive_at, body) VALUES (?, ?, ?)')
        .run(row.hostname, row.aliveAtMs, JSON.stringify(row)),
    )
  },
})
