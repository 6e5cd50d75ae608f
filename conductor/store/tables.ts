/** The smaller tables: objects of the lesser resources, and the journal of everything that happened. */
import type { ConductorRow, EventRecord, Journal, ObjectFilter, ObjectRecord, ObjectStore } from './port.ts'
import { marks, stale, type Row, type SqliteFile, type Value } from './file.ts'

interface ObjectRow extends Row {
  kind: string
  uuid: string
  name: string | null
  node_uuid: string | null
  unique_key: string | null
  created_at: number
  updated_at: number | null
  version: number
}

const OBJECT_SORTS = {
  id: 'id',
  uuid: 'uuid',
  name: 'name',
  node_uuid: 'node_uuid',
  created_at: 'created_at',
  updated_at: 'updated_at',
  ...Object.fromEntries(
    [
      'address',
      'description',
      'state',
      'resource_class',
      'owner',
      'type',
      'connector_id',
      'volume_type',
      'volume_id',
      'boot_index',
      'priority',
      'phase',
      'mode',
      'public',
      'physical_network',
    ].map((field) => [field, `json_extract(body, '$.${field}')`]),
  ),
}

const openObject = (row: ObjectRow | undefined): ObjectRecord | undefined =>
  row && {
    kind: row.kind,
    uuid: row.uuid,
    name: row.name,
    nodeUuid: row.node_uuid,
    uniqueKey: row.unique_key,
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
    version: row.version,
    body: JSON.parse(row.body) as Record<string, unknown>,
  }

const columnsOf = (object: ObjectRecord): Record<string, Value> => ({
  kind: object.kind,
  uuid: object.uuid,
  name: object.name,
  node_uuid: object.nodeUuid,
  unique_key: object.uniqueKey,
  created_at: object.createdAtMs,
  updated_at: object.updatedAtMs,
  version: object.version,
  body: JSON.stringify(object.body),
})

export function objectTable(file: SqliteFile): ObjectStore {
  const about = (object: ObjectRecord) => ({ what: object.kind, nodeUuid: object.nodeUuid })
  return {
    async add(object) {
      const columns = columnsOf(object)
      const names = Object.keys(columns)
      file.write(about(object), () => file.sql(`INSERT INTO objects (${names.join()}) VALUES (${marks(names)})`).run(...Object.values(columns)))
    },
    async put(object) {
      const { kind, uuid, version } = object
      file.write(about(object), () => {
        const { changes } = file
          .sql(
            'UPDATE objects SET name = ?, node_uuid = ?, unique_key = ?, updated_at = ?, body = ?, version = version + 1 WHERE kind = ? AND uuid = ? AND version = ?',
          )
          .run(object.name, object.nodeUuid, object.uniqueKey, object.updatedAtMs, JSON.stringify(object.body), kind, uuid, version)
        if (changes === 0) throw stale(kind, uuid)
      })
      return { ...object, version: version + 1 }
    },
    async find(kind, ident) {
      return openObject(
        file.sql<ObjectRow>('SELECT * FROM objects WHERE kind = ? AND uuid = ?').get(kind, ident.toLowerCase()) ??
          file.sql<ObjectRow>('SELECT * FROM objects WHERE kind = ? AND name = ?').get(kind, ident),
      )
    },
    async list(kind, filter, page) {
      return file
        .list<ObjectRow>({
          table: 'objects',
          columns: '*',
          what: kind,
          wheres: objectWheres(filter),
          within: objectsWithin(kind, filter),
          page,
          sorts: OBJECT_SORTS,
        })
        .map((row) => openObject(row) as ObjectRecord)
    },
    async every(kind) {
      return file
        .sql<ObjectRow>('SELECT * FROM objects WHERE kind = ? ORDER BY id')
        .all(kind)
        .map((row) => openObject(row) as ObjectRecord)
    },
    async remove(kind, uuid) {
      file.write({ what: kind }, () => file.sql('DELETE FROM objects WHERE kind = ? AND uuid = ?').run(kind, uuid))
    },
  }
}

function objectsWithin(kind: string, filter: ObjectFilter): [string, ...Value[]][] {
  const within: [string, ...Value[]][] = [['kind = ?', kind]]
  if (filter.project !== undefined) within.push([OF_PROJECT, filter.project, filter.project])
  if (filter.readableBy !== undefined) within.push(["(json_extract(body, '$.public') = 1 OR json_extract(body, '$.owner') = ?)", filter.readableBy])
  if (filter.ownedBy !== undefined) within.push(["json_extract(body, '$.owner') = ?", filter.ownedBy])
  return within
}

function objectWheres(filter: ObjectFilter): [string, ...Value[]][] {
  const wheres: [string, ...Value[]][] = []
  if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
  if (filter.shard) wheres.push([`node_uuid IN (SELECT uuid FROM nodes WHERE json_extract(body, '$.shard') IN (${marks(filter.shard)}))`, ...filter.shard])
  for (const [field, value] of Object.entries(filter.where ?? {}))
    wheres.push([`json_extract(body, '$.${field}') = ?`, typeof value === 'boolean' ? Number(value) : value])
  return wheres
}

/** Things of nodes that a project owns or leases. */
export const OF_PROJECT = "node_uuid IN (SELECT uuid FROM nodes WHERE json_extract(body, '$.owner') = ? OR json_extract(body, '$.lessee') = ?)"

type EventRow = { seq: number; at: number; node_uuid: string | null; kind: string; detail: string }

const openEvent = (row: EventRow): EventRecord => ({
  seq: row.seq,
  atMs: row.at,
  nodeUuid: row.node_uuid,
  kind: row.kind,
  detail: JSON.parse(row.detail) as Record<string, unknown>,
})

export function journalTable(file: SqliteFile): Journal {
  return {
    async add(event) {
      file.write({ what: 'event', nodeUuid: event.nodeUuid }, () => file.addEvent(event))
    },
    async ofNode(nodeUuid, limit) {
      return file.sql<EventRow>('SELECT * FROM events WHERE node_uuid = ? ORDER BY seq DESC LIMIT ?').all(nodeUuid, limit).reverse().map(openEvent)
    },
    async after(seq, filter, limit) {
      const wheres: [string, ...Value[]][] = [['seq > ?', seq]]
      if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
      if (filter.kinds) wheres.push([`kind IN (${marks(filter.kinds)})`, ...filter.kinds])
      return file
        .sql<EventRow>(`SELECT * FROM events WHERE ${wheres.map(([clause]) => clause).join(' AND ')} ORDER BY seq LIMIT ?`)
        .all(...wheres.flatMap(([, ...values]) => values), limit)
        .map(openEvent)
    },
    async one(seq) {
      const row = file.sql<EventRow>('SELECT * FROM events WHERE seq = ?').get(seq)
      return row && openEvent(row)
    },
    async lastSeq() {
      return file.sql<{ seq: number | null }>('SELECT max(seq) AS seq FROM events').get()?.seq ?? 0
    },
    watch: (listener) => file.watch(listener),
    async durations(model, state) {
      return file
        .sql<{ took_ms: number }>('SELECT took_ms FROM durations WHERE model = ? AND state = ? ORDER BY id DESC LIMIT 200')
        .all(model, state)
        .map((row) => row.took_ms)
    },
    async prune(beforeMs, limit) {
      return file.write(
        { what: 'event' },
        () => file.sql('DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ? LIMIT ?)').run(beforeMs, limit).changes,
      )
    },
    async cursor(name) {
      return file.sql<{ seq: number }>('SELECT seq FROM cursors WHERE name = ?').get(name)?.seq
    },
    async setCursor(name, seq) {
      file.write({ what: 'cursor' }, () => file.sql('INSERT OR REPLACE INTO cursors (name, seq) VALUES (?, ?)').run(name, seq))
    },
  }
}

export const conductorTable = (file: SqliteFile) => ({
  async conductors(): Promise<ConductorRow[]> {
    return file
      .sql<Row>('SELECT body FROM conductors ORDER BY hostname')
      .all()
      .map((row) => JSON.parse(row.body) as ConductorRow)
  },
  async putConductor(row: ConductorRow): Promise<void> {
    file.write({ what: 'conductor' }, () =>
      file.sql('INSERT OR REPLACE INTO conductors (hostname, alive_at, body) VALUES (?, ?, ?)').run(row.hostname, row.aliveAtMs, JSON.stringify(row)),
    )
  },
})
