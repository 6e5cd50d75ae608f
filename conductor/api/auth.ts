/** http_basic: user and password from an Apache htpasswd file, bcrypt only, verified once and then remembered by their hash. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import bcrypt from 'bcryptjs'
import { Fault } from '../../kit/fault.ts'

export interface Authenticator {
  /** True when the Authorization header is good. Throws `input.invalid` for a malformed one. */
  check(header: string | undefined): Promise<boolean>
}

export const noAuth: Authenticator = { check: async () => true }

const MAX_REMEMBERED = 256
const BCRYPT = /^\$2[aby]\$\d{2}\$.{53}$/

/** Throws `config.invalid` for a file that cannot be read or holds another kind of hash. */
export async function htpasswdAuth(path: string): Promise<Authenticator> {
  const users = parseHtpasswd(
    await readFile(path, 'utf8').catch((error: Error) => {
      throw new Fault('config.invalid', `api.auth.file: cannot read ${path}: ${error.message}`, { cause: error })
    }),
    path,
  )
  // A hash that no password has: an unknown user takes as long as a known one.
  const decoy = [...users.values()][0] as string
  const good = new Set<string>()
  return {
    async check(header) {
      if (header === undefined) return false
      const digest = createHash('sha256').update(header).digest('hex')
      if (good.has(digest)) return true
      const { user, password } = parseBasic(header)
      const match = (await bcrypt.compare(password, users.get(user) ?? decoy)) && users.has(user)
      if (match) {
        if (good.size >= MAX_REMEMBERED) good.clear()
        good.add(digest)
      }
      return match
    },
  }
}

export function parseHtpasswd(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>()
  for (const line of text.split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const at = line.indexOf(':')
    const hash = line.slice(at + 1).trim()
    if (at < 1 || !BCRYPT.test(hash)) throw new Fault('config.invalid', `${path}: every line is user:hash with a bcrypt hash (htpasswd -B)`)
    users.set(line.slice(0, at), hash)
  }
  if (users.size === 0) throw new Fault('config.invalid', `${path} names no user`)
  return users
}

function parseBasic(header: string): { user: string; password: string } {
  const encoded = /^Basic ([A-Za-z0-9+/]+={0,2})$/i.exec(header)?.[1]
  const text = encoded ? Buffer.from(encoded, 'base64').toString('utf8') : ''
  const at = text.indexOf(':')
  if (at < 0) throw new Fault('input.invalid', 'the Authorization header is not "Basic" with user:password in base64')
  return { user: text.slice(0, at), password: text.slice(at + 1) }
}
