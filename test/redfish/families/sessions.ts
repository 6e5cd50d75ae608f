/** SessionService 1.1 and Session 1.6: logins by session and by Basic; a table of limited size whose entries expire,
 *  and which a restart of the BMC clears. */
import { randomBytes } from 'node:crypto'
import { collection, link, resource, ROOT, type Answer, type Ask, type Refusal } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export const SERVICE = `${ROOT}/SessionService`
export const SESSIONS = `${SERVICE}/Sessions`
/** As iDRAC has. */
const MAX_SESSIONS = 8
const IDLE_SECONDS = 1_800

interface Session {
  readonly token: string
  usedMs: number
}

export class Sessions {
  /** By path. */
  private readonly open = new Map<string, Session>()
  private readonly bmc: VirtualBmc
  private opened = 0
  /** By path: users of sessions that are not ours. */
  readonly others = new Map<string, string>()

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    bmc.tree.extend(ROOT, () => ({ SessionService: link(SERVICE), Links: { Sessions: link(SESSIONS) } }))
    bmc.tree.add(SERVICE, {
      get: () =>
        resource(SERVICE, '#SessionService.v1_1_8.SessionService', {
          ServiceEnabled: true,
          SessionTimeout: IDLE_SECONDS,
          Sessions: link(SESSIONS),
        }),
    })
    bmc.tree.add(SESSIONS, {
      get: () => collection(SESSIONS, '#SessionCollection.SessionCollection', [...this.open.keys()]),
      post: (ask) => this.login(ask),
    })
    bmc.tree.add(`${SESSIONS}/:id`, {
      get: ({ id }) =>
        this.open.has(`${SESSIONS}/${id}`)
          ? resource(`${SESSIONS}/${id}`, '#Session.v1_6_0.Session', {
              UserName: this.others.get(`${SESSIONS}/${id}`) ?? bmc.user,
            })
          : undefined,
      delete: ({ path }) => {
        this.open.delete(path)
        return { status: 204 }
      },
    })
    bmc.on('bmc-restart', () => this.clear())
  }

  get size(): number {
    return this.open.size
  }

  clear(): void {
    this.open.clear()
  }

  /** Undefined: the request may be answered. The root, the version list and the login itself need no login. */
  refusalOf({ method, path, headers }: Ask): Refusal | undefined {
    if (path === ROOT || path === '/redfish' || (path === SESSIONS && method === 'POST')) return undefined
    const { 'x-auth-token': token, authorization } = headers
    if (typeof token === 'string' ? this.uses(token) : authorization === this.basic()) return undefined
    return { status: 401, id: 'NoValidSession' }
  }

  private basic(): string {
    return `Basic ${Buffer.from(`${this.bmc.user}:${this.bmc.password}`).toString('base64')}`
  }

  private uses(token: string): boolean {
    this.expire()
    const session = [...this.open.values()].find((one) => one.token === token)
    if (session) session.usedMs = this.bmc.clock.now()
    return session !== undefined
  }

  private expire(): void {
    const oldestMs = this.bmc.clock.now() - IDLE_SECONDS * 1000
    for (const [path, { usedMs }] of this.open) if (usedMs < oldestMs) this.open.delete(path)
  }

  private login({ body }: Ask): Answer | Refusal {
    this.expire()
    if (body.UserName !== this.bmc.user || body.Password !== this.bmc.password)
      return { status: 401, id: 'InsufficientPrivilege' }
    if (this.open.size >= MAX_SESSIONS) return { status: 503, id: 'SessionLimitExceeded' }
    const token = randomBytes(16).toString('hex')
    this.opened += 1
    const path = `${SESSIONS}/${this.opened}`
    this.open.set(path, { token, usedMs: this.bmc.clock.now() })
    const session = resource(path, '#Session.v1_6_0.Session', { UserName: this.bmc.user })
    return { status: 201, body: session, headers: { 'x-auth-token': token, location: path } }
  }
}
