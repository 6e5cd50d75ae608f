/** Who we are for an OCI registry: secrets for pulling, and what a registry asks for with `WWW-Authenticate` (RFC 9110
 *  11.6.1). Pure. */
import * as z from 'zod/mini'
import { Fault } from '../kit/fault.ts'
import { parsedOr } from '../kit/json.ts'

/** Values of `Authorization: Basic`, by host of the registry with its port. */
export type OciAuths = ReadonlyMap<string, string>

export interface Challenge {
  readonly scheme: string
  readonly params: Readonly<Record<string, string>>
}

const MAX_CHALLENGE_LENGTH = 4_096
const WORD = /[\s,]*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y

const AuthFile = z.object({ auths: z.record(z.string(), z.object({ auth: z.optional(z.string()) })) })

/** The challenges of a header, their schemes and the names of their parameters in lower case. */
export function challengesOf(header: string): readonly Challenge[] {
  const found: { scheme: string; params: Record<string, string> }[] = []
  const text = header.slice(0, MAX_CHALLENGE_LENGTH)
  WORD.lastIndex = 0
  for (let match = WORD.exec(text); match; match = WORD.exec(text)) {
    const [, word = '', quoted, plain] = match
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain
    const last = found.at(-1)
    if (value === undefined) found.push({ scheme: word.toLowerCase(), params: {} })
    else if (last) last.params[word.toLowerCase()] = value
  }
  return found
}

/** `user:password`, the `auth` of a config.json (the same in base64), or a token alone, which is a password without a
 *  user. */
export function basicOf(secret: string): string {
  const text = secret.trim()
  if (text.includes(':')) return base64(text)
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text)
  return isBase64 && Buffer.from(text, 'base64').toString('latin1').includes(':') ? text : base64(`:${text}`)
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** A file as `docker login` and `podman login` write it. Throws `config.invalid`. */
export function parseAuths(text: string, key: string): OciAuths {
  const found = AuthFile.safeParse(parsedOr(text, undefined))
  if (!found.success)
    throw new Fault('config.invalid', `${key}: write {"auths": {"HOST": {"auth": "USER:PASSWORD in base64"}}}`)
  const entries = Object.entries(found.data.auths).flatMap(([place, { auth }]) => {
    const host = place.replace(/^https?:\/\//i, '').split('/', 1)[0] as string
    return auth ? [[host.toLowerCase(), basicOf(auth)] as const] : []
  })
  return new Map(entries)
}
