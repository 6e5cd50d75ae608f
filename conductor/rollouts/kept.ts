/** Roll-outs and their turns in the store, as objects: each change of one is compared with what it was. */
import { turn as othersTurn } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import * as z from 'zod'
import type { Actor } from '../api/auth.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import { ROLLOUT_TABLE } from './states.ts'
import type { Rollout, NodeTurn } from './step.ts'

export const ROLLOUT = 'rollout'
export const TURN = 'rollout turn'
/** Along the index of `type`, so that turns of other roll-outs cost nothing. */
const PAGE = { limit: 200, sortKey: 'type', descending: false } as const

export interface KeptRollout extends Rollout {
  readonly site: string
  readonly hash: string
  readonly by: Actor
  /** Sealed by the store; gone when the roll-out has ended. */
  readonly secrets: Readonly<Record<string, string>>
  /** Nodes by their state when it ended. */
  readonly counts: Readonly<Record<string, number>> | null
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

/** A config drive stands in an item: it is sealed in the store, as the drives of nodes are. */
const turnBody = ({ item, ...rest }: NodeTurn, rolloutUuid: unknown) => ({
  ...rest,
  secret_item: item,
  type: rolloutUuid,
})
function turnOf(object: ObjectRecord): KeptTurn {
  const { secret_item: item, ...rest } = object.body
  return { ...(rest as unknown as Omit<NodeTurn, 'item'>), item: item as NodeTurn['item'], object }
}

const isOpen = ({ state }: Pick<Rollout, 'state'>): boolean => !ROLLOUT_TABLE.final.includes(state)

export const openRollouts = async (store: Store): Promise<KeptRollout[]> =>
  (await store.objects.every(ROLLOUT)).map(rolloutOf).filter(isOpen)

/** The turns of a roll-out; `type` is the field that lists of objects can look for. */
export async function turnsOf(store: Store, rolloutUuid: string): Promise<KeptTurn[]> {
  const turns: KeptTurn[] = []
  for (let marker: string | undefined; ;) {
    const page = { ...PAGE, ...(marker === undefined ? {} : { marker }) }
    const found = await store.objects.list(TURN, { where: { type: rolloutUuid } }, page)
    turns.push(...found.map(turnOf))
    marker = found.at(-1)?.uuid
    if (found.length < PAGE.limit || marker === undefined) return turns
    await othersTurn()
  }
}

export async function putRollout(store: Store, next: KeptRollout, nowMs: number): Promise<KeptRollout> {
  const { object, ...body } = next
  const uniqueKey = isOpen(next) ? next.site : null
  return rolloutOf(await store.objects.put({ ...object, uniqueKey, updatedAtMs: nowMs, body: { ...body } }))
}

export async function putTurn(store: Store, next: KeptTurn, nowMs: number): Promise<KeptTurn> {
  const { object, ...turn } = next
  return turnOf(await store.objects.put({ ...object, updatedAtMs: nowMs, body: turnBody(turn, object.body.type) }))
}

/** Throws `object.conflict` while the site has another one that has not ended, whichever conductor took it. */
export async function addRollout(
  store: Store,
  body: Omit<KeptRollout, 'object'>,
  { uuid, nowMs }: { uuid: string; nowMs: number },
): Promise<KeptRollout> {
  const object = { ...newObject({ kind: ROLLOUT, uuid, body: { ...body }, nowMs }), uniqueKey: body.site }
  await store.objects.add(object)
  return rolloutOf(object)
}

/** Many at once: each transaction waits for the disk. */
export const addTurns = (
  store: Store,
  turns: readonly NodeTurn[],
  { newUuid, rolloutUuid, nowMs }: { newUuid: () => string; rolloutUuid: string; nowMs: number },
): Promise<void> =>
  store.objects.addAll(
    turns.map((turn) => newObject({ kind: TURN, uuid: newUuid(), body: turnBody(turn, rolloutUuid), nowMs })),
  )

/** The turns first: what is left after an interruption is still known as a roll-out. */
export async function removeRollout(store: Store, rolloutUuid: string): Promise<void> {
  for (const turn of await turnsOf(store, rolloutUuid)) await store.objects.remove(TURN, turn.object.uuid)
  await store.objects.remove(ROLLOUT, rolloutUuid)
}

export function countsOf(turns: readonly Pick<NodeTurn, 'state'>[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { state } of turns) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

const newObject = (given: Pick<ObjectRecord, 'kind' | 'uuid' | 'body'> & { readonly nowMs: number }): ObjectRecord => ({
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
