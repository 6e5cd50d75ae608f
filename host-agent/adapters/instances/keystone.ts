/** A token of Keystone (Identity API v3, POST /v3/auth/tokens) and the address of Nova in its catalogue; renewed before it ends and when it is refused. */
import { Fault } from '../../../kit/fault.ts'
import type { Http, HttpAnswer } from '../../../kit/http.ts'

export interface KeystoneOptions {
  readonly authUrl: string
  readonly username: string
  readonly password: string
  readonly userDomain: string
  readonly project: string
  readonly projectDomain: string
  readonly region: string | undefined
  readonly interface: 'public' | 'internal' | 'admin'
  /** Instead of what the catalogue says. */
  readonly computeUrl: string | undefined
  readonly ca: string | undefined
}

interface Session {
  readonly token: string
  readonly computeUrl: string
  readonly renewAtMs: number
}

const RENEW_BEFORE_MS = 60_000

export class Keystone {
  private readonly options: KeystoneOptions
  private readonly http: Http
  private readonly wall: () => number
  private session: Promise<Session> | undefined

  constructor(options: KeystoneOptions, parts: { http: Http; wall: () => number }) {
    this.options = options
    this.http = parts.http
    this.wall = parts.wall
  }

  /** One call of Nova. A refused token is renewed once: a call that was refused for it was not done. */
  async compute(ask: {
    method: string
    path: string
    version?: string
    body?: unknown
    signal: AbortSignal
  }): Promise<HttpAnswer> {
    const once = async () => {
      const session = await this.current(ask.signal)
      const headers = {
        'x-auth-token': session.token,
        ...(ask.version
          ? { 'openstack-api-version': `compute ${ask.version}`, 'x-openstack-nova-api-version': ask.version }
          : {}),
      }
      const url = ask.path.startsWith('http') ? ask.path : session.computeUrl + ask.path
      return this.http({ method: ask.method, url, headers, body: ask.body, signal: ask.signal, ca: this.options.ca })
    }
    const answer = await once()
    if (answer.status !== 401) return answer
    this.session = undefined
    return once()
  }

  private async current(signal: AbortSignal): Promise<Session> {
    const held = await this.session?.catch(() => undefined)
    if (held && held.renewAtMs > this.wall()) return held
    const fresh = this.login(signal)
    this.session = fresh
    fresh.catch(() => (this.session = undefined))
    return fresh
  }

  private async login(signal: AbortSignal): Promise<Session> {
    const { options } = this
    const user = { name: options.username, domain: { name: options.userDomain }, password: options.password }
    const body = {
      auth: {
        identity: { methods: ['password'], password: { user } },
        scope: { project: { name: options.project, domain: { name: options.projectDomain } } },
      },
    }
    const answer = await this.http({
      method: 'POST',
      url: `${options.authUrl.replace(/\/$/, '')}/auth/tokens`,
      body,
      signal,
      ca: options.ca,
    }).catch((error: Fault) => {
      // Nothing but a token was asked for.
      throw new Fault('driver.failed', `Keystone: ${error.detail}`, { cause: error })
    })
    if (answer.status !== 201)
      throw new Fault(
        'driver.failed',
        `Keystone at ${options.authUrl} answered ${answer.status} to ${options.username}`,
      )
    const { token } = answer.body as { token: { expires_at: string; catalog?: Catalog } }
    const computeUrl = options.computeUrl ?? endpointOf(token.catalog ?? [], options)
    if (computeUrl === undefined)
      throw new Fault('driver.failed', 'the catalogue of Keystone names no compute service: set driver.computeUrl')
    return {
      token: String(answer.headers['x-subject-token']),
      computeUrl: computeUrl.replace(/\/$/, ''),
      renewAtMs: Date.parse(token.expires_at) - RENEW_BEFORE_MS,
    }
  }
}

type Catalog = readonly { type: string; endpoints: readonly { interface: string; region?: string; url: string }[] }[]

const endpointOf = (catalog: Catalog, options: KeystoneOptions): string | undefined =>
  catalog
    .find(({ type }) => type === 'compute')
    ?.endpoints.find(
      (one) => one.interface === options.interface && (options.region === undefined || one.region === options.region),
    )?.url
