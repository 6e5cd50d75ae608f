/** Alerts whose host or node a hook holds, in the store: what is resolved undoes that, and nothing else. */
import { isFault } from '../../kit/fault.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import type { HookConfig } from './config.ts'

export const HELD = 'hook alert'

export interface HeldBody {
  readonly hook: string
  readonly act: HookConfig['act']
  readonly fingerprint: string
  readonly alert: string
  /** UUID of the node, or name of the host. */
  readonly target: string
  /** `begun`: it was about to be done, and may have been. `ending`: the alert is resolved; what it held may be undone
   *  already. */
  readonly state: 'begun' | 'held' | 'ending'
}
export interface HeldRecord extends Omit<ObjectRecord, 'body'> {
  readonly body: HeldBody
}

const typed = (object: ObjectRecord): HeldRecord => object as unknown as HeldRecord

export const everyHeld = async (store: Pick<Store, 'objects'>): Promise<HeldRecord[]> =>
  (await store.objects.every(HELD)).map(typed)

/** Undefined: another request has the same alert in hand. */
export async function addHeld(
  store: Pick<Store, 'objects'>,
  body: HeldBody,
  { uuid, nowMs }: { uuid: string; nowMs: number },
): Promise<HeldRecord | undefined> {
  const record: ObjectRecord = {
    kind: HELD,
    uuid,
    version: 0,
    name: null,
    nodeUuid: null,
    uniqueKey: `${body.hook} ${body.fingerprint}`,
    createdAtMs: nowMs,
    updatedAtMs: null,
    body: { ...body },
  }
  try {
    await store.objects.add(record)
    return typed(record)
  } catch (error) {
    if (isFault(error, 'object.conflict')) return undefined
    throw error
  }
}

/** Throws `store.moved` when another conductor was faster. */
export async function keepHeld(
  store: Pick<Store, 'objects'>,
  record: HeldRecord,
  { state, nowMs }: { state: HeldBody['state']; nowMs: number },
): Promise<void> {
  const body = { ...record.body, state }
  await store.objects.put({ ...record, updatedAtMs: nowMs, body })
}
