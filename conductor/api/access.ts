/** Owners and lessees: a user with a project sees the nodes that it owns or leases, and those of others do not exist
 *  for it. */
import { Fault, isFault } from '../../kit/fault.ts'
import { priorityOf } from '../admission/standing.ts'
import type { NodeRecord } from '../node/record.ts'
import type { NodeService } from '../node/service.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import type { Actor } from './auth.ts'

type HasPriority = Pick<NodeRecord, 'instanceInfo'>

export type Standing = 'all' | 'owner' | 'lessee' | 'none'

export function standing(actor: Actor, node: Pick<NodeRecord, 'owner' | 'lessee'>): Standing {
  if (actor.project === null) return 'all'
  if (node.owner === actor.project) return 'owner'
  return node.lessee === actor.project ? 'lessee' : 'none'
}

const missing = (kind: string, ident: string) =>
  new Fault('object.missing', `there is no ${kind} ${JSON.stringify(ident.slice(0, 255))}`)

type Finds = Pick<NodeService, 'find' | 'damaged'>

/** A node by UUID or name, as the user sees it: every look-up by name goes through here, so that a node of another
 *  project and none at all are one answer. Throws `object.missing`. */
export async function seenNode(nodes: Finds, actor: Actor, ident: string): Promise<NodeRecord> {
  const node = await nodes.find(ident).catch((error: unknown) => {
    const damaged = isFault(error, 'store.damaged') ? nodes.damaged(ident) : undefined
    throw damaged && standing(actor, damaged) === 'none' ? missing('node', ident) : error
  })
  if (standing(actor, node) === 'none') throw missing('node', ident)
  return node
}

/** The same for a node that a field of a body names. Throws `input.invalid` with the field. */
export async function namedNode(nodes: Finds, actor: Actor, at: { field: string; ident: string }): Promise<NodeRecord> {
  return seenNode(nodes, actor, at.ident).catch((error: unknown) => {
    throw isFault(error, 'object.missing')
      ? new Fault('input.invalid', `${at.field}: ${error.detail}`, { cause: error })
      : error
  })
}

/** A thing that belongs to a node, by UUID or name; what hangs on a node that the user does not see is not there.
 *  Throws `object.missing`. */
export async function seenObject(
  store: Store,
  actor: Actor,
  at: { kind: string; ident: string },
): Promise<ObjectRecord> {
  const object = await store.objects.find(at.kind, at.ident)
  if (!object || !(await seesNodeOf(store, actor, object))) throw missing(at.kind, at.ident)
  return object
}

export async function seesNodeOf(
  store: Store,
  actor: Actor,
  object: { readonly nodeUuid: string | null },
): Promise<boolean> {
  if (actor.project === null) return true
  const node = object.nodeUuid === null ? undefined : await store.node(object.nodeUuid)
  return node !== undefined && standing(actor, node) !== 'none'
}

/** What `found` finds; undefined when it is damaged and the user may remove it all the same, for it cannot be asked
 *  whose it is. */
export async function orDamaged<T>({ actor }: { actor: Actor }, found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (isFault(error, 'store.damaged') && actor.project === null && actor.role === 'admin') return undefined
    throw error
  }
}

/** A lessee uses a node (power, deploy, rescue) but does not change what it is. */
export function mustOwn(actor: Actor, node: NodeRecord, what: string): void {
  if (standing(actor, node) === 'lessee')
    throw new Fault('access.denied', `${what}: project ${actor.project} leases node ${node.uuid} and does not own it`)
}

/** For what belongs to the whole installation. */
export function mustBeWhole(actor: Actor, what: string): void {
  if (actor.project !== null)
    throw new Fault('access.denied', `${what}: user ${actor.user} is confined to project ${actor.project}`)
}

/** The queue of admission is one for all projects: a user of one of them may let others pass, and not pass them. */
export function mustNotOvertake(actor: Actor, before: HasPriority | null, after: HasPriority): void {
  const asked = priorityOf(after)
  if (actor.project === null || asked <= 0 || (before !== null && asked <= priorityOf(before))) return
  throw new Fault(
    'access.denied',
    `instance_info/priority: user ${actor.user} is confined to project ${actor.project}, and may set 0 or less`,
  )
}
