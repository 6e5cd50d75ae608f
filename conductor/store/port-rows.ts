/** Ports as rows: a column for what lists filter and sort by, and for the address that DHCP gave; the rest as a JSON
 *  body that comes last. */
import { isObject, parseObject } from './damage.ts'
import { isIn, type Value, type Where } from './file.ts'
import { byColumn, byFlag, byRare, type Sorts } from './listing.ts'
import { PORT_DEFAULTS, type PortFilter, type PortRecord } from './port.ts'
import { ofProject, ofShard } from './tables.ts'

export interface PortRow {
  readonly uuid: string
  readonly name: string | null
  readonly version: number
  readonly learned_ip: string | null
  readonly body: string
}

export const PORT_COLUMNS = 'uuid, name, version, learned_ip, body'

/** Indexes with other names than those of their columns; of the constraints of the first table that SQLite made
 *  itself. */
const INDEX_NAMES: Readonly<Record<string, string>> = {
  uuid: 'sqlite_autoindex_ports_1',
  address: 'sqlite_autoindex_ports_2',
  node_uuid: 'ports_by_node',
}

export const PORT_SORTS: Sorts = {
  id: byColumn('id', undefined),
  ...Object.fromEntries(
    'uuid address node_uuid created_at pxe_enabled'
      .split(' ')
      .map((name) => [name, byColumn(name, INDEX_NAMES[name] ?? `ports_by_${name}`)]),
  ),
  is_smartnic: byFlag('is_smartnic', 'ports_by_is_smartnic'),
  ...Object.fromEntries(
    'name updated_at physical_network portgroup_uuid description'
      .split(' ')
      .map((name) => [name, byRare(name, `ports_by_${name}`)]),
  ),
}

/** Every column but `uuid`, `created_at` and `learned_ip`, which is written by itself. */
export const portColumns = (port: PortRecord): Record<string, Value> => ({
  address: port.address,
  name: port.name,
  node_uuid: port.nodeUuid,
  updated_at: port.updatedAtMs,
  portgroup_uuid: port.portgroupUuid,
  pxe_enabled: Number(port.pxeEnabled),
  physical_network: port.physicalNetwork,
  is_smartnic: Number(port.isSmartnic),
  fixed_ip: typeof port.extra.ipv4_address === 'string' ? port.extra.ipv4_address : null,
  description: port.description,
  version: port.version,
  body: JSON.stringify(port),
})

export const learnedIp = (port: PortRecord): string | null =>
  typeof port.internalInfo.ipv4_address === 'string' ? port.internalInfo.ipv4_address : null

/** Throws what is wrong with the row. */
export function readPort(row: PortRow): PortRecord {
  const stored = parseObject(row.body)
  if (stored.uuid !== row.uuid) throw new Error('it is the record of another port')
  const odd = ['nodeUuid', 'address'].find((name) => typeof stored[name] !== 'string')
  if (odd) throw new Error(`the field ${odd} is missing`)
  const port = { ...PORT_DEFAULTS, ...stored, version: row.version } as PortRecord
  if (![port.extra, port.internalInfo, port.localLinkConnection].every(isObject))
    throw new Error('a field of it is no object')
  return row.learned_ip === null
    ? port
    : { ...port, internalInfo: { ...port.internalInfo, ipv4_address: row.learned_ip } }
}

export function portWheres(filter: PortFilter): Where[] {
  const wheres: Where[] = []
  if (filter.nodeUuid !== undefined) wheres.push(['node_uuid = ?', filter.nodeUuid])
  if (filter.address !== undefined) wheres.push(['address = ?', filter.address])
  if (filter.fixedIp !== undefined) wheres.push(['fixed_ip = ?', filter.fixedIp])
  if (filter.heldIp !== undefined) wheres.push(['learned_ip = ?', filter.heldIp])
  if (filter.portgroupUuid !== undefined) wheres.push(['portgroup_uuid = ?', filter.portgroupUuid])
  if (filter.descriptionContains !== undefined) wheres.push(['+instr(description, ?) > 0', filter.descriptionContains])
  if (filter.shard) wheres.push(ofShard(filter.shard))
  if (filter.conductorGroups)
    wheres.push([
      `node_uuid IN (SELECT uuid FROM nodes WHERE ${isIn('conductor_group')})`,
      JSON.stringify(filter.conductorGroups),
    ])
  return wheres
}

export const portsWithin = ({ project }: PortFilter): Where[] => (project === undefined ? [] : [ofProject(project)])
