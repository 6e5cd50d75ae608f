/** Who sends a request: a program by HTTP basic, or a browser by the cookie of its session. */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { isLoopback } from '../../kit/addresses.ts'
import { Fault } from '../../kit/fault.ts'
import { ANYBODY, type Actor, type Authenticator } from './auth.ts'
import { isRead } from './cross-site.ts'
import type { OpenSession, Sessions } from './sessions.ts'

export interface Caller {
  readonly actor: Actor
  /** Absent for a program. */
  readonly session?: OpenSession
}

const SECURE_COOKIE = '__Host-rackward'
/** Over plain HTTP, which browsers of this machine alone may use: no cookie of another name reaches it, and browsers
 *  refuse the prefix there. */
const LOCAL_COOKIE = 'rackward'

const isEncrypted = ({ socket }: IncomingMessage): boolean => (socket as Partial<TLSSocket>).encrypted === true

const cookieName = (request: IncomingMessage): string => (isEncrypted(request) ? SECURE_COOKIE : LOCAL_COOKIE)

/** Browsers send one with each request to https or to this machine, the other with each change and each websocket;
 *  programs send neither. */
export const isBrowser = ({ headers }: IncomingMessage): boolean =>
  headers['sec-fetch-mode'] !== undefined || headers.origin !== undefined

/** Throws `access.denied` where the cookie would cross a network in the clear. */
export function mayHaveSession(request: IncomingMessage): void {
  const { remoteAddress } = request.socket
  if (isEncrypted(request) || remoteAddress === undefined || isLoopback(remoteAddress)) return
  throw new Fault(
    'access.denied',
    'a session over plain HTTP is for browsers of this machine alone: use https (api.tls in the configuration)',
  )
}

export function cookieOf(request: IncomingMessage): string | undefined {
  const name = `${cookieName(request)}=`
  const found = (request.headers.cookie ?? '').split(';').find((part) => part.trim().startsWith(name))
  return found?.trim().slice(name.length)
}

/** The value of Set-Cookie; without a token it removes the cookie. */
export const setCookie = (request: IncomingMessage, token: string | undefined, maxAgeSeconds: number): string =>
  [
    `${cookieName(request)}=${token ?? ''}`,
    'Path=/',
    'HttpOnly',
    'SameSite=Strict',
    `Max-Age=${token === undefined ? 0 : maxAgeSeconds}`,
    ...(isEncrypted(request) ? ['Secure'] : []),
  ].join('; ')

/** Undefined: nobody that is known. Throws what `Authenticator.check` does, and `access.cross-site` for a change by
 *  cookie without the token that proves where it comes from, and `access.denied` for one where pages are read-only. */
export async function callerOf(
  request: IncomingMessage,
  { auth, sessions }: { readonly auth: Authenticator; readonly sessions: Sessions },
): Promise<Caller | undefined> {
  const actor = await auth.check(request.headers.authorization, request.socket.remoteAddress ?? 'local')
  if (actor === ANYBODY && isBrowser(request)) mayChange(request, sessions.readOnly)
  if (actor) return { actor }
  const token = request.headers.authorization === undefined ? cookieOf(request) : undefined
  if (token === undefined) return undefined
  mayHaveSession(request)
  const session = await sessions.find(token)
  if (!session) return undefined
  mayChange(request, session.readOnly)
  if (!isRead(request)) mustProve(request, session.csrf)
  return { actor: session.actor, session }
}

/** Throws `access.denied` for a change where pages are read-only; anybody may log out. */
function mayChange(request: IncomingMessage, readOnly: string | null): void {
  if (readOnly === null || isRead(request)) return
  const isLogout = request.method === 'DELETE' && request.url?.replace(/\/$/, '') === '/rackward/v1/session'
  if (!isLogout) throw new Fault('access.denied', readOnly)
}

function mustProve(request: IncomingMessage, csrf: string): void {
  // A page cannot add a header to a websocket (a GET, RFC 6455, 4.1): there, its origin is the proof.
  const { method, headers } = request
  if (method === 'GET' && headers.upgrade !== undefined && headers.origin !== undefined) return
  const sent = Buffer.from(String(request.headers['x-rackward-csrf'] ?? ''))
  const wanted = Buffer.from(csrf)
  if (sent.length === wanted.length && timingSafeEqual(sent, wanted)) return
  throw new Fault(
    'access.cross-site',
    'X-Rackward-CSRF: a change by session needs this header, with the value of csrf in GET /rackward/v1/me',
  )
}
