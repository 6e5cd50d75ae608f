/** Config drives in PostgreSQL: sealed pieces beside their node's record. */
import type { ConfigDriveRef } from '../../node/record.ts'
import { cutDrive, damagedDrive, joinDrive, placeOfPiece } from '../drives.ts'
import type { DriveContent } from '../port.ts'
import type { Seal } from '../secrets.ts'
import type { Changes } from './changes.ts'
import type { Connections } from './connect.ts'

interface DriveParts {
  readonly connections: Connections
  readonly changes: Changes
  readonly seal: Seal
}

export class PostgresDrives {
  private readonly parts: DriveParts

  constructor(parts: DriveParts) {
    this.parts = parts
  }

  /** One statement per piece. Nothing refers to the drive yet. */
  async add(nodeUuid: string, id: string, content: DriveContent): Promise<ConfigDriveRef> {
    const { drive, pieces } = cutDrive(id, content)
    for (const [i, bytes] of pieces.entries())
      await this.parts.changes.make({
        what: 'config drive',
        nodeUuid,
        name: 'drive add',
        text: 'INSERT INTO config_drives (id, piece, node_uuid, bytes) VALUES ($1, $2, $3, $4) RETURNING 1',
        values: [id, i, nodeUuid, this.parts.seal.close(bytes, placeOfPiece(nodeUuid, drive, i))],
      })
    return drive
  }

  /** Throws `store.damaged` when a piece is missing or does not open. */
  async read(nodeUuid: string, drive: ConfigDriveRef): Promise<DriveContent> {
    const pieces: Buffer[] = []
    for (let i = 0; i < drive.pieces; i += 1) {
      const [row] = await this.parts.connections.rows<{ bytes: Buffer }>({
        text: 'SELECT bytes FROM config_drives WHERE id = $1 AND piece = $2 AND node_uuid = $3',
        values: [drive.id, i, nodeUuid],
      })
      try {
        if (!row) throw new Error('a piece is missing')
        pieces.push(this.parts.seal.open(row.bytes, placeOfPiece(nodeUuid, drive, i)))
      } catch (error) {
        throw damagedDrive(nodeUuid, error)
      }
    }
    return joinDrive(drive, pieces)
  }

  /** Unless a node refers to it. */
  async remove(id: string): Promise<void> {
    await this.parts.changes.make({
      what: 'config drive',
      name: 'drive remove',
      text: `DELETE FROM config_drives WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM nodes WHERE drive_id = $1) RETURNING 1`,
      values: [id],
    })
  }

  /** Drives whose node does not refer to them: their conductor died before it did. */
  async sweep(): Promise<void> {
    await this.parts.changes.make({
      what: 'config drive',
      name: 'drives sweep',
      text: `DELETE FROM config_drives WHERE NOT EXISTS (SELECT 1 FROM nodes
        WHERE nodes.uuid = config_drives.node_uuid AND nodes.drive_id = config_drives.id) RETURNING 1`,
      values: [],
    })
  }
}
