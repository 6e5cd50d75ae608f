/** Roll-outs and their turns in the store, as objects: each change of one is compared with what it was. */
import { Fault } from '../../kit/fault.ts'
import * as z from 'zod'
import type { Actor } from '../api/auth.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import type { Rollout, NodeTurn } from './step.ts'

export const ROLLOUT = 'rollout'
export const TURN = 'rollout turn'
const PAGE = { limit: 1_000, sortKey: 'id', descending: false } as const

export interface KeptRollout extends Rollout {
  readonly site: string
  readonly hash: string
  readonly by: Actor
  /** Sealed by the store; gone when the roll-out has ended. */
  readonly secrets: Readonly<Record<string, string>>
  readonly object: ObjectRecord
}

export interface KeptTurn extends NodeTurn {
  readonly object: ObjectRecord
}

const Head = z.object({ state: z.string(), roll: z.object({}), by: z.object({ user: z.string() }) })

export function rolloutOf(object: ObjectRecord): KeptRollout {
  if (!Head.safeParse(object.body).success)
    throw new Fault('store.damaged', `the roll-out ${object.uuid} cannot be read`)
  return { ...(object.body as unknown as Omit<KeptRollout, 'object'>), object }
}
const turnOf = (object: ObjectRecord): KeptTurn => ({ ...(object.body as unknown as Omit<KeptTurn, 'object'>), object })

export const openRollouts = async (store: Store): Promise<KeptRollout[]> =>
  (await store.objects.every(ROLLOUT)).map(rolloutOf).filter(({ state }) => state !== 'done' && state !== 'cancelled')

/** The turns of a roll-out; `type` is the field that lists of objects can look for. */
export async function turnsOf(store: Store, rolloutUuid: string): Promise<KeptTurn[]> {
  const turns: KeptTurn[] = []
  for (let marker: string | undefined; ;) {
    const page = { ...PAGE, ...(marker === undefined ? {} : { marker }) }
    const found = await store.objects.list(TURN, { where: { type: rolloutUuid } }, page)
    turns.push(...found.map(turnOf))
    marker = found.at(-1)?.uuid
    if (found.length < PAGE.limit || marker === undefined) return turns
  }
}

export async function putRollout(store: Store, next: KeptRollout, nowMs: number): Promise<KeptRollout> {
  const { object, ...body } = next
  return rolloutOf(await store.objects.put({ ...object, updatedAtMs: nowMs, body: { ...body } }))
}

export async function putTurn(store: Store, next: KeptTurn, nowMs: number): Promise<KeptTurn> {
  const { object, ...body } = next
  return turnOf(await store.objects.put({ ...object, updatedAtMs: nowMs, body: { ...body, type: object.body.type } }))
}

export const newObject = (
  given: Pick<ObjectRecord, 'kind' | 'uuid' | 'body'> & { readonly nowMs: number },
): ObjectRecord => ({
  kind: given.kind,
  uuid: given.uuid,
  version: 0,
  name: null,
  nodeUuid: null,
  uniqueKey: null,
  createdAtMs: given.nowMs,
  updatedAtMs: null,
  body: given.body,
})
