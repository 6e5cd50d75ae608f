/** The table of what was seen of the cards of ports: written by itself, whoever changes the port. */
import { parsedOr } from '../../kit/json.ts'
import type { SqliteFile } from './file.ts'
import type { PortSighting, SeenOfPort } from './seen-of-port.ts'

interface Row {
  readonly portUuid: string
  readonly kind: string
  readonly body: string
}

export class PortSightings {
  private readonly file: SqliteFile

  constructor(file: SqliteFile) {
    this.file = file
  }

  /** Answers what was noted before of this kind. An address that no port has is passed over. */
  async note<Kind extends keyof SeenOfPort>(
    address: string,
    kind: Kind,
    saw: SeenOfPort[Kind],
  ): Promise<SeenOfPort[Kind] | undefined> {
    const before = this.file
      .sql<{ body: string }>('SELECT body FROM port_sightings WHERE address = ? AND kind = ?')
      .get(address, kind)
    await this.file.write({ what: 'port' }, () =>
      this.file
        .sql(
          `INSERT OR REPLACE INTO port_sightings (port_uuid, kind, address, body)
           SELECT uuid, ?, address, ? FROM ports WHERE address = ?`,
        )
        .run(kind, JSON.stringify(saw), address),
    )
    return before && (parsedOr(before.body, undefined) as SeenOfPort[Kind] | undefined)
  }

  /** Of the cards that the ports of a node have now. */
  of(nodeUuid: string): PortSighting[] {
    return this.file
      .sql<Row>(
        `SELECT port_uuid AS portUuid, kind, port_sightings.body AS body FROM port_sightings
         JOIN ports ON ports.uuid = port_uuid AND ports.address = port_sightings.address WHERE node_uuid = ?`,
      )
      .all(nodeUuid)
      .flatMap(({ portUuid, kind, body }) => {
        const saw = parsedOr(body, undefined)
        return saw === undefined ? [] : [{ portUuid, kind, saw } as PortSighting]
      })
  }
}
