/** Who asks, and what they may. http_basic: user and password from an Apache htpasswd file, bcrypt only, verified once and then remembered by
 *  their hash; many failures from one address, or for one user, must wait. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import bcrypt from 'bcryptjs'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'

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
  /** Undefined: nobody that is known. Throws `input.invalid` for a malformed header, `access.limited` after too many failures. */
  check(header: string | undefined, from: string): Promise<Actor | undefined>
}

export const ANYBODY: Actor = { user: 'anybody', role: 'admin', project: null }
export const noAuth: Authenticator = { check: async () => ANYBODY }

export const mayRole = (actor: Actor, needed: Role | 'public'): boolean => needed === 'public' || ROLES.indexOf(actor.role) >= ROLES.indexOf(needed)

const MAX_REMEMBERED = 256
const BCRYPT = /^\$2[aby]\$\d{2}\$.{53}$/
const MAX_FAILURES = 10
const FAILURE_WINDOW_MS = 60_000
const MAX_SOURCES = 10_000

export type Users = Readonly<Record<string, { readonly role: Role; readonly project?: string | undefined }>>

/** `users` gives roles; without it every user of the file is an admin, as in Ironic. Throws `config.invalid` for a file that cannot be used. */
export async function htpasswdAuth(opts: { path: string; users: Users | undefined; clock: Clock }): Promise<Authenticator> {
  const { path } = opts
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Fault('config.invalid', `api.auth.file: cannot read ${path}: ${error.message}`, { cause: error })
  })
  const hashes = parseHtpasswd(text, path)
  const unknown = Object.keys(opts.users ?? {}).find((user) => !hashes.has(user))
  if (unknown !== undefined) throw new Fault('config.invalid', `api.auth.users: ${path} has no user ${unknown}`)
  // A hash that no password has: an unknown user takes as long as a known one.
  const decoy = [...hashes.values()][0] as string
  const good = new Map<string, string>()
  const checking = new Map<string, Promise<string | undefined>>()
  const failures = failureLimit(opts.clock)
  return {
    async check(header, from) {
      if (header === undefined) return undefined
      const digest = createHash('sha256').update(header).digest('hex')
      const remembered = good.get(digest)
      if (remembered !== undefined) return actorOf(remembered, opts.users)
      // Requests that come at once with one header are one login.
      const login = checking.get(digest) ?? verify(header, { digest, from }).finally(() => checking.delete(digest))
      checking.set(digest, login)
      const user = await login
      return user === undefined ? undefined : actorOf(user, opts.users)
    },
  }

  async function verify(header: string, { digest, from }: { digest: string; from: string }): Promise<string | undefined> {
    const { user, password } = parseBasic(header)
    // Counted before it is known to be wrong: guesses that are sent at once are not free.
    failures.count(from, user)
    const match = (await bcrypt.compare(password, hashes.get(user) ?? decoy)) && hashes.has(user)
    if (!match) return undefined
    failures.forgive(from, user)
    if (good.size >= MAX_REMEMBERED) good.delete(good.keys().next().value as string)
    good.set(digest, user)
    return user
  }
}

/** Where roles are given, a user without one may nothing. */
function actorOf(user: string, users: Users | undefined): Actor {
  if (!users) return { user, role: 'admin', project: null }
  const known = Object.hasOwn(users, user) ? users[user] : undefined
  if (!known) throw new Fault('access.denied', `user ${user} has no role: name it in api.auth.users`)
  return { user, role: known.role, project: known.project ?? null }
}

/** Counts failed logins per address and per user: guessing is slow, and a mistyped password is not punished. */
function failureLimit(clock: Clock) {
  const failed = new Map<string, { count: number; sinceMs: number }>()
  const keys = (from: string, user: string) => [`from ${from}`, `user ${user}`]
  const recent = (key: string) => {
    const entry = failed.get(key)
    return entry && clock.now() - entry.sinceMs < FAILURE_WINDOW_MS ? entry : undefined
  }
  return {
    /** Throws `access.limited` when there were too many. */
    count(from: string, user: string) {
      if (keys(from, user).some((key) => (recent(key)?.count ?? 0) >= MAX_FAILURES)) throw new Fault('access.limited', 'too many failed logins')
      for (const key of keys(from, user)) {
        const entry = recent(key)
        if (entry) entry.count += 1
        else {
          if (failed.size >= MAX_SOURCES) failed.delete(failed.keys().next().value as string)
          failed.set(key, { count: 1, sinceMs: clock.now() })
        }
      }
    },
    /** That one was right. */
    forgive(from: string, user: string) {
      for (const key of keys(from, user)) {
        const entry = recent(key)
        if (entry) entry.count -= 1
      }
    },
  }
}

function parseBasic(header: string): { user: string; password: string } {
  const encoded = /^Basic ([A-Za-z0-9+/=_-]+)$/i.exec(header)?.[1]
  const text = encoded ? Buffer.from(encoded, 'base64').toString('utf8') : ''
  const colon = text.indexOf(':')
  if (colon < 1) throw new Fault('input.invalid', 'Authorization: not of the form "Basic base64(user:password)"')
  return { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

function parseHtpasswd(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !BCRYPT.test(hash))
      throw new Fault('config.invalid', `api.auth.file: line ${i + 1} of ${path} is not "user:bcrypt hash" (make it with: htpasswd -B)`)
    users.set(line.slice(0, colon), hash)
  }
  if (users.size === 0) throw new Fault('config.invalid', `api.auth.file: ${path} has no user`)
  return users
}
