/** Config drives: kept in sealed pieces beside their node's record, so that a big one neither travels with each change
 *  of the node nor holds up anybody else. */
import { turn } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Value } from './file.ts'
import type { ConfigDriveRef } from '../node/record.ts'
import type { SqliteFile } from './file.ts'
import type { DriveContent } from './port.ts'
import type { Seal } from './secrets.ts'

const PIECE_BYTES = 1024 * 1024

/** The form that is stored, with the bytes. */
export const driveBytes = (content: DriveContent): { form: ConfigDriveRef['form']; bytes: Buffer } =>
  typeof content === 'string' || Buffer.isBuffer(content)
    ? { form: 'iso.gz', bytes: Buffer.isBuffer(content) ? content : Buffer.from(content, 'base64') }
    : { form: 'json', bytes: Buffer.from(JSON.stringify(content)) }

/** A drive as it is referred to, and its pieces. */
export function cutDrive(id: string, content: DriveContent): { drive: ConfigDriveRef; pieces: Buffer[] } {
  const { form, bytes } = driveBytes(content)
  const count = Math.max(1, Math.ceil(bytes.length / PIECE_BYTES))
  const pieces = Array.from({ length: count }, (_, i) => bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES))
  return { drive: { id, form, pieces: count, sizeBytes: bytes.length }, pieces }
}

/** What the opened pieces are together. */
export function joinDrive({ form }: ConfigDriveRef, pieces: readonly Buffer[]): DriveContent {
  const bytes = Buffer.concat(pieces)
  return form === 'json' ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : bytes
}

export const damagedDrive = (nodeUuid: string, cause: unknown): Fault =>
  new Fault(
    'store.damaged',
    `the stored config drive of node ${nodeUuid} cannot be read: ${(cause as Error).message}`,
    { cause },
  )

/** Pieces that one transaction removes. */
const AT_ONCE = 4

export const placeOfPiece = (nodeUuid: string, drive: ConfigDriveRef, piece: number) =>
  `${nodeUuid}:config drive ${drive.id} ${drive.form} ${piece}/${drive.pieces}`

export class Drives {
  private readonly file: SqliteFile
  private readonly seal: Seal

  constructor(file: SqliteFile, seal: Seal) {
    this.file = file
    this.seal = seal
  }

  /** One transaction per piece. Nothing refers to the drive yet: whoever gets the reference stores it in the node, or
   *  removes the drive. */
  async add(nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef> {
    await turn()
    const { drive, pieces } = cutDrive(id, content)
    await turn()
    for (const [i, bytes] of pieces.entries()) {
      await this.file.write({ what: 'config drive', nodeUuid }, () => this.insert(nodeUuid, drive, { i, bytes }))
      await turn()
    }
    return drive
  }

  /** The same inside a transaction. */
  addNow(nodeUuid: string, id: string, content: DriveContent): ConfigDriveRef {
    const { drive, pieces } = cutDrive(id, content)
    for (const [i, bytes] of pieces.entries()) this.insert(nodeUuid, drive, { i, bytes })
    return drive
  }

  /** Throws `store.damaged` when a piece is missing or does not open. */
  async read(nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent> {
    const parts: Buffer[] = []
    for (let i = 0; i < drive.pieces; i += 1) {
      const row = this.file
        .sql<{ bytes: Buffer }>('SELECT bytes FROM config_drives WHERE id = ? AND piece = ? AND node_uuid = ?')
        .get(drive.id, i, nodeUuid)
      try {
        if (!row) throw new Error('a piece is missing')
        parts.push(this.seal.open(row.bytes, placeOfPiece(nodeUuid, drive, i)))
      } catch (error) {
        throw damagedDrive(nodeUuid, error)
      }
      await turn()
    }
    return joinDrive(drive, parts)
  }

  /** Unless a node refers to it. A few pieces at a time: nothing waits for a big one. */
  async remove(id: string): Promise<void> {
    const referred = 'EXISTS (SELECT 1 FROM nodes WHERE drive_id = config_drives.id)'
    const some = `SELECT piece FROM config_drives WHERE id = ? AND NOT ${referred} LIMIT ${AT_ONCE}`
    const drop = `DELETE FROM config_drives WHERE id = ? AND piece IN (${some})`
    for (let left = true; left;) {
      left = await this.file.write({ what: 'config drive' }, () => this.file.sql(drop).run(id, id).changes === AT_ONCE)
      await turn()
    }
  }

  /** Inside the transaction that removes a node. */
  removeOf(nodeUuid: string): void {
    this.file.sql('DELETE FROM config_drives WHERE node_uuid = ?').run(nodeUuid)
  }

  /** Inside the transaction that changes a node: the drive that it had goes unless it is still its drive. */
  replace(nodeUuid: string, drive: ConfigDriveRef | null): void {
    const values: Value[] = [nodeUuid, drive?.id ?? null]
    this.file
      .sql('DELETE FROM config_drives WHERE id = (SELECT drive_id FROM nodes WHERE uuid = ?) AND id IS NOT ?')
      .run(...values)
  }

  /** Drives whose node does not refer to them: their conductor died before it did. */
  async sweep(): Promise<void> {
    const orphan =
      'NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.uuid = config_drives.node_uuid AND nodes.drive_id = config_drives.id)'
    if (!this.file.sql(`SELECT 1 FROM config_drives WHERE ${orphan} LIMIT 1`).get()) return
    await this.file.write({ what: 'config drive' }, () =>
      this.file.sql(`DELETE FROM config_drives WHERE ${orphan}`).run(),
    )
  }

  private insert(nodeUuid: string, drive: ConfigDriveRef, { i, bytes }: { i: number; bytes: Buffer }): void {
    this.file
      .sql('INSERT INTO config_drives (id, piece, node_uuid, bytes) VALUES (?, ?, ?, ?)')
      .run(drive.id, i, nodeUuid, this.seal.close(bytes, placeOfPiece(nodeUuid, drive, i)))
  }
}
