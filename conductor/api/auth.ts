/** Who asks, and what they may. http_basic: user and password of the password file, verified once, in threads, and then
 *  remembered by a keyed hash of user and password; after many failures from one address, that address must wait. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { sourceOf } from '../../kit/addresses.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { PasswordChecks } from '../../kit/passwords.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import { Limits } from '../limits.ts'
import { FailedLogins } from './failed-logins.ts'
import { PasswordFile } from './password-file.ts'

/** Each may do what those before it may: look, act on nodes, change what there is. */
export const ROLES = ['reader', 'operator', 'admin'] as const
export type Role = (typeof ROLES)[number]

export interface Actor {
  readonly user: string
  readonly role: Role
  /** Sees and acts on nodes alone whose owner or lessee is this; null: on all. */
  readonly project: string | null
}

export interface Authenticator {
  /** Undefined: no valid credentials. Throws `input.invalid` for a malformed header, `access.limited` after too many
   *  failures, `access.busy` when too many passwords wait to be checked. */
  check(header: string | undefined, from: string): Promise<Actor | undefined>
  /** A user without asking for its password; `stamp` is another one once the password is another one. Undefined: there
   *  is no such user, or it has no role. */
  known(user: string): { readonly actor: Actor; readonly stamp: string } | undefined
  /** Takes users and passwords from the file when it has changed. Throws `config.invalid` for one that cannot be used,
   *  and then those of before hold. */
  reread(): Promise<void>
  /** Why the users of before hold, in place of those of the file. */
  problem(): string | undefined
  close(): Promise<void>
}

export const ANYBODY: Actor = { user: 'anybody', role: 'admin', project: null }
export const noAuth: Authenticator = {
  check: async () => ANYBODY,
  known: () => undefined,
  reread: async () => undefined,
  problem: () => undefined,
  close: async () => undefined,
}

export const mayRole = (actor: Actor, needed: Role | 'public'): boolean =>
  needed === 'public' || ROLES.indexOf(actor.role) >= ROLES.indexOf(needed)

const KEY_BYTES = 32
/** bcrypt looks at no more of a password. */
const BCRYPT_BYTES = 72

export type Users = Readonly<Record<string, { readonly role: Role; readonly project?: string | undefined }>>

export interface AuthOptions {
  readonly path: string
  /** Roles; without it every user of the file is an admin, as in Ironic. */
  readonly users: Users | undefined
  readonly clock: Clock
  readonly limits?: Pick<Limits['api'], 'failedLoginsPerMinute' | 'passwordChecks' | 'passwordQueue'>
  readonly onLimit?: OnLimit
}

/** Throws `config.invalid` for a file that cannot be used. */
export async function htpasswdAuth(opts: AuthOptions): Promise<Authenticator> {
  const { path, users, clock, limits = Limits.parse({}).api, onLimit = () => undefined } = opts
  const file = await PasswordFile.open(path)
  const unknown = Object.keys(users ?? {}).find((user) => file.hashOf(user) === undefined)
  if (unknown !== undefined) throw new Fault('config.invalid', `api.auth.users: ${path} has no user ${unknown}`)
  // A hash that no password has: an unknown user takes as long as a known one.
  const decoy = file.anyHash
  const digestOf = loginDigest()
  /** A few for each user of the file at most: it takes a right password to get here. */
  const good = new Map<string, { readonly user: string; readonly hash: string }>()
  const checking = new Map<string, Promise<string | undefined>>()
  const failures = new FailedLogins({ perMinute: limits.failedLoginsPerMinute, nowMs: () => clock.now(), onLimit })
  const passwords = new PasswordChecks({
    threads: limits.passwordChecks,
    queue: limits.passwordQueue,
    onFull: () => onLimit('api.passwordQueue'),
    faultsOf: (source) => failures.of(source),
  })
  return {
    async check(header, from) {
      if (header === undefined) return undefined
      const login = { ...parseBasic(header), source: sourceOf(from) }
      const digest = digestOf(login)
      const remembered = good.get(digest)
      if (remembered && file.hashOf(remembered.user) === remembered.hash) return actorOf(remembered.user, users)
      good.delete(digest)
      // Requests that come at once with one login are one check.
      const key = `${digest} ${login.source}`
      const verified = checking.get(key) ?? verify(login, digest).finally(() => checking.delete(key))
      checking.set(key, verified)
      const user = await verified
      return user === undefined ? undefined : actorOf(user, users)
    },
    known(user) {
      const hash = file.hashOf(user)
      const actor = hash === undefined ? undefined : actorWithRole(user, users)
      return actor && { actor, stamp: createHash('sha256').update(`${hash}`).digest('base64url') }
    },
    reread: () => file.reread(),
    problem: () => file.problem,
    close: () => passwords.close(),
  }

  async function verify({ user, password, source }: Login, digest: string): Promise<string | undefined> {
    const waitMs = failures.begin(source, user)
    try {
      if (waitMs > 0) await clock.sleep(waitMs)
      const hash = file.hashOf(user)
      const match = await passwords.check(password, hash ?? decoy, source)
      if (!match || hash === undefined) {
        failures.wrong(source)
        return undefined
      }
      good.set(digest, { user, hash })
    } catch (error) {
      failures.forgive(source, user)
      throw error
    }
    failures.forgive(source, user)
    return user
  }
}

type AuthConfig =
  | { readonly strategy: 'noauth'; readonly hosts: readonly string[] }
  | { readonly strategy: 'http_basic'; readonly file: string; readonly users?: Users | undefined }

/** What the configuration asks for. */
export const authenticator = async (
  config: AuthConfig,
  parts: Omit<AuthOptions, 'path' | 'users'>,
): Promise<Authenticator> =>
  config.strategy === 'noauth' ? noAuth : htpasswdAuth({ ...parts, path: config.file, users: config.users })

interface Login {
  readonly user: string
  readonly password: string
  readonly source: string
}

/** Names a login without keeping its password, however the header spells it. The key lasts as long as the process. */
function loginDigest(): (login: Login) => string {
  const key = randomBytes(KEY_BYTES)
  return ({ user, password }) =>
    createHmac('sha256', key)
      .update(`${Buffer.byteLength(user)}:${user}:`)
      .update(Buffer.from(password).subarray(0, BCRYPT_BYTES))
      .digest('base64url')
}

/** Where roles are given, a user without one has no access. */
function actorOf(user: string, users: Users | undefined): Actor {
  const actor = actorWithRole(user, users)
  if (!actor) throw new Fault('access.denied', `user ${user} has no role: name it in api.auth.users`)
  return actor
}

function actorWithRole(user: string, users: Users | undefined): Actor | undefined {
  if (!users) return { user, role: 'admin', project: null }
  const known = Object.hasOwn(users, user) ? users[user] : undefined
  return known && { user, role: known.role, project: known.project ?? null }
}

function parseBasic(header: string): { user: string; password: string } {
  const encoded = /^Basic ([A-Za-z0-9+/=_-]+)$/i.exec(header)?.[1]
  const text = encoded ? Buffer.from(encoded, 'base64').toString('utf8') : ''
  const colon = text.indexOf(':')
  if (colon < 1) throw new Fault('input.invalid', 'Authorization: not of the form "Basic base64(user:password)"')
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** Without authentication: the names that the API answers to, beside addresses and localhost; undefined with it. */
export const ownNames = (config: AuthConfig, hostname: string): readonly string[] | undefined =>
  config.strategy === 'noauth' ? [hostname, ...config.hosts] : undefined
