/** Owners and lessees: a user with a project sees the nodes that it owns or leases, and those of others do not exist for it. */
import { Fault } from '../../kit/fault.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Actor } from './auth.ts'

export type Standing = 'all' | 'owner' | 'lessee' | 'none'

export function standing(actor: Actor, node: Pick<NodeRecord, 'owner' | 'lessee'>): Standing {
  if (actor.project === null) return 'all'
  if (node.owner === actor.project) return 'owner'
  return node.lessee === actor.project ? 'lessee' : 'none'
}

/** Throws as for a node that is not there. */
export function mustSee(actor: Actor, node: NodeRecord, ident: string): void {
  if (standing(actor, node) === 'none') throw new Fault('object.missing', `there is no node ${JSON.stringify(ident.slice(0, 255))}`)
}

/** A lessee uses a node (power, deploy, rescue) but does not change what it is. */
export function mustOwn(actor: Actor, node: NodeRecord, what: string): void {
  if (standing(actor, node) === 'lessee') throw new Fault('access.denied', `${what}: project ${actor.project} leases node ${node.uuid} and does not own it`)
}

/** For what belongs to the whole installation. */
export function mustBeWhole(actor: Actor, what: string): void {
  if (actor.project !== null) throw new Fault('access.denied', `${what}: user ${actor.user} is confined to project ${actor.project}`)
}
