/** Records that cannot be read: each takes itself out, and nothing else. They are remembered, so that they can be
 *  named, until they are written anew or removed. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Damaged } from './port.ts'

/** Which record it is, as far as its columns tell. */
export type RecordName = Omit<Damaged, 'why'>

export class Damage {
  private readonly found = new Map<string, Damaged>()

  /** What `read` makes of a record. Throws `store.damaged` when it cannot be read. */
  open<T>(name: RecordName, read: () => T): T {
    try {
      return read()
    } catch (error) {
      const why = isFault(error) ? error.detail : (error as Error).message
      this.found.set(`${name.kind} ${name.uuid}`, { ...name, why })
      throw new Fault('store.damaged', `the stored record of ${name.kind} ${name.uuid} cannot be read: ${why}`, {
        cause: error,
      })
    }
  }

  /** The same for lists: those that cannot be read are left out. */
  openAll<R, T>(rows: readonly R[], read: (row: R) => T): T[] {
    return rows.flatMap((row) => {
      try {
        return [read(row)]
      } catch (error) {
        if (isFault(error, 'store.damaged')) return []
        throw error
      }
    })
  }

  /** It was written anew, or removed. */
  forget(kind: string, uuid: string): void {
    this.found.delete(`${kind} ${uuid}`)
  }

  /** Others went with it. */
  forgetUnless(kept: (one: Damaged) => boolean): void {
    for (const [key, one] of this.found) if (!kept(one)) this.found.delete(key)
  }

  list = (): Damaged[] => [...this.found.values()]
}

/** Throws what is wrong with it, without a word of its content. */
export function parseObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('it is not JSON')
  }
  if (!isObject(value)) throw new Error('it is no JSON object')
  return value
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
