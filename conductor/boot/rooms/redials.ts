/** Rooms that a conductor lets dial anew: no event is written of it, unless one stays away. Events of its own would
 *  raise the number that rooms are compared with, and could make a database that lost changes look new enough. */
import type { Clock } from '../../../kit/clock.ts'

/** A room that has not dialled by then has left. */
export const REDIAL_MS = 20_000

export class Redials {
  private readonly clock: Pick<Clock, 'after'>
  private readonly onLeft: (room: string) => void
  private readonly cancels = new Map<string, () => void>()

  constructor(clock: Pick<Clock, 'after'>, onLeft: (room: string) => void) {
    this.clock = clock
    this.onLeft = onLeft
  }

  begin(room: string): void {
    this.back(room)
    const cancel = this.clock.after(REDIAL_MS, () => {
      this.cancels.delete(room)
      this.onLeft(room)
    })
    this.cancels.set(room, cancel)
  }

  has(room: string): boolean {
    return this.cancels.has(room)
  }

  /** True: it was to dial anew. */
  back(room: string): boolean {
    this.cancels.get(room)?.()
    return this.cancels.delete(room)
  }

  stop(): void {
    for (const room of this.cancels.keys()) this.back(room)
  }
}
