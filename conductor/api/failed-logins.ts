/** Failed logins, counted by address and user: a stranger who guesses locks out nobody but himself. What is guessed of
 *  one user from many addresses makes that user's logins slower, and refuses none. */
import { createHash } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'

const WINDOW_MS = 60_000
/** Users that one address may fail for, as a multiple of the failures for one user. */
const PER_ADDRESS = 10
const MAX_SOURCES = 10_000
const SLOWER_MS = 100
const MAX_SLOW_MS = 2_000

interface Count {
  sinceMs: number
  count: number
}
interface LoginSource extends Count {
  readonly users: Map<string, number>
  /** Of those counted, how many are known to be wrong. */
  wrong: number
}

export class FailedLogins {
  private readonly perMinute: number
  private readonly nowMs: () => number
  private readonly onLimit: OnLimit
  private readonly sources = new Map<string, LoginSource>()
  private readonly users = new Map<string, Count>()

  constructor(opts: { perMinute: number; nowMs: () => number; onLimit: OnLimit }) {
    this.perMinute = opts.perMinute
    this.nowMs = opts.nowMs
    this.onLimit = opts.onLimit
  }

  /** Counts a login that is not known to be right yet: guesses that are sent at once are not free. Answers how long it
   *  has to wait first. Throws `access.limited` after too many. */
  begin(address: string, user: string): number {
    const key = keyOf(user)
    const source = this.recent(this.sources, address, () => ({
      sinceMs: this.nowMs(),
      count: 0,
      wrong: 0,
      users: new Map(),
    }))
    const ofUser = source.users.get(key) ?? 0
    if (ofUser >= this.perMinute || source.count >= this.perMinute * PER_ADDRESS) {
      this.onLimit('api.failedLoginsPerMinute', { address })
      throw new Fault('access.limited', 'too many failed logins from this address')
    }
    source.count += 1
    source.users.set(key, ofUser + 1)
    const total = this.recent(this.users, key, () => ({ sinceMs: this.nowMs(), count: 0 }))
    total.count += 1
    return Math.min(MAX_SLOW_MS, Math.max(0, total.count - this.perMinute) * SLOWER_MS)
  }

  wrong(address: string): void {
    const source = this.sources.get(address)
    if (source) source.wrong += 1
  }

  /** Wrong ones of this address lately. */
  of(address: string): number {
    const source = this.sources.get(address)
    return source && !this.isOver(source) ? source.wrong : 0
  }

  /** That one was right, or was not looked at. */
  forgive(address: string, user: string): void {
    const key = keyOf(user)
    const source = this.sources.get(address)
    const ofUser = source?.users.get(key)
    if (source && ofUser) {
      source.count -= 1
      if (ofUser > 1) source.users.set(key, ofUser - 1)
      else source.users.delete(key)
    }
    const total = this.users.get(key)
    if (total && total.count > 0) total.count -= 1
  }

  /** The entry of `key`, or a new one. The oldest goes when there are too many; one that began in the future, before a
   *  clock was set back, is over. */
  private recent<T extends Count>(entries: Map<string, T>, key: string, make: () => T): T {
    const found = entries.get(key)
    if (found && !this.isOver(found)) return found
    entries.delete(key)
    if (entries.size >= MAX_SOURCES) entries.delete(entries.keys().next().value as string)
    const made = make()
    entries.set(key, made)
    return made
  }

  private isOver({ sinceMs }: Count): boolean {
    const ageMs = this.nowMs() - sinceMs
    return ageMs < 0 || ageMs >= WINDOW_MS
  }
}

/** A name may be as long as a header. */
const keyOf = (user: string): string => createHash('sha256').update(user).digest('base64url')
