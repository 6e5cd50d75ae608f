/** Calls of Nova with a token of Keystone, at the address in its catalogue; the token is renewed before it ends and
 *  when it is refused. */
import { Fault } from '../../../kit/fault.ts'
import type { Http, HttpResponse } from '../../../kit/http.ts'
import { endpointOf, KeystoneSession } from '../../../kit/keystone.ts'

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

export class Keystone {
  private readonly options: KeystoneOptions
  private readonly http: Http
  private readonly session: KeystoneSession

  constructor(options: KeystoneOptions, parts: { http: Http; wall: () => number }) {
    const { authUrl, ca } = options
    this.options = options
    this.http = parts.http
    this.session = new KeystoneSession(
      { authUrl, identity: { method: 'password', ...options }, ca },
      { ...parts, code: 'driver.failed' },
    )
  }

  /** One call of Nova. A refused token is renewed once: a call that was refused for it was not done. */
  async compute(ask: {
    method: string
    path: string
    version?: string
    body?: unknown
    signal: AbortSignal
  }): Promise<HttpResponse> {
    const once = async () => {
      const { token, catalog } = await this.session.current(ask.signal)
      const headers = {
        'x-auth-token': token,
        ...(ask.version
          ? { 'openstack-api-version': `compute ${ask.version}`, 'x-openstack-nova-api-version': ask.version }
          : {}),
      }
      const computeUrl = this.options.computeUrl ?? endpointOf(catalog, { ...this.options, type: 'compute' })
      if (computeUrl === undefined)
        throw new Fault('driver.failed', 'the catalogue of Keystone names no compute service: set driver.computeUrl')
      const url = ask.path.startsWith('http') ? ask.path : computeUrl.replace(/\/$/, '') + ask.path
      return this.http({ method: ask.method, url, headers, body: ask.body, signal: ask.signal, ca: this.options.ca })
    }
    const answer = await once()
    if (answer.status !== 401) return answer
    this.session.forget()
    return once()
  }
}
