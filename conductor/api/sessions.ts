/** Sessions of browsers: a random token in a cookie, of which the store keeps the hash. A session ends after a time,
 *  when it is not used, when it is closed, and when the password of its user changes; it survives a restart. A link is
 *  a session that any number of browsers share, and that reads what its user sees. */
import { createHash, createHmac } from 'node:crypto'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import type { Limits } from '../limits.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import { ANYBODY, mayRole, type Actor, type Authenticator } from './auth.ts'

export const SESSION = 'session'
/** A kind of its own: a release that knows no links must not take one for a session with the rights of its user. */
export const LINK = 'session-link'
/** What it takes to make, to see and to end a link. */
export const LINK_ROLE = 'operator'
const TOKEN_BYTES = 32
const TOKEN = /^[A-Za-z0-9_-]{43}$/
/** The time of the last use is written down no more often than this. */
const TOUCH_MS = 60_000
/** How often a long answer, such as a stream, looks whether its session goes on. */
const HOLD_MS = 60_000
/** How far the clocks of two conductors that share a store, or the clock of one before and after it was set, may be
 *  apart: a session of the future is not valid yet. */
const SKEW_MS = 60_000

export interface OpenSession {
  readonly uuid: string
  readonly actor: Actor
  /** What a request that changes something must send beside the cookie. */
  readonly csrf: string
  readonly endsAtMs: number
  /** Why it may change nothing; null: its user's role decides. */
  readonly readOnly: string | null
  readonly isLink: boolean
}

export interface Link {
  readonly uuid: string
  readonly user: string
  readonly createdAtMs: number
  readonly endsAtMs: number
}

export interface SessionParts {
  readonly store: Pick<Store, 'objects'>
  readonly auth: Pick<Authenticator, 'known'>
  readonly clock: Clock
  readonly random: Random
  readonly limits: Pick<Limits['api'], 'sessionSeconds' | 'sessionIdleSeconds' | 'sessionsPerUser' | 'linksPerUser'>
  /** No session may change anything (`ui.readOnly`). */
  readonly readOnly?: boolean
}

const NO_CHANGES = 'the web console is read-only here (ui.readOnly): use the command line'
const NO_LINK_CHANGES = 'a read-only link changes nothing: log in as a user'

/** Tells nothing about the token, so that a page may hold it. */
const csrfOf = (token: string): string => createHmac('sha256', token).update('csrf').digest('base64url')
const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url')

export class Sessions {
  private readonly parts: SessionParts
  private readonly holders = new Map<string, Set<() => void>>()

  constructor(parts: SessionParts) {
    this.parts = parts
  }

  /** Why no session may change anything; null: they may. */
  get readOnly(): string | null {
    return this.parts.readOnly ? NO_CHANGES : null
  }

  /** A new session of a user whose password was right. */
  async open(user: string): Promise<{ token: string; csrf: string; endsAtMs: number }> {
    const { store, clock, random, limits, auth } = this.parts
    const token = random.bytes(TOKEN_BYTES).toString('base64url')
    const nowMs = clock.now()
    await store.objects.add({
      kind: SESSION,
      uuid: random.uuid(),
      version: 0,
      name: hashOf(token),
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      body: { user, stamp: auth.known(user)?.stamp ?? '' },
    })
    await this.prune(user)
    return { token, csrf: csrfOf(token), endsAtMs: nowMs + limits.sessionSeconds * 1000 }
  }

  /** Removes sessions that are over, and those of the user that were used least recently where there are too many.
   *  After the new one is stored: of logins at the same moment, the last one sees all. */
  private async prune(user: string): Promise<void> {
    const all = await this.parts.store.objects.every(SESSION)
    const left = new Set(all.filter((one) => this.actorOf(one) !== undefined))
    const own = [...left].filter((one) => one.body.user === user).sort((a, b) => usedAtMs(a) - usedAtMs(b))
    const tooMany = own.slice(0, Math.max(0, own.length - this.parts.limits.sessionsPerUser))
    for (const one of all) if (!left.has(one) || tooMany.includes(one)) await this.close(one.uuid)
  }

  /** The session of a token, which counts as used. Undefined: there is none, or it has ended. */
  async find(token: string): Promise<OpenSession | undefined> {
    const { store, limits } = this.parts
    if (!TOKEN.test(token)) return undefined
    const hash = hashOf(token)
    const found = (await store.objects.find(SESSION, hash)) ?? (await store.objects.find(LINK, hash))
    const actor = found && this.actorOf(found)
    if (!found || !actor) return undefined
    await this.touch(found)
    const isLink = found.kind === LINK
    const readOnly = isLink ? NO_LINK_CHANGES : this.readOnly
    const endsAtMs = isLink ? linkEndsAtMs(found) : found.createdAtMs + limits.sessionSeconds * 1000
    const shown = readOnly === null ? actor : ({ ...actor, role: 'reader' } as const)
    return { uuid: found.uuid, actor: shown, csrf: csrfOf(token), endsAtMs, readOnly, isLink }
  }

  /** Removes those that are over. Throws `object.conflict` when the user has too many. */
  async addLink({ user }: Pick<Actor, 'user'>, seconds: number): Promise<{ token: string; link: Link }> {
    const { store, clock, random, limits, auth } = this.parts
    const token = random.bytes(TOKEN_BYTES).toString('base64url')
    const nowMs = clock.now()
    const made: ObjectRecord = {
      kind: LINK,
      uuid: random.uuid(),
      version: 0,
      name: hashOf(token),
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: nowMs,
      updatedAtMs: null,
      body: { user, stamp: auth.known(user)?.stamp ?? '', endsAtMs: nowMs + seconds * 1000 },
    }
    await store.objects.add(made)
    for (const one of await store.objects.every(LINK)) if (this.actorOf(one) === undefined) await this.endLink(one.uuid)
    // Counted afterwards: of those that are made at one moment, each sees the others.
    const own = await this.links(user)
    if (own.length <= limits.linksPerUser) return { token, link: linkOf(made) }
    await this.endLink(made.uuid)
    throw new Fault(
      'object.conflict',
      `user ${user} has ${own.length - 1} links already (limits.api.linksPerUser): end one that is not needed`,
    )
  }

  /** Those that are valid, of a user or of all. */
  async links(user?: string): Promise<Link[]> {
    const all = await this.parts.store.objects.every(LINK)
    return all.filter((one) => this.actorOf(one) && (user === undefined || one.body.user === user)).map(linkOf)
  }

  async endLink(uuid: string): Promise<void> {
    await this.parts.store.objects.remove(LINK, uuid)
    for (const end of this.holders.get(uuid) ?? []) end()
  }

  async close(uuid: string): Promise<void> {
    await this.parts.store.objects.remove(SESSION, uuid)
    for (const end of this.holders.get(uuid) ?? []) end()
  }

  /** For an answer that lasts: `onEnd` is called when the session ends, and until then it counts as used; of a program,
   *  when its user has another password or none. The answer lets go. */
  hold(by: { actor: Actor; session?: Pick<OpenSession, 'uuid'> | undefined }, onEnd: () => void): () => void {
    if (!by.session) return this.holdUser(by.actor, onEnd)
    const { uuid } = by.session
    const held = this.holders.get(uuid) ?? new Set()
    this.holders.set(uuid, held.add(onEnd))
    const cancel = this.watch(() => this.goesOn(uuid), onEnd)
    return () => {
      cancel()
      held.delete(onEnd)
      if (held.size === 0) this.holders.delete(uuid)
    }
  }

  private holdUser(actor: Actor, onEnd: () => void): () => void {
    if (actor === ANYBODY) return () => undefined
    const stampNow = () => this.parts.auth.known(actor.user)?.stamp
    const stamp = stampNow()
    return this.watch(async () => stamp !== undefined && stampNow() === stamp, onEnd)
  }

  private watch(goesOn: () => Promise<boolean>, onEnd: () => void): () => void {
    let isOver = false
    let cancel = (): void => undefined
    const look = () =>
      void goesOn().then(
        (yes) => (yes ? again() : isOver || onEnd()),
        () => again(),
      )
    const again = () => void (isOver || (cancel = this.parts.clock.after(HOLD_MS, look)))
    again()
    return () => {
      isOver = true
      cancel()
    }
  }

  private async goesOn(uuid: string): Promise<boolean> {
    const { objects } = this.parts.store
    const found = (await objects.find(SESSION, uuid)) ?? (await objects.find(LINK, uuid))
    if (!found || !this.actorOf(found)) return false
    await this.touch(found)
    return true
  }

  /** Undefined when the session is over. */
  private actorOf(session: ObjectRecord): Actor | undefined {
    const { clock, limits, auth } = this.parts
    const nowMs = clock.now()
    const ageMs = nowMs - session.createdAtMs
    const idleMs = nowMs - usedAtMs(session)
    const isOver =
      session.kind === LINK
        ? nowMs >= linkEndsAtMs(session)
        : ageMs >= limits.sessionSeconds * 1000 || idleMs >= limits.sessionIdleSeconds * 1000
    if (ageMs < -SKEW_MS || isOver) return undefined
    const known = auth.known(String(session.body.user))
    if (!known || known.stamp !== session.body.stamp) return undefined
    // Who may make no links any more would neither see nor end those made before.
    return session.kind === LINK && !mayRole(known.actor, LINK_ROLE) ? undefined : known.actor
  }

  private async touch(session: ObjectRecord): Promise<void> {
    const { store, clock } = this.parts
    const nowMs = clock.now()
    if (session.kind === LINK || nowMs - usedAtMs(session) < TOUCH_MS) return
    await store.objects.put({ ...session, updatedAtMs: nowMs }).catch((error: unknown) => {
      // Another request of the same session was first, or it was closed meanwhile; and where nothing can be written,
      // somebody may still look.
      if (!isFault(error, 'store.moved') && !isFault(error, 'store.broken')) throw error
    })
  }
}

const usedAtMs = (session: ObjectRecord): number => session.updatedAtMs ?? session.createdAtMs
const linkEndsAtMs = ({ body }: ObjectRecord): number => Number(body.endsAtMs)
const linkOf = (made: ObjectRecord): Link => ({
  uuid: made.uuid,
  user: String(made.body.user),
  createdAtMs: made.createdAtMs,
  endsAtMs: linkEndsAtMs(made),
})
