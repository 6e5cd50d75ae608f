/** Nodes as rows: a column for everything that lists filter and sort by, the secrets sealed in one of their own, the
 *  rest as a JSON body that comes last. */
import { bmcAddress } from '../bmc/address.ts'
import { dueAtMs, newNode, type NodeRecord } from '../node/record.ts'
import { isNodeFault, isState } from '../node/workflow/states.ts'
import { isObject, parseObject } from './damage.ts'
import { isIn, type Value, type Where } from './file.ts'
import { NODE_SCHEMA, upgradeNode } from './node-upgrade.ts'
import { byColumn, byFlag, byRare, isTrue, type Sort, type Sorts } from './listing.ts'
import type { NodeFilter } from './port.ts'
import type { Seal, Sealed } from './secrets.ts'

export interface NodeRow {
  readonly id: number
  readonly uuid: string
  readonly name: string | null
  readonly owner: string | null
  readonly lessee: string | null
  readonly version: number
  readonly sealed: string | null
  readonly body: string
}

export const NODE_COLUMNS = 'id, uuid, name, owner, lessee, version, sealed, body'

const flag = (value: boolean | null) => (value === null ? null : Number(value))

/** A column of integers stores nothing else, and durations of the configuration may have fractions. */
const wholeMs = (ms: number | null) => (ms === null ? null : Math.ceil(ms))

const COLUMNS: Readonly<Record<string, (node: NodeRecord) => Value>> = {
  name: (node) => node.name,
  instance_uuid: (node) => node.instanceUuid,
  provision_state: (node) => node.provisionState,
  maintenance: (node) => flag(node.maintenance),
  driver: (node) => node.driver,
  resource_class: (node) => node.resourceClass,
  parent_node: (node) => node.parentNode,
  owner: (node) => node.owner,
  lessee: (node) => node.lessee,
  shard: (node) => node.shard,
  conductor_group: (node) => node.conductorGroup,
  chassis_uuid: (node) => node.chassisUuid,
  power_state: (node) => node.powerState,
  target_power_state: (node) => node.targetPowerState,
  fault: (node) => node.fault,
  protected: (node) => flag(node.protected),
  retired: (node) => flag(node.retired),
  automated_clean: (node) => flag(node.automatedClean),
  instance_name: (node) => node.instanceName,
  allocation_uuid: (node) => node.allocationUuid,
  provision_updated_at: (node) => node.provisionUpdatedAtMs,
  inspection_started_at: (node) => node.inspectionStartedAtMs,
  inspection_finished_at: (node) => node.inspectionFinishedAtMs,
  vifs: (node) => JSON.stringify(Object.keys(node.vifs)),
  drive_id: (node) => node.configDrive?.id ?? null,
  last_error: (node) => node.lastError,
  maintenance_reason: (node) => node.maintenanceReason,
  description: (node) => node.description,
  bmc: (node) => bmcAddress(node),
  version: (node) => node.version,
  updated_at: (node) => node.updatedAtMs,
  due_at: (node) => wholeMs(dueAtMs(node)),
}

const PLAIN_COLUMNS = Object.entries(COLUMNS)

/** Indexes with other names than those of their columns; of the constraints of the first table that SQLite made
 *  itself. */
const INDEX_NAMES: Readonly<Record<string, string>> = {
  uuid: 'sqlite_autoindex_nodes_1',
  name: 'sqlite_autoindex_nodes_2',
  instance_uuid: 'sqlite_autoindex_nodes_3',
  provision_state: 'nodes_by_state',
  conductor_group: 'nodes_by_group',
}
const NO_SORTS = ['vifs', 'drive_id', 'version', 'bmc', 'due_at']
/** Their indexes are of expressions, which SQLite does not name columns of. */
export const NODE_FLAGS = ['maintenance', 'protected', 'retired']
/** Their indexes have every row. */
const FULL = [...Object.keys(INDEX_NAMES), 'created_at', 'driver']

function sortBy(name: string): Sort {
  const index = INDEX_NAMES[name] ?? `nodes_by_${name}`
  if (NODE_FLAGS.includes(name)) return byFlag(name, index)
  return FULL.includes(name) ? byColumn(name, index) : byRare(name, index)
}

export const NODE_SORTS: Sorts = {
  id: byColumn('id', undefined),
  ...Object.fromEntries(
    ['uuid', 'created_at', ...Object.keys(COLUMNS).filter((name) => !NO_SORTS.includes(name))].map((name) => [
      name,
      sortBy(name),
    ]),
  ),
}
/** A small index that has every node. */
export const EVERY_NODE = 'nodes_by_group'

/** Every column but `uuid` and `created_at`. */
export function nodeColumns(node: NodeRecord, seal: Seal): Record<string, Value> {
  const { rest, sealed } = seal.take({ driverInfo: node.driverInfo, instanceInfo: node.instanceInfo }, node.uuid)
  const columns: Record<string, Value> = {}
  for (const [name, of] of PLAIN_COLUMNS) columns[name] = of(node)
  columns.sealed = JSON.stringify(sealed)
  columns.body = JSON.stringify({ ...node, ...rest, schema: NODE_SCHEMA })
  return columns
}

/** Columns that are made of the body alone, and whether an effect is pending. Throws what is wrong with the row. */
export function madeOfBody(row: Pick<NodeRow, 'uuid' | 'version' | 'body'>) {
  const node = complete(parseObject(row.body), row)
  return {
    vifs: JSON.stringify(Object.keys(node.vifs)),
    dueAtMs: wholeMs(dueAtMs(node)),
    isPending: node.workflow.pendingEffects.length > 0,
  }
}

/** Throws what is wrong with the row. */
export function readNode(row: NodeRow, seal: Seal): NodeRecord {
  const node = complete(parseObject(row.body), row)
  const { driverInfo, instanceInfo } = node
  if (row.sealed === null)
    return {
      ...node,
      driverInfo: seal.openFirstForm(driverInfo, node.uuid),
      instanceInfo: seal.openFirstForm(instanceInfo, node.uuid),
    }
  if (row.sealed === NOTHING_SEALED) return node
  return {
    ...node,
    ...(seal.restore({ driverInfo, instanceInfo }, parseObject(row.sealed) as Sealed, node.uuid) as object),
  }
}

/** The column `sealed` of a record without secrets, as most are. */
const NOTHING_SEALED = '{}'
/** A record of an earlier version lacks the fields that were added later; without these it is damaged. */
const ESSENTIAL = ['uuid', 'driver', 'provisionState', 'workflow', 'createdAtMs'] as const

const FRESH = newNode({ uuid: '', driver: '' }, 0)
const FIELDS = Object.keys(FRESH)
const WORKFLOW_FIELDS = Object.keys(FRESH.workflow)
const NODE_KINDS = kindsOf(FRESH)
const WORKFLOW_KINDS = kindsOf(FRESH.workflow)

/** `stored` comes from the parser and becomes the record. */
function complete(stored: Record<string, unknown>, row: Pick<NodeRow, 'uuid' | 'version'>): NodeRecord {
  upgradeNode(stored)
  const lacking = ESSENTIAL.find((name) => stored[name] === undefined)
  if (lacking) throw new Error(`the field ${lacking} is missing`)
  if (stored.uuid !== row.uuid) throw new Error('it is the record of another node')

  stored.version = row.version
  const node = isWhole(stored) ? stored : withDefaults(stored)
  const odd = oddField(node, NODE_KINDS) ?? oddField(node.workflow as Record<string, unknown>, WORKFLOW_KINDS)
  if (odd) throw new Error(`the field ${odd} holds no value of its kind`)
  if (!isState(String(node.provisionState))) throw new Error('the field provisionState holds no state')
  if (node.fault !== null && !isNodeFault(String(node.fault))) throw new Error('the field fault holds no fault')
  return node as unknown as NodeRecord
}

const isWhole = (stored: Record<string, unknown>): boolean =>
  holdsAll(stored, FIELDS) && isObject(stored.workflow) && holdsAll(stored.workflow, WORKFLOW_FIELDS)

const holdsAll = (values: Record<string, unknown>, names: readonly string[]): boolean =>
  names.every((name) => values[name] !== undefined)

/** Fields that were added after the record was written have the value of a new node. */
function withDefaults(stored: Record<string, unknown>): Record<string, unknown> {
  const { uuid, driver, workflow, createdAtMs } = stored
  const fresh = newNode({ uuid: String(uuid), driver: String(driver) }, Number(createdAtMs))
  const given = isObject(workflow) ? workflow : { pendingEffects: null }
  return { ...fresh, ...stored, workflow: { ...fresh.workflow, ...given } }
}

type Kinds = readonly (readonly [field: string, kind: string])[]

/** What is null in a new record may be anything. */
function kindsOf(fresh: object): Kinds {
  return Object.entries(fresh)
    .filter(([, byDefault]) => byDefault !== null)
    .map(([name, byDefault]) => [name, kindOf(byDefault)])
}

/** The field whose value is of another kind than a new record's. */
const oddField = (values: Readonly<Record<string, unknown>>, kinds: Kinds): string | undefined =>
  kinds.find(([name, kind]) => kindOf(values[name]) !== kind)?.[0]

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value
}

export const nodesWithin = ({ project }: NodeFilter): Where[] =>
  project === undefined ? [] : [['(owner = ? OR lessee = ?)', project, project]]

export function nodeWheres(filter: NodeFilter): Where[] {
  const wheres: Where[] = []
  const equal = (column: string, value: string | undefined) =>
    value !== undefined && wheres.push([`${column} = ?`, value])
  const flag = (column: string, value: boolean | undefined) =>
    value !== undefined && wheres.push(value ? [`${isTrue(column)} = ?`, 1] : [`+${column} = ?`, 0])
  equal('instance_uuid', filter.instanceUuid)
  flag('maintenance', filter.maintenance)
  equal('provision_state', filter.provisionState)
  equal('driver', filter.driver)
  equal('resource_class', filter.resourceClass)
  equal('parent_node', filter.parentNode)
  equal('fault', filter.fault)
  equal('owner', filter.owner)
  equal('lessee', filter.lessee)
  equal('chassis_uuid', filter.chassisUuid)
  equal('conductor_group', filter.conductorGroup)
  flag('retired', filter.retired)
  equal('instance_name', filter.instanceName)
  if (filter.associated !== undefined) wheres.push(['+(instance_uuid IS NOT NULL) = ?', Number(filter.associated)])
  if (filter.descriptionContains !== undefined) wheres.push(['+instr(description, ?) > 0', filter.descriptionContains])
  if (filter.shard) wheres.push([isIn('shard'), JSON.stringify(filter.shard)])
  if (filter.vif !== undefined) wheres.push(['id IN (SELECT node_id FROM node_vifs WHERE vif = ?)', filter.vif])
  if (filter.sharded !== undefined) wheres.push(['+(shard IS NOT NULL) = ?', Number(filter.sharded)])
  if (filter.parentNode === undefined && filter.includeChildren !== true) wheres.push(['+parent_node IS NULL'])
  return wheres
}
