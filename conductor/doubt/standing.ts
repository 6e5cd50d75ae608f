/** What is kept of a doubt in the database: its incarnation, and the boot rooms that know more than it does. Pure, but
 *  for the form of the record. */
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import type { ObjectRecord } from '../store/port.ts'
import { claimant } from './words.ts'

export const STANDING = 'store standing'
/** There is one. */
export const STANDING_NAME = 'standing'
/** Nodes that a claim names; the others are counted. */
export const MAX_NAMED = 2_000
/** Nodes that all claims name together: the record is read every few seconds. */
export const MAX_NAMED_OF_ALL = 10_000

const Count = z.int().min(0)

/** A node of which a room holds something newer than the database. */
const NewerNode = z.object({
  uuid: z.string(),
  mac: z.string(),
  /** The version of the node's record that the room was told of. */
  held: Count,
  /** Null: the database has no such node. */
  recorded: Count.nullable(),
})
export type NewerNode = z.infer<typeof NewerNode>

/** A boot room that was told of later states than the database has, or a conductor that saw them there itself. */
const Claim = z.object({
  /** Its name. */
  room: z.string(),
  who: z.enum(['room', 'conductor']).default('room'),
  /** How far the database had come when it told the room last, or was seen. */
  epoch: Count,
  seq: Count,
  /** How far it had come when that was said. */
  lastSeq: Count,
  atMs: z.number(),
  /** By whom it was heard. */
  by: z.string(),
  /** Nodes that are newer in the room; `nodes` names some of them. */
  count: Count,
  nodes: z.array(NewerNode).max(MAX_NAMED),
})
export type Claim = z.infer<typeof Claim>

const Body = z.object({
  /** The incarnation of the database: raised each time that an operator takes a restored one for the truth. */
  epoch: Count,
  claims: z.array(Claim),
  accepted: z.object({ by: z.string(), atMs: z.number(), rooms: z.array(z.string()) }).nullable(),
})
export type TrustBody = z.infer<typeof Body>

export interface StoreTrust extends TrustBody {
  /** Of the record; null: there is none yet. */
  readonly version: number | null
}

export const FIRST: StoreTrust = { epoch: 1, claims: [], accepted: null, version: null }

/** Throws `store.damaged`. */
export function standingOf(object: ObjectRecord | undefined): StoreTrust {
  if (!object) return FIRST
  const { success, data } = Body.safeParse(object.body)
  if (!success) throw new Fault('store.damaged', `the ${STANDING} ${object.uuid} cannot be read`)
  return { ...data, version: object.version }
}

/** A room says it again: what it says now counts. A claim that was made before an acceptance changes nothing: what it
 *  is about was given up. */
export function withClaim({ epoch, claims, accepted }: TrustBody, claim: Claim): TrustBody {
  if (claim.epoch < epoch) return { epoch, accepted, claims }
  const others = claims.filter((one) => claimant(one) !== claimant(claim))
  const free = MAX_NAMED_OF_ALL - others.reduce((sum, { nodes }) => sum + nodes.length, 0)
  return { epoch, accepted, claims: [...others, { ...claim, nodes: claim.nodes.slice(0, Math.max(0, free)) }] }
}

/** A room that is removed has nothing to say. */
export const withoutRoom = ({ epoch, claims, accepted }: TrustBody, room: string): TrustBody => ({
  epoch,
  accepted,
  claims: claims.filter((claim) => claim.who === 'conductor' || claim.room !== room),
})

/** The records are to be believed: what was told from now on is newer than what any of these rooms knows. */
export const withAcceptance = (
  { epoch, claims }: TrustBody,
  { by, atMs }: { readonly by: string; readonly atMs: number },
): TrustBody => ({
  epoch: Math.max(epoch, ...claims.map((claim) => claim.epoch)) + 1,
  claims: [],
  accepted: { by, atMs, rooms: claims.map(claimant) },
})

/** Every node that a room knows newer, the highest version of each, with the rooms that say so. */
export function newerNodes({ claims }: Pick<TrustBody, 'claims'>): (NewerNode & { rooms: string[] })[] {
  const found = new Map<string, NewerNode & { rooms: string[] }>()
  for (const { room, nodes } of claims)
    for (const node of nodes) {
      const before = found.get(node.uuid)
      const rooms = [...new Set([...(before?.rooms ?? []), room])]
      found.set(node.uuid, before && before.held >= node.held ? { ...before, rooms } : { ...node, rooms })
    }
  return [...found.values()]
}
