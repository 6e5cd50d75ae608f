/** Random nodes, ports and objects, written beside the store in one transaction: few values, many duplicates, and
 *  none. */
import type Database from 'better-sqlite3'
import { createHash } from 'node:crypto'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { nodeColumns } from '../../conductor/store/node-rows.ts'
import { portColumns } from '../../conductor/store/port-rows.ts'
import { PORT_DEFAULTS } from '../../conductor/store/port.ts'
import type { Seal } from '../../conductor/store/secrets.ts'

export const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const NODES = 700
type Row = Record<string, string | number | null>

/** Of the data; a failure names it. */
export const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
/** The same number for the same n: as random as it needs to be. */
const random = (n: number) => createHash('sha256').update(`${SEED} ${n}`).digest().readUInt32BE() / 2 ** 32

const pick = <T>(n: number, ...from: T[]): T | null =>
  random(n) < 0.4 ? null : (from[Math.floor(random(n + 0.5) * from.length)] as T)
const odd = (n: number) => pick(n, 'b', 'a', '', 'B', 'é', '10', '9')

function nodeAt(n: number): NodeRecord {
  const fresh = newNode({ uuid: uuid(n), driver: n % 3 === 0 ? 'ipmi' : 'fake-hardware' }, 1_000 - (n % 50))
  return {
    ...fresh,
    name: pick(n + 1, `n${Math.floor(random(n) * 10)}-${n}`),
    instanceUuid: pick(n + 2, uuid(10_000 + ((n * 17) % 9_973))),
    provisionState: n % 5 === 0 ? 'active' : 'available',
    maintenance: n % 11 === 0,
    resourceClass: odd(n),
    owner: n % 20 === 0 ? 'rare' : 'common',
    lessee: odd(n + 3),
    shard: odd(n + 4),
    conductorGroup: n % 4 === 0 ? 'g' : '',
    chassisUuid: odd(n + 5),
    powerState: pick(n, 'power on', 'power off'),
    fault: pick(n + 1, 'power failure'),
    automatedClean: pick(n, true, false),
    retired: n % 9 === 0,
    instanceName: odd(n + 6),
    provisionUpdatedAtMs: pick(n + 2, 9, 10, 100),
    inspectionStartedAtMs: pick(n, 5, -1),
    lastError: odd(n + 1),
    description: odd(n + 2),
    parentNode: n % 13 === 0 ? uuid(1) : null,
    updatedAtMs: pick(n + 5, 1, 2, 3),
  }
}

/** Far apart, as after many deletions: rows that are near by id are few. */
const idOf = (n: number) => n * 10 + 5

/** Rows that are written beside the store. */
export const inserter = (db: Database.Database) => (table: string, row: Row) => {
  const columns = Object.keys(row)
  return db
    .prepare(`INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`)
    .run(...Object.values(row))
}

export function fill(db: Database.Database, seal: Seal): void {
  const insert = inserter(db)

  db.transaction(() => {
    for (let n = 0; n < NODES; n += 1) {
      const node = nodeAt(n)
      insert('nodes', {
        id: idOf(n),
        uuid: node.uuid,
        created_at: node.createdAtMs,
        ...(nodeColumns(node, seal) as Row),
      })
      const port = {
        ...PORT_DEFAULTS,
        uuid: uuid(20_000 + n),
        nodeUuid: uuid((n * 3) % NODES),
        address: `52:54:00:00:${String(n % 100).padStart(2, '0')}:${String(Math.floor(n / 100)).padStart(2, '0')}`,
        createdAtMs: n % 10,
        updatedAtMs: pick(n, 3, 4),
        name: pick(n, `p${(n * 31) % NODES}`),
        pxeEnabled: n % 3 === 0,
        physicalNetwork: odd(n),
        portgroupUuid: odd(n + 1),
        description: odd(n + 2),
      }
      insert('ports', { id: idOf(n), uuid: port.uuid, created_at: port.createdAtMs, ...(portColumns(port) as Row) })
      for (const kind of ['allocation', 'other']) {
        const body = {
          address: odd(n),
          state: odd(n + 1),
          resource_class: pick<string | number>(n, 'x', 5, 'y', 4.5),
          public: n % 2 === 0,
          priority: pick(n, 3, 20, 100),
          boot_index: n,
        }
        insert('objects', {
          kind,
          uuid: uuid(30_000 + ((n * 31) % NODES)),
          name: pick(n + 1, `o${n}`),
          node_uuid: n % 2 === 0 ? uuid(n) : null,
          created_at: n % 10,
          updated_at: pick(n, 3, 4),
          fields: JSON.stringify(body),
          body: JSON.stringify(body),
        })
      }
    }
  })()
}
