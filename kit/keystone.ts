/** Tokens of Keystone (Identity API v3, POST /v3/auth/tokens), kept until a minute before they end, and what its
 *  catalogue says. */
import { Fault, type FaultCode } from './fault.ts'
import type { Http } from './http.ts'

export interface KeystoneAccount {
  readonly authUrl: string
  readonly identity:
    | {
        readonly method: 'password'
        readonly username: string
        readonly password: string
        readonly userDomain: string
        readonly project: string
        readonly projectDomain: string
      }
    | { readonly method: 'application_credential'; readonly id: string; readonly secret: string }
  readonly ca: string | undefined
}

type Catalog = readonly { type: string; endpoints: readonly { interface: string; region?: string; url: string }[] }[]

export interface KeystoneToken {
  readonly token: string
  /** The project that the token is of. */
  readonly projectId: string | null
  readonly catalog: Catalog
  readonly renewAtMs: number
}

const RENEW_BEFORE_MS = 60_000

export class KeystoneSession {
  private readonly account: KeystoneAccount
  private readonly parts: { readonly http: Http; readonly wall: () => number; readonly code: FaultCode }
  private token: Promise<KeystoneToken> | undefined

  /** `code`: of the fault when there is no token. */
  constructor(account: KeystoneAccount, parts: { http: Http; wall: () => number; code: FaultCode }) {
    this.account = account
    this.parts = parts
  }

  async current(signal: AbortSignal): Promise<KeystoneToken> {
    const held = await this.token?.catch(() => undefined)
    if (held && held.renewAtMs > this.parts.wall()) return held
    const fresh = this.login(signal)
    this.token = fresh
    fresh.catch(() => (this.token = undefined))
    return fresh
  }

  /** The token was refused: the next call asks for another one. */
  forget(): void {
    this.token = undefined
  }

  private async login(signal: AbortSignal): Promise<KeystoneToken> {
    const { authUrl, ca, identity } = this.account
    const { http, code } = this.parts
    const url = `${authUrl.replace(/\/$/, '')}/auth/tokens`
    const answer = await http({ method: 'POST', url, body: bodyOf(identity), signal, ca }).catch((error: Fault) => {
      // Nothing but a token was asked for.
      throw new Fault(code, `Keystone: ${error.detail}`, { cause: error })
    })
    const who = identity.method === 'password' ? identity.username : `application credential ${identity.id}`
    const secret = answer.headers['x-subject-token']
    if (answer.status !== 201 || typeof secret !== 'string')
      throw new Fault(code, `Keystone at ${authUrl} answered ${answer.status} to ${who}`)
    const { token } = answer.body as { token: { expires_at: string; project?: { id: string }; catalog?: Catalog } }
    return {
      token: secret,
      projectId: token.project?.id ?? null,
      catalog: token.catalog ?? [],
      renewAtMs: Date.parse(token.expires_at) - RENEW_BEFORE_MS,
    }
  }
}

function bodyOf(identity: KeystoneAccount['identity']): unknown {
  if (identity.method === 'application_credential') {
    const { id, secret } = identity
    return { auth: { identity: { methods: ['application_credential'], application_credential: { id, secret } } } }
  }
  const user = { name: identity.username, domain: { name: identity.userDomain }, password: identity.password }
  return {
    auth: {
      identity: { methods: ['password'], password: { user } },
      scope: { project: { name: identity.project, domain: { name: identity.projectDomain } } },
    },
  }
}

/** The URL of a service in the catalogue, without a slash at its end. */
export const endpointOf = (
  catalog: Catalog,
  wanted: { type: string; interface: string; region: string | undefined },
): string | undefined =>
  catalog
    .find(({ type }) => type === wanted.type)
    ?.endpoints.find(
      (one) => one.interface === wanted.interface && (wanted.region === undefined || one.region === wanted.region),
    )
    ?.url.replace(/\/$/, '')
