/** Filters of lists, in the words of PostgreSQL. */
import type { EventFilter, NodeFilter, ObjectFilter, PortFilter } from '../port.ts'
import type { SqlValue } from './connect.ts'
import type { PgWhere } from './listing.ts'

/** Things of nodes that a project owns or leases. */
const ofProject = (project: string): PgWhere => [
  'node_uuid IN (SELECT uuid FROM nodes WHERE owner = ? UNION ALL SELECT uuid FROM nodes WHERE lessee = ?)',
  project,
  project,
]

const ofShard = (shards: readonly string[]): PgWhere => [
  'node_uuid IN (SELECT uuid FROM nodes WHERE shard = ANY(?::text[]))',
  [...shards],
]

/** Those whose value is given. */
const equal = (columns: Readonly<Record<string, SqlValue | undefined>>): PgWhere[] =>
  Object.entries(columns).flatMap(([column, value]): PgWhere[] =>
    value === undefined ? [] : [[`${column} = ?`, value]],
  )

/** Null counts as false. */
const flags = (columns: Readonly<Record<string, boolean | undefined>>): PgWhere[] =>
  Object.entries(columns).flatMap(([column, value]): PgWhere[] =>
    value === undefined ? [] : [[`coalesce(${column}, 0) = ?`, Number(value)]],
  )

/** Whether there is a value. */
const given = (columns: Readonly<Record<string, boolean | undefined>>): PgWhere[] =>
  Object.entries(columns).flatMap(([column, value]): PgWhere[] =>
    value === undefined ? [] : [[`${column} IS ${value ? 'NOT ' : ''}NULL`]],
  )

/** By a living conductor of this name. */
const HELD_BY = `EXISTS (SELECT 1 FROM slots JOIN members ON members.owner = slots.owner
  WHERE slots.grp = coalesce(nodes.conductor_group, '') AND slots.id = nodes.slot AND members.hostname = ?
    AND members.until > clock_timestamp())`

/** As in the index. */
const HAS_VIFS = "vifs <> '[]'"

export const nodesWithin = ({ project }: NodeFilter): PgWhere[] =>
  project === undefined ? [] : [['(owner = ? OR lessee = ?)', project, project]]

export function nodeWheres(filter: NodeFilter): PgWhere[] {
  const wheres: PgWhere[] = [
    ...equal({
      instance_uuid: filter.instanceUuid,
      provision_state: filter.provisionState,
      driver: filter.driver,
      resource_class: filter.resourceClass,
      parent_node: filter.parentNode,
      fault: filter.fault,
      owner: filter.owner,
      lessee: filter.lessee,
      chassis_uuid: filter.chassisUuid,
      conductor_group: filter.conductorGroup,
      instance_name: filter.instanceName,
    }),
    ...flags({ maintenance: filter.maintenance, retired: filter.retired }),
    ...given({ instance_uuid: filter.associated, shard: filter.sharded }),
  ]
  if (filter.descriptionContains !== undefined) wheres.push(['strpos(description, ?) > 0', filter.descriptionContains])
  if (filter.shard) wheres.push(['shard = ANY(?::text[])', [...filter.shard]])
  if (filter.vif !== undefined) wheres.push([`${HAS_VIFS} AND vifs::jsonb @> jsonb_build_array(?::text)`, filter.vif])
  if (filter.conductor !== undefined) wheres.push([HELD_BY, filter.conductor])
  if (filter.parentNode === undefined && filter.includeChildren !== true) wheres.push(['parent_node IS NULL'])
  return wheres
}

export const portsWithin = ({ project }: PortFilter): PgWhere[] => (project === undefined ? [] : [ofProject(project)])

export function portWheres(filter: PortFilter): PgWhere[] {
  const wheres = equal({
    node_uuid: filter.nodeUuid,
    address: filter.address,
    fixed_ip: filter.fixedIp,
    learned_ip: filter.heldIp,
    portgroup_uuid: filter.portgroupUuid,
  })
  if (filter.descriptionContains !== undefined) wheres.push(['strpos(description, ?) > 0', filter.descriptionContains])
  if (filter.shard) wheres.push(ofShard(filter.shard))
  if (filter.conductorGroups)
    wheres.push([
      'node_uuid IN (SELECT uuid FROM nodes WHERE conductor_group = ANY(?::text[]))',
      [...filter.conductorGroups],
    ])
  return wheres
}

export function objectsWithin(kind: string, filter: ObjectFilter): PgWhere[] {
  const within: PgWhere[] = [['kind = ?', kind]]
  if (filter.project !== undefined) within.push(ofProject(filter.project))
  if (filter.readableBy !== undefined) within.push(['(public = 1 OR owner = ?)', filter.readableBy])
  if (filter.ownedBy !== undefined) within.push(['owner = ?', filter.ownedBy])
  return within
}

export function objectWheres(filter: ObjectFilter, fields: readonly string[]): PgWhere[] {
  const wheres = equal({ node_uuid: filter.nodeUuid })
  if (filter.shard) wheres.push(ofShard(filter.shard))
  for (const [field, value] of Object.entries(filter.where ?? {})) {
    if (!fields.includes(field)) throw new Error(`objects cannot be filtered by ${field}`)
    wheres.push([`${field} = ?`, typeof value === 'boolean' ? Number(value) : value])
  }
  return wheres
}

/** Of a project: not what happened before the node was its own, to another owner or lessee, or to a node that had the
 *  same UUID. */
export function eventWheres(filter: EventFilter): PgWhere[] {
  const wheres = equal({ node_uuid: filter.nodeUuid })
  if (filter.kinds) wheres.push(['kind = ANY(?::text[])', [...filter.kinds]])
  const { project } = filter
  if (project !== undefined)
    wheres.push([
      `EXISTS (SELECT 1 FROM nodes AS own WHERE own.uuid = node_uuid
       AND ((own.owner = ? AND raw >= own.owner_raw) OR (own.lessee = ? AND raw >= own.lessee_raw)))`,
      project,
      project,
    ])
  return wheres
}
