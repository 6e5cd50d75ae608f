/** Changes of what is kept of a doubt in the database: each is made on what is there, whoever else changes it. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import { untilFresh } from '../store/again.ts'
import type { Store } from '../store/port.ts'
import { STANDING, STANDING_NAME, standingOf, type StoreTrust, type TrustBody } from './standing.ts'

export interface StandingParts {
  readonly objects: Pick<Store['objects'], 'add' | 'put' | 'find'>
  readonly clock: Clock
  readonly random: Random
}

/** Throws what `change` throws, and `store.damaged`. */
export const changeStanding = (
  { objects, clock, random }: StandingParts,
  change: (standing: StoreTrust) => TrustBody,
): Promise<StoreTrust> =>
  untilFresh(async () => {
    const object = await objects.find(STANDING, STANDING_NAME)
    const body = { ...change(standingOf(object)) }
    if (object) return standingOf(await objects.put({ ...object, updatedAtMs: clock.now(), body }))
    const made = {
      kind: STANDING,
      uuid: random.uuid(),
      version: 0,
      name: STANDING_NAME,
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: clock.now(),
      updatedAtMs: null,
      body,
    }
    await objects.add(made).catch((error: unknown) => {
      // Another conductor was faster.
      throw isFault(error, 'object.conflict') ? new Fault('store.moved', error.detail, { cause: error }) : error
    })
    return standingOf(made)
  })
