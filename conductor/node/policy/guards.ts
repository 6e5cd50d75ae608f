/** What may be changed of a node in which state (Ironic's rules). Pure; throws the refusal. */
import { Fault } from '../../../kit/fault.ts'
import { snakeCase } from '../../../kit/text.ts'
import type { Verb } from '../workflow/arrows.ts'
import { DRIVERS, isDriver } from './drivers.ts'
import { changedFields, type NodeField } from './changes.ts'
import { modeWaitWhy } from './firmware-target.ts'
import { checkInterfaces } from './interfaces.ts'
import { isLocked, lockedWhy, type NodeRecord } from '../record.ts'
import { NODE_FAULTS, STATES, statesWith } from '../workflow/states.ts'

/** Flags and notes, on which no work in progress depends. */
const HARMLESS: ReadonlySet<NodeField> = new Set<NodeField>([
  'maintenance',
  'maintenanceReason',
  'fault',
  'description',
  'extra',
  'protected',
  'protectedReason',
  'automatedClean',
  'retired',
  'retiredReason',
  'vifs',
  'targetRaidConfig',
  'consoleEnabled',
])

export const locked = (node: NodeRecord) => new Fault('node.locked', lockedWhy(node))

export function checkDriver(driver: string): void {
  if (!isDriver(driver))
    throw new Fault(
      'input.invalid',
      `driver: No valid host was found. Reason: No conductor service registered which supports driver ${driver.slice(0, 64)}; there are ${Object.keys(DRIVERS).join(', ')}`,
    )
}

export function checkUpdate(node: NodeRecord, next: NodeRecord): void {
  const changed = changedFields(node, next)
  const conflict = (why: string) => new Fault('object.conflict', why)
  const state = STATES[node.provisionState]
  const steering = [...changed].filter((field) => !HARMLESS.has(field))
  const frees = node.maintenance && steering.every((field) => field === 'instanceUuid') && next.instanceUuid === null
  if (steering.length > 0 && isLocked(node)) throw locked(node)
  if (steering.length > 0 && state.editable === 'flags' && !frees)
    throw conflict(
      `node ${node.uuid} is in state "${node.provisionState}": ${steering.map(snakeCase).join(', ')} can be changed when it has left that state`,
    )
  if (next.driver !== node.driver) {
    checkDriver(next.driver)
    if (node.consoleEnabled)
      throw conflict(`node ${node.uuid} has its console on: switch it off before the driver changes`)
  }
  checkInterfaces(next)
  const remade = steering.find(
    (field) => field.endsWith('Interface') || field === 'resourceClass' || field === 'driver',
  )
  if (remade && !node.maintenance && state.editable !== 'all')
    throw conflict(
      `node ${node.uuid} is in state "${node.provisionState}": ${snakeCase(remade)} can be changed in ${statesWith((row) => row.editable === 'all')}, or in maintenance`,
    )
  if (changed.has('protected') && next.protected && !state.occupied)
    throw conflict(`node ${node.uuid} is ${node.provisionState}: only active and rescued nodes can be protected`)
  if (next.protectedReason !== null && !next.protected)
    throw new Fault('input.invalid', 'protected_reason: only with protected')
  if (changed.has('retired') && next.retired && node.provisionState === 'available')
    throw conflict(`node ${node.uuid} is available: bring it back to manageable before it is retired`)
  if (next.retiredReason !== null && !next.retired)
    throw new Fault('input.invalid', 'retired_reason: only with retired')
  if (changed.has('instanceUuid') && node.instanceUuid && next.instanceUuid && next.instanceUuid !== node.instanceUuid)
    throw conflict(`node ${node.uuid} has the instance ${node.instanceUuid} already: remove instance_uuid first`)
  if (next.parentNode === node.uuid) throw new Fault('input.invalid', 'parent_node: a node is not its own parent')
}

export function checkRemove(node: NodeRecord): void {
  if (node.protected)
    throw new Fault(
      'node.protected',
      `node ${node.uuid} is protected: ${node.protectedReason ?? 'no reason was given'}`,
    )
  if (isLocked(node)) throw locked(node)
  const modeWait = modeWaitWhy(node)
  if (modeWait) throw new Fault('object.conflict', modeWait)
  if (node.maintenance) return
  if (node.instanceUuid)
    throw new Fault(
      'object.conflict',
      `node ${node.uuid} has the instance ${node.instanceUuid}; undeploy it, or put the node into maintenance`,
    )
  if (!STATES[node.provisionState].deletable)
    throw new Fault(
      'object.conflict',
      `node ${node.uuid} cannot be deleted in state "${node.provisionState}"; undeploy it, or put it into maintenance`,
    )
}

/** For who has decided on an older record: a verb that was taken since then is not sent once more. */
export function checkGeneration({ uuid, workflow }: NodeRecord, expected: number | undefined): void {
  if (expected !== undefined && workflow.generation !== expected)
    throw new Fault('object.conflict', `node ${uuid} was sent another verb meanwhile`)
}

/** Verbs that a node in maintenance refuses, unless the maintenance came with a fault that the verb ends. */
const NOT_IN_MAINTENANCE: ReadonlySet<Verb> = new Set(['deploy', 'rebuild', 'clean', 'service', 'rescue', 'unrescue'])

export function checkVerb(node: NodeRecord, verb: Verb): void {
  const endsWithVerb = node.fault !== null && NODE_FAULTS[node.fault].endsWithVerb
  if (node.maintenance && !endsWithVerb && NOT_IN_MAINTENANCE.has(verb))
    throw new Fault(
      'node.maintenance',
      `node ${node.uuid} is in maintenance: ${node.maintenanceReason ?? 'no reason was given'}`,
    )
  if (node.protected && (verb === 'rebuild' || verb === 'delete'))
    throw new Fault(
      'node.protected',
      `node ${node.uuid} is protected: ${node.protectedReason ?? 'no reason was given'}`,
    )
  if (node.retired && verb === 'provide')
    throw new Fault('node.retired', `node ${node.uuid} is retired: ${node.retiredReason ?? 'no reason was given'}`)
}
