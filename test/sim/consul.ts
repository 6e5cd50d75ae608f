/** A working model of Consul as the arbiters use it: one linearizable store, sessions with a TTL, a lock with a delay;
 *  a minority gets no answer. */
import type { Sessions } from '../../host-agent/cluster/leadership.ts'
import { LOCK_DELAY_MS, SESSION_TTL_MS } from '../../host-agent/protocol/timing.ts'
import type { Change, Entry, Snapshot, Stored } from '../../host-agent/cluster/store.ts'
import type { Engine } from './engine.ts'

interface Session {
  readonly id: string
  expiresMs: number
}

export class SimConsul {
  readonly entries = new Map<string, Entry>()
  index = 1
  lock: { session: string; epoch: number; by: string } | undefined
  /** Share of writes whose answer is lost. */
  unknownShare = 0
  private lockFreeMs = 0
  /** Whose session was ended from outside, until somebody takes the lock. */
  private brokenOf: string | undefined
  private readonly sessions = new Map<string, Session>()
  private count = 0
  private readonly engine: Engine
  private readonly reaches: (arbiter: string) => boolean
  private readonly onWrite: (changes: readonly Change[], by: string) => void

  constructor(
    engine: Engine,
    hooks: { reaches: (arbiter: string) => boolean; onWrite: (changes: readonly Change[], by: string) => void },
  ) {
    this.engine = engine
    this.reaches = hooks.reaches
    this.onWrite = hooks.onWrite
  }

  /** Whether the arbiter holds the lock at this moment, by the truth. */
  holder(): string | undefined {
    this.expire()
    return this.lock?.by
  }

  snapshot(): Snapshot {
    return { entries: [...this.entries.values()], index: this.index }
  }

  set(key: string, value: unknown): void {
    this.index += 1
    if (value === undefined) this.entries.delete(key)
    else this.entries.set(key, { key, value, index: this.index })
  }

  sessionsOf(name: string): Sessions {
    return {
      create: (done) => this.ask(name, () => this.create(), done, undefined),
      renew: (id, done) => this.ask(name, () => this.renew(id), done, undefined),
      acquire: (id, done) => this.ask(name, () => this.acquire(id, name), done, undefined),
      release: (id, done) =>
        this.ask(
          name,
          () => {
            if (this.lock?.session === id) this.lock = undefined
            this.sessions.delete(id)
          },
          () => done(),
          undefined,
        ),
    }
  }

  store(
    by: string,
    ask: { changes: readonly Change[]; guards: readonly { key: string; index: number }[]; epoch: number },
    done: (stored: Stored) => void,
  ): void {
    const write = (): Stored => {
      this.expire()
      if (this.lock?.by !== by || this.lock.epoch !== ask.epoch) return { got: 'conflict' }
      const wrong = [...ask.changes, ...ask.guards].some(
        ({ key, index }) => (this.entries.get(key)?.index ?? 0) !== index,
      )
      if (wrong) return { got: 'conflict' }
      this.onWrite(ask.changes, by)
      this.index += 1
      for (const { key, value } of ask.changes) {
        if (value === undefined) this.entries.delete(key)
        else this.entries.set(key, { key, value, index: this.index })
      }
      return { got: 'ok', index: this.index }
    }
    const lost = this.engine.chance(this.unknownShare)
    const early = lost && this.engine.chance(0.5)
    this.ask<Stored>(
      by,
      () => (early ? { got: 'unknown' } : write()),
      (stored) => done(lost ? { got: 'unknown' } : stored),
      { got: 'unknown' },
    )
  }

  readStore(by: string, done: (snapshot: Snapshot | undefined) => void): void {
    this.ask<Snapshot | undefined>(by, () => this.snapshot(), done, undefined)
  }

  /** There and back; without a quorum the answer is `none` after its deadline. */
  private ask<T>(by: string, act: () => T, done: (value: T) => void, none: T): void {
    const { engine } = this
    engine.after(engine.between(1, 10), () => {
      if (!this.reaches(by)) return engine.after(2_000, () => done(none))
      const value = act()
      engine.after(engine.between(1, 10), () => done(this.reaches(by) ? value : none))
    })
  }

  private create(): string {
    const id = `s${(this.count += 1)}`
    this.sessions.set(id, { id, expiresMs: this.lifetime() })
    return id
  }

  private renew(id: string): boolean {
    this.expire()
    const session = this.sessions.get(id)
    if (!session) return false
    session.expiresMs = this.lifetime()
    return true
  }

  private acquire(id: string, by: string): number | false {
    this.expire()
    if (!this.sessions.has(id)) return false
    if (this.lock?.session === id) return this.lock.epoch
    if (this.lock || this.engine.nowMs < this.lockFreeMs) return false
    this.index += 1
    this.lock = { session: id, epoch: this.index, by }
    this.brokenOf = undefined
    return this.index
  }

  /** Ends a session at once, as a deregistered node does. */
  breakSession(): void {
    if (!this.lock) return
    this.sessions.delete(this.lock.session)
    this.brokenOf = this.lock.by
    this.lock = undefined
    this.lockFreeMs = this.engine.nowMs + LOCK_DELAY_MS
  }

  /** Nobody can know at once that its session was ended from outside. Until then nobody else can hold the lock, and the
   *  next leader waits for as long as an act takes before it does anything. */
  excusedUntilMs(by: string): number {
    return this.lock === undefined && this.brokenOf === by ? this.lockFreeMs : Number.NEGATIVE_INFINITY
  }

  private expire(): void {
    const { nowMs } = this.engine
    for (const [id, session] of this.sessions) {
      if (session.expiresMs > nowMs) continue
      this.sessions.delete(id)
      if (this.lock?.session !== id) continue
      this.lock = undefined
      this.lockFreeMs = session.expiresMs + LOCK_DELAY_MS
    }
  }

  /** Consul's contract is a lower bound; its timer is up to twice the TTL. */
  private lifetime(): number {
    return this.engine.nowMs + SESSION_TTL_MS * this.engine.between(1, 2)
  }
}
