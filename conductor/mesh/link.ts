/** The mesh as the conductor sees it: through the API of its arbiters, whichever answers; what must be true is asked of the one that leads. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { http } from '../../kit/http.ts'
import { readSecret } from '../../kit/webhook.ts'
import type { Config } from '../config.ts'

export interface MeshHost {
  readonly name: string
  readonly node: string | null
  readonly state: string
  readonly last_heard_seconds: number | null
  readonly guests: number | null
  readonly instances: number | null
  readonly hold: { readonly kind: string; readonly why: string; readonly by: string; readonly seconds: number | null } | null
  readonly bmc_sealed?: boolean
}
export interface MeshView {
  readonly arbiters: readonly { readonly name: string; readonly public_key?: string | null }[]
  readonly leader: string | null
  readonly leader_api: string | null
  readonly leads: boolean
  readonly hosts: readonly MeshHost[]
}

const TIMEOUT_MS = 5_000

export class MeshLink {
  private readonly urls: readonly string[]
  private readonly authorization: string | undefined
  private readonly ca: string | undefined
  private readonly clock: Clock

  private constructor(at: { urls: readonly string[]; authorization: string | undefined; ca: string | undefined }, clock: Clock) {
    this.urls = at.urls.map((url) => url.replace(/\/$/, ''))
    this.authorization = at.authorization
    this.ca = at.ca
    this.clock = clock
  }

  static async open(config: NonNullable<Config['mesh']>, clock: Clock): Promise<MeshLink> {
    const password = config.passwordFile === undefined ? '' : await readSecret(config.passwordFile, 'mesh.passwordFile')
    const authorization = config.username === undefined ? undefined : `Basic ${Buffer.from(`${config.username}:${password}`).toString('base64')}`
    const ca = config.caFile === undefined ? undefined : await readFile(config.caFile, 'utf8')
    return new MeshLink({ urls: config.arbiters, authorization, ca }, clock)
  }

  /** Throws `mesh.leaderless` when no arbiter answers or none leads. */
  async view(): Promise<MeshView> {
    const { body } = await this.ask('GET', '/rackward/v1/mesh')
    return body as MeshView
  }

  /** Asks the arbiter that leads, or with `any` the first that answers. Status and body are its own. */
  async ask(method: string, path: string, options: { body?: unknown; any?: boolean; onBehalfOf?: string } = {}): Promise<{ status: number; body: unknown }> {
    const leader = await this.leader()
    const base = leader?.api ?? (options.any ? leader?.via : undefined)
    if (base === undefined) throw new Fault('mesh.leaderless', `none of ${this.urls.join(', ')} knows a leader of the mesh`)
    return this.once(base, method, { path, body: options.body, onBehalfOf: options.onBehalfOf })
  }

  private async leader(): Promise<{ api: string | undefined; via: string } | undefined> {
    let via: string | undefined
    for (const url of this.urls) {
      const answer = await this.once(url, 'GET', { path: '/rackward/v1/mesh' }).catch((error: unknown) => {
        if (isFault(error, 'peer.unreached') || isFault(error, 'peer.lost')) return undefined
        throw error
      })
      if (!answer) continue
      if (answer.status !== 200) throw new Fault('access.denied', `the arbiter at ${url} answered ${answer.status}: check mesh.username and its password`)
      via ??= url
      const view = answer.body as MeshView
      if (view.leads) return { api: url, via: url }
      // An address that an arbiter names is asked only when the configuration names it too: it will be sent our password.
      const api = view.leader_api?.replace(/\/$/, '')
      if (api !== undefined && this.urls.includes(api)) return { api, via: url }
    }
    return via === undefined ? undefined : { api: undefined, via }
  }

  private async once(base: string, method: string, ask: { path: string; body?: unknown; onBehalfOf?: string | undefined }) {
    const abort = new AbortController()
    const stop = this.clock.after(TIMEOUT_MS, () => abort.abort(new Error('no answer in time')))
    try {
      const headers = {
        ...(this.authorization === undefined ? {} : { authorization: this.authorization }),
        ...(ask.onBehalfOf === undefined ? {} : { 'x-rackward-on-behalf-of': encodeURIComponent(ask.onBehalfOf) }),
      }
      return await http({ method, url: base + ask.path, headers, body: ask.body, signal: abort.signal, ca: this.ca })
    } finally {
      stop()
    }
  }
}
