/** Logging in and out with a browser, and what a page may know of who uses it. */
import type { Clock } from '../../kit/clock.ts'
import { isoTime } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { MeshLink } from '../mesh/link.ts'
import { Me } from './board-schemas.ts'
import { ANYBODY, type Authenticator } from './auth.ts'
import { cookieOf, mayHaveSession, setCookie } from './caller.ts'
import { checkInput, z } from './node-input.ts'
import type { ApiRequest, ApiResponse, DescribedRoute } from './route.ts'
import type { OpenSession, Sessions } from './sessions.ts'

export interface SessionRouteParts {
  readonly auth: Authenticator
  readonly sessions: Sessions
  readonly sessionSeconds: number
  readonly clock: Clock
  /** To the arbiters; undefined: there is no mesh. */
  readonly link: MeshLink | undefined
}

const LinkBody = z.strictObject({ link: z.string().max(100).describe('what stands after #link= in a read-only link') })
const LoginBody = z.strictObject({
  user: z
    .string()
    .min(1)
    .max(255)
    .refine((user) => !user.includes(':'), 'holds a colon, which no user of an htpasswd file does'),
  password: z.string().max(1024),
})

export function sessionRoutes({ auth, sessions, sessionSeconds, clock, link }: SessionRouteParts): DescribedRoute[] {
  async function openLink(token: string, at: Pick<ApiRequest, 'httpRequest' | 'httpResponse'>): Promise<ApiResponse> {
    const found = await sessions.find(token)
    if (!found?.isLink)
      throw new Fault('access.unknown', 'the link is not valid any more: ask who gave it to you for another one')
    const leftSeconds = Math.ceil((found.endsAtMs - clock.now()) / 1000)
    at.httpResponse.setHeader('Set-Cookie', setCookie(at.httpRequest, token, leftSeconds))
    at.httpResponse.setHeader('Cache-Control', 'no-store')
    return { status: 201, body: { user: found.actor.user, csrf: found.csrf, session_ends: isoTime(found.endsAtMs) } }
  }
  const current = (request: ApiRequest) => request.httpResponse.locals.session as OpenSession | undefined
  return [
    {
      method: 'post',
      path: '/rackward/v1/session',
      role: 'public',
      body: z.union([LoginBody, LinkBody]),
      answer: z.object({ user: z.string(), csrf: z.string(), session_ends: z.string() }),
      summary: 'logs a browser in: the answer sets a cookie, which no script can read',
      async handle({ httpRequest, httpResponse, body }) {
        mayHaveSession(httpRequest)
        if (body !== null && typeof body === 'object' && 'link' in body)
          return openLink(checkInput(LinkBody, body).link, { httpRequest, httpResponse })
        const { user, password } = checkInput(LoginBody, body)
        const header = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
        const actor = await auth.check(header, httpRequest.socket.remoteAddress ?? 'local')
        if (!actor) throw new Fault('access.unknown', 'the user or the password is wrong')
        if (actor === ANYBODY)
          throw new Fault('input.invalid', 'api.auth: the API has no authentication, so there is nobody to log in as')
        const before = cookieOf(httpRequest)
        const old = before === undefined ? undefined : await sessions.find(before)
        if (old && !old.isLink) await sessions.close(old.uuid)
        const { token, csrf, endsAtMs } = await sessions.open(user)
        httpResponse.setHeader('Set-Cookie', setCookie(httpRequest, token, sessionSeconds))
        httpResponse.setHeader('Cache-Control', 'no-store')
        return { status: 201, body: { user, csrf, session_ends: isoTime(endsAtMs) } }
      },
    },
    {
      method: 'delete',
      path: '/rackward/v1/session',
      role: 'reader',
      answer: z.object({}),
      summary: 'logs this browser out; its streams and consoles end',
      async handle(request) {
        const session = current(request)
        if (!session) throw new Fault('object.missing', 'this request belongs to no session')
        request.httpResponse.setHeader('Set-Cookie', setCookie(request.httpRequest, undefined, 0))
        // Others look through the same link.
        if (!session.isLink) await sessions.close(session.uuid)
        return { body: {} }
      },
    },
    {
      method: 'get',
      path: '/rackward/v1/me',
      role: 'reader',
      answer: Me,
      summary: 'who sends this request, and what the user may do',
      handle(request) {
        const { user, role, project } = request.actor
        const session = current(request)
        request.httpResponse.setHeader('Cache-Control', 'no-store')
        const body: Me = {
          user,
          role,
          project,
          needs_login: request.actor !== ANYBODY,
          csrf: session?.csrf ?? null,
          read_only: session ? session.readOnly !== null : request.actor === ANYBODY && sessions.readOnly !== null,
          session_ends: session ? isoTime(session.endsAtMs) : null,
          conductor: request.view.conductor,
          mesh: link !== undefined,
          now: isoTime(clock.now()),
        }
        return { body }
      },
    },
  ]
}
