/** Moments of a move at which it may die: before each change of a store, and so after each but the last one. */
import type { MoveSide } from '../../../conductor/store/move/side.ts'

const CHANGES = ['setMark', 'prepare', 'begin', 'write', 'complete']

export const atEachChange =
  (moment: () => void) =>
  (side: MoveSide): MoveSide =>
    new Proxy(side, {
      get(target, name: keyof MoveSide) {
        const own = target[name] as ((...args: unknown[]) => Promise<unknown>) & string
        if (!CHANGES.includes(name)) return own?.bind?.(target) ?? own
        return async (...args: unknown[]) => {
          moment()
          return own.apply(target, args)
        }
      },
    })
