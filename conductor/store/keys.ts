/** When a database is opened: is this the key that its secrets were sealed with? And records of older programs are
 *  rewritten in the present form. */
import { Fault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Drives } from './drives.ts'
import type { DriveContent } from './port.ts'
import type { SqliteFile } from './file.ts'
import { NODE_COLUMNS, nodeColumns, readNode, type NodeRow } from './node-rows.ts'
import type { Seal } from './secrets.ts'

const CHECK = 'key check'

/** Throws `secret.key` for another key: without it, no record could be used. */
export function checkKey(file: SqliteFile, seal: Seal): void {
  const known = file.sql<{ value: string }>('SELECT value FROM meta WHERE name = ?').get(CHECK)?.value
  const wrong = (cause?: unknown) =>
    new Fault(
      'secret.key',
      'secret.key is not the key that the secrets in the database were sealed with',
      cause === undefined ? undefined : { cause },
    )
  if (known !== undefined) {
    try {
      seal.open(Buffer.from(known, 'base64'), CHECK)
      return
    } catch (error) {
      throw wrong(error)
    }
  }
  // A database of an older program has no such mark: its secrets themselves tell.
  const { sealed, opened } = trySecrets(file, seal)
  if (sealed > 0 && opened === 0) throw wrong()
  file.writeNow({ what: 'key check' }, () =>
    file
      .sql('INSERT INTO meta (name, value) VALUES (?, ?)')
      .run(CHECK, seal.close(Buffer.from('rackward'), CHECK).toString('base64')),
  )
}

/** What the first form sealed, value by value: a single one that opens proves the key. */
function trySecrets(file: SqliteFile, seal: Seal): { sealed: number; opened: number } {
  const tries = { sealed: 0, opened: 0 }
  for (const { body } of file
    .sql<{ body: string }>(
      "SELECT body FROM nodes WHERE sealed IS NULL AND instr(body, 'sealed:v1:') > 0 AND json_valid(body)",
    )
    .iterate()) {
    const node = JSON.parse(body) as Partial<NodeRecord>
    for (const [key, value] of Object.entries({ ...node.instanceInfo, ...node.driverInfo })) {
      const opens = seal.tryFirstForm(key, value, String(node.uuid))
      if (opens === undefined) continue
      tries.sealed += 1
      tries.opened += Number(opens)
    }
    if (tries.opened > 0) break
  }
  return tries
}

/** Secrets leave the body, a config drive gets a place of its own, and columns are filled. What cannot be read stays as
 *  it is. */
export function upgradeNodes(file: SqliteFile, parts: { seal: Seal; drives: Drives }): void {
  const old = file.sql<{ uuid: string }>('SELECT uuid FROM nodes WHERE sealed IS NULL').all()
  if (old.length > 0) file.writeNow({ what: 'node' }, () => old.forEach(({ uuid }) => upgradeNode(file, uuid, parts)))
}

function upgradeNode(file: SqliteFile, uuid: string, { seal, drives }: { seal: Seal; drives: Drives }): void {
  const row = file.sql<NodeRow>(`SELECT ${NODE_COLUMNS} FROM nodes WHERE uuid = ?`).get(uuid) as NodeRow
  let node: NodeRecord
  try {
    node = readNode(row, seal)
  } catch {
    return
  }
  const { configdrive, ...instanceInfo } = node.instanceInfo
  const drive = isDrive(configdrive) ? drives.addNow(uuid, `${uuid}.0`, configdrive) : null
  const columns = nodeColumns({ ...node, instanceInfo, configDrive: drive }, seal)
  const sets = Object.keys(columns).map((name) => `${name} = ?`)
  file.sql(`UPDATE nodes SET ${sets.join()} WHERE uuid = ?`).run(...Object.values(columns), uuid)
}

const isDrive = (value: unknown): value is DriveContent =>
  typeof value === 'string' || (typeof value === 'object' && value !== null)
