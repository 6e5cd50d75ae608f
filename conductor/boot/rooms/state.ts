/** What a boot room keeps on its disk beside its clients: its settings, how far the conductors had come, and who is
 *  gone. One file of mode 0600, replaced as a whole. */
import { readFile } from 'node:fs/promises'
import { isDict } from '../../../kit/json.ts'
import { writeWhole } from '../../../kit/files.ts'
import type { Tombstone } from './merge.ts'
import { isVersion, type StoreMark } from './version.ts'
import type { RoomSettings } from './wire.ts'

export interface RoomState {
  readonly settings: RoomSettings | undefined
  readonly mark: StoreMark
  readonly tombstones: readonly Tombstone[]
  /** When a conductor was heard last. */
  readonly heardAtMs: number
}

export const NO_STATE: RoomState = { settings: undefined, mark: { epoch: 0, seq: 0 }, tombstones: [], heardAtMs: 0 }

export async function readState(path: string, onDamaged: (why: string) => void): Promise<RoomState> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return NO_STATE
  try {
    return stateOf(JSON.parse(text))
  } catch (error) {
    onDamaged((error as Error).message)
    return NO_STATE
  }
}

export const writeState = (path: string, state: RoomState): Promise<void> => writeWhole(path, JSON.stringify(state))

/** It was written by this program: what it holds is looked at for damage, and no closer. */
function stateOf(value: unknown): RoomState {
  if (!isDict(value) || !isDict(value.mark) || !Array.isArray(value.tombstones))
    throw new Error('it is no state of a room')
  const { epoch, seq } = value.mark
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) throw new Error('its mark is no number')
  const { settings } = value
  if (settings !== undefined && (!isDict(settings) || !isDict(settings.boot) || !Array.isArray(settings.segments)))
    throw new Error('its settings are none')
  const tombstones = (value.tombstones as Tombstone[]).filter((one) => isDict(one) && isVersion(one.version))
  return { ...(value as unknown as RoomState), tombstones, heardAtMs: Number(value.heardAtMs) || 0 }
}
