/** What a session with a BMC does next, and the retransmission of what is not answered. Effects as data: whoever has
 *  the socket and the clock carries them out. */
import type { Failure } from './status.ts'

export type SessionMove =
  /** Send it, and wait so long for what `received` takes; then call `timedOut`. `isChange`: it changes the power or
   *  the boot device. */
  | { readonly do: 'send'; readonly bytes: Buffer; readonly waitMs: number; readonly isChange: boolean }
  /** Wait so long, then call `timedOut`. */
  | { readonly do: 'wait'; readonly waitMs: number }
  /** The session is open: `request` or `close`. */
  | { readonly do: 'ready' }
  /** To the request: `request` or `close`. The session goes on, whatever the completion code is. */
  | { readonly do: 'answer'; readonly code: number; readonly data: Buffer }
  | { readonly do: 'closed' }
  /** It is over. `last`: makes the BMC forget a session that is half open; nothing answers it. */
  | { readonly do: 'fail'; readonly failure: Failure; readonly last?: Buffer }

export interface Outstanding {
  /** Called for each try: a datagram of a session has a new number each time. */
  readonly make: () => Buffer
  readonly waitsMs: readonly number[]
  readonly isChange: boolean
}

/** One datagram, or one pause, at a time. */
export class Retransmission {
  private outstanding: Outstanding | undefined
  private resume: (() => SessionMove) | undefined
  tries = 0

  send(outstanding: Outstanding): SessionMove {
    this.outstanding = outstanding
    this.resume = undefined
    this.tries = 0
    return this.again(outstanding)
  }

  pause(waitMs: number, resume: () => SessionMove): SessionMove {
    this.outstanding = undefined
    this.resume = resume
    return { do: 'wait', waitMs }
  }

  /** Undefined: it was tried often enough. */
  timedOut(): SessionMove | undefined {
    const { resume, outstanding } = this
    this.resume = undefined
    if (resume) return resume()
    return outstanding && this.tries < outstanding.waitsMs.length ? this.again(outstanding) : undefined
  }

  private again({ make, waitsMs, isChange }: Outstanding): SessionMove {
    const waitMs = waitsMs[this.tries] ?? 0
    this.tries += 1
    return { do: 'send', bytes: make(), waitMs, isChange }
  }
}
