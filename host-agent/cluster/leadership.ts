/** Leadership: a Consul session and one lock. The lock's LockIndex is the epoch. Synchronous; the calls answer by
 *  callback. The holder counts from when it *sent* the renewal: Consul keeps a session for at least its TTL (and up to
 *  twice as long) after it took that. */
import { SESSION_TTL_MS } from '../protocol/timing.ts'

export interface Lease {
  /** LockIndex of the leader's lock. */
  readonly epoch: number
  /** Until when nobody else can hold it: counted from when the renewal was sent. */
  readonly endsMs: number
  /** When the store last took a write or a renewal. */
  readonly storeOkMs: number
}

export interface Sessions {
  create(done: (session: string | undefined) => void): void
  /** False: Consul says that the session is gone. Undefined: nobody knows. */
  renew(session: string, done: (alive: boolean | undefined) => void): void
  /** The LockIndex; false: somebody else has it. */
  acquire(session: string, done: (epoch: number | false | undefined) => void): void
  release(session: string, done: () => void): void
}

const EVERY_MS = 1_000

export class LeaseKeeper {
  private readonly sessions: Sessions
  private readonly now: () => number
  private readonly onLease: (lease: Lease | undefined) => void
  private readonly onStoreOk: () => void
  private session: string | undefined
  private epoch: number | undefined
  private renewedMs = Number.NEGATIVE_INFINITY
  private triedMs = Number.NEGATIVE_INFINITY
  private busySinceMs: number | undefined
  private turn = 0
  private stopped = false

  constructor(parts: {
    sessions: Sessions
    now: () => number
    onLease: (lease: Lease | undefined) => void
    /** The store took a session or its renewal, whoever leads. */
    onStoreOk?: () => void
  }) {
    this.sessions = parts.sessions
    this.now = parts.now
    this.onLease = parts.onLease
    this.onStoreOk = parts.onStoreOk ?? (() => undefined)
  }

  /** Several times a second. */
  tick(): void {
    const nowMs = this.now()
    if (this.epoch !== undefined && nowMs >= this.renewedMs + SESSION_TTL_MS) this.lose()
    // A call that never answers must not be waited for any longer than a lease lasts.
    if (
      this.stopped ||
      (this.busySinceMs !== undefined && nowMs - this.busySinceMs < EVERY_MS * 3) ||
      nowMs - this.triedMs < EVERY_MS
    )
      return
    this.triedMs = this.busySinceMs = nowMs
    const turn = (this.turn += 1)
    const current = () => {
      if (turn !== this.turn) return false
      this.busySinceMs = undefined
      return true
    }
    const { session } = this
    if (session === undefined)
      return this.sessions.create((made) => {
        if (!current() || made === undefined) return
        this.onStoreOk()
        this.session = made
        this.renewedMs = nowMs
        this.triedMs = Number.NEGATIVE_INFINITY
      })
    this.sessions.renew(session, (alive) => {
      if (!current() || this.session !== session) return
      if (alive === false) {
        this.session = undefined
        return this.lose()
      }
      if (alive === undefined) return
      this.onStoreOk()
      this.renewedMs = Math.max(this.renewedMs, nowMs)
      if (this.epoch !== undefined) return this.onLease(this.leaseOf(this.epoch))
      this.acquire(session)
    })
  }

  /** Gives the lock back, so that nobody waits for the session to run out. Only when nothing is under way. */
  stop(done: () => void): void {
    this.stopped = true
    const { session } = this
    const held = this.epoch !== undefined
    this.lose()
    if (session === undefined || !held) return done()
    this.sessions.release(session, done)
  }

  private acquire(session: string): void {
    const turn = (this.turn += 1)
    this.busySinceMs = this.now()
    this.sessions.acquire(session, (epoch) => {
      if (turn !== this.turn) return
      this.busySinceMs = undefined
      if (epoch === false || epoch === undefined || this.session !== session || this.stopped) return
      this.epoch = epoch
      if (this.now() < this.renewedMs + SESSION_TTL_MS) this.onLease(this.leaseOf(epoch))
      else this.lose()
    })
  }

  private leaseOf(epoch: number): Lease {
    return { epoch, endsMs: this.renewedMs + SESSION_TTL_MS, storeOkMs: this.renewedMs }
  }

  private lose(): void {
    if (this.epoch === undefined) return
    this.epoch = undefined
    this.onLease(undefined)
  }
}
