/** The mesh as the conductor sees it: through the API of its arbiters. The one that leads is looked for once, and again
 *  when an answer says that it leads no more. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { http } from '../../kit/http.ts'
import { readSecret } from '../../kit/webhook.ts'
import { currentSpelling } from './spelling.ts'
import type { Config } from '../config.ts'

export interface MeshHost {
  readonly name: string
  readonly node: string | null
  readonly state: string
  readonly last_heard_seconds: number | null
  readonly guests: number | null
  readonly instances: number | null
  readonly hold: {
    readonly kind: string
    readonly reason: string
    readonly requested_by: string
    readonly seconds: number | null
  } | null
  readonly bmc_sealed?: boolean
  /** Kept empty for failures; absent in answers of arbiters of version 0.2. */
  readonly reserved?: boolean
}
/** What is looked up every few seconds. */
export interface MeshRegistry {
  readonly arbiters: readonly { readonly name: string; readonly public_key?: string | null }[]
  readonly hosts: readonly Pick<MeshHost, 'name' | 'node' | 'hold' | 'bmc_sealed' | 'reserved'>[]
}

const TIMEOUT_MS = 5_000
/** As the arbiters have it (host-agent/api/server.ts). */
const LEADS_HEADER = 'x-rackward-leads'

type ArbiterAnswer = { status: number; body: unknown; tag: string | undefined }
interface ArbiterRequest {
  readonly path: string
  readonly body?: unknown
  readonly onBehalfOf?: string | undefined
  /** Of the answer that is known: 304 says that it holds. */
  readonly tag?: string | undefined
}

export class MeshLink {
  private readonly urls: readonly string[]
  private readonly authorization: string | undefined
  private readonly ca: string | undefined
  private readonly clock: Clock
  /** The arbiter that led when it was last asked. */
  private leading: string | undefined
  private known: { readonly tag: string; readonly registry: MeshRegistry } | undefined

  private constructor(
    at: { urls: readonly string[]; authorization: string | undefined; ca: string | undefined },
    clock: Clock,
  ) {
    this.urls = at.urls.map((url) => url.replace(/\/$/, ''))
    this.authorization = at.authorization
    this.ca = at.ca
    this.clock = clock
  }

  static async open(config: NonNullable<Config['mesh']>, clock: Clock): Promise<MeshLink> {
    const password = config.passwordFile === undefined ? '' : await readSecret(config.passwordFile, 'mesh.passwordFile')
    const authorization =
      config.username === undefined
        ? undefined
        : `Basic ${Buffer.from(`${config.username}:${password}`).toString('base64')}`
    const ca = config.caFile === undefined ? undefined : await readFile(config.caFile, 'utf8')
    return new MeshLink({ urls: config.arbiters, authorization, ca }, clock)
  }

  /** The hosts of one node, by its UUID or its name. Throws `mesh.leaderless` when no arbiter answers or none leads. */
  async hostsOf(node: { readonly uuid: string; readonly name: string | null }): Promise<readonly MeshHost[]> {
    const name = node.name === null ? '' : `?name=${encodeURIComponent(node.name)}`
    const { body } = await this.request('GET', `/rackward/v1/mesh/nodes/${encodeURIComponent(node.uuid)}${name}`)
    return (body as { hosts: readonly MeshHost[] }).hosts
  }

  /** Who belongs to the mesh, and what is held there: the same object as before when nothing changed. Throws
   *  `mesh.leaderless` and `mesh.refused`. */
  async registry(): Promise<MeshRegistry> {
    const { known } = this
    const { status, body, tag } = await this.request('GET', '/rackward/v1/mesh/registry', { tag: known?.tag })
    if (status === 304 && known) return known.registry
    if (status !== 200) throw new Fault('mesh.refused', `the leader of the mesh answered ${status} for its registry`)
    const registry = body as MeshRegistry
    this.known = tag === undefined ? undefined : { tag, registry }
    return registry
  }

  /** Asks the arbiter that leads, or with `any` the first that answers. Status and body are its own. */
  async request(
    method: string,
    path: string,
    options: { body?: unknown; any?: boolean; onBehalfOf?: string; tag?: string | undefined } = {},
  ): Promise<ArbiterAnswer> {
    const { any, ...more } = options
    const request = { path, ...more }
    const known = this.leading
    if (known !== undefined) {
      const answer = await this.askLeader(known, method, request)
      if (answer) return answer
    }
    const leader = await this.findLeader()
    this.leading = leader?.api
    const base = leader?.api ?? (any ? leader?.via : undefined)
    if (base === undefined)
      throw new Fault('mesh.leaderless', `none of ${this.urls.join(', ')} knows a leader of the mesh`)
    return this.once(base, method, request)
  }

  /** Undefined: it leads no more, or is gone, and nothing was done that must not be asked for again. */
  private async askLeader(base: string, method: string, request: ArbiterRequest): Promise<ArbiterAnswer | undefined> {
    try {
      const answer = await this.once(base, method, request)
      if (answer.leads) return answer
      this.leading = undefined
      // What was changed stands in the store of the mesh, whoever wrote it there.
      return method === 'GET' ? undefined : answer
    } catch (error) {
      this.leading = undefined
      if (isFault(error, 'peer.unreached') || (method === 'GET' && isFault(error, 'peer.lost'))) return undefined
      throw error
    }
  }

  private async findLeader(): Promise<{ api: string | undefined; via: string } | undefined> {
    let via: string | undefined
    for (const url of this.urls) {
      const answer = await this.once(url, 'GET', { path: '/rackward/v1/mesh/leader' }).catch((error: unknown) => {
        if (isFault(error, 'peer.unreached') || isFault(error, 'peer.lost')) return undefined
        throw error
      })
      if (!answer) continue
      if (answer.status !== 200)
        throw new Fault(
          'access.denied',
          `the arbiter at ${url} answered ${answer.status}: check mesh.username and its password`,
        )
      via ??= url
      const found = answer.body as { api: string | null; leads: boolean }
      if (found.leads) return { api: url, via: url }
      // An address that an arbiter names is asked only when the configuration names it too: it will be sent our
      // password.
      const api = found.api?.replace(/\/$/, '')
      if (api !== undefined && this.urls.includes(api)) return { api, via: url }
    }
    return via === undefined ? undefined : { api: undefined, via }
  }

  private async once(
    base: string,
    method: string,
    request: ArbiterRequest,
  ): Promise<ArbiterAnswer & { leads: boolean }> {
    const abort = new AbortController()
    const stop = this.clock.after(TIMEOUT_MS, () => abort.abort(new Error('no answer in time')))
    try {
      const headers = {
        ...(this.authorization === undefined ? {} : { authorization: this.authorization }),
        ...(request.onBehalfOf === undefined
          ? {}
          : { 'x-rackward-on-behalf-of': encodeURIComponent(request.onBehalfOf) }),
        ...(request.tag === undefined ? {} : { 'if-none-match': request.tag }),
      }
      const {
        status,
        body,
        headers: answered,
      } = await http({
        method,
        url: base + request.path,
        headers,
        body: request.body,
        signal: abort.signal,
        ca: this.ca,
      })
      const tag = typeof answered.etag === 'string' ? answered.etag : undefined
      return { status, body: currentSpelling(body), tag, leads: answered[LEADS_HEADER] === 'true' }
    } finally {
      stop()
    }
  }
}
