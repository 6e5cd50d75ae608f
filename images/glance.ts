/** Images of an OpenStack Image service (Glance, API v2): what is known of one, and where and with which headers its
 *  data are fetched. The token stands in a header alone, never in a URL or a message. */
import { Fault } from '../kit/fault.ts'
import type { Http, HttpResponse } from '../kit/http.ts'
import { endpointOf, type KeystoneSession } from '../kit/keystone.ts'
import { parseChecksum, type Checksum } from './checksum.ts'

export type GlanceAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly kind: 'keystone'
      readonly session: KeystoneSession
      readonly interface: string
      readonly region: string | undefined
    }

export interface GlanceOptions {
  /** Without one, the catalogue of Keystone tells it. */
  readonly url: string | undefined
  readonly auth: GlanceAuth
  readonly ca: string | undefined
}

export interface GlanceImage {
  readonly id: string
  readonly checksum: Checksum
  readonly diskFormat: string
  readonly sizeBytes: number
}

/** Who wants an image: a project, or null for somebody who may use whatever the account of this conductor can read. */
export type Requester = string | null

const TIMEOUT_MS = 30_000

export class Glance {
  private readonly options: GlanceOptions
  private readonly http: Http

  constructor(options: GlanceOptions, http: Http) {
    this.options = options
    this.http = http
  }

  /** What Glance says of an image. Throws `image.missing` for one that is not there or not for this project,
   *  `image.source` for one that cannot be used. */
  async image(id: string, requester: Requester, signal: AbortSignal): Promise<GlanceImage> {
    const { status, body } = await this.ask(`/v2/images/${id}`, signal)
    const missing = new Fault('image.missing', `image ${id} is not in Glance, or not for this project`)
    if (status === 404 || status === 403) throw missing
    if (status !== 200 || typeof body !== 'object' || body === null)
      throw new Fault('image.source', `Glance answered ${status} for image ${id}`)
    const found = body as Record<string, unknown>
    if (!(await this.isFor(found, requester, signal))) throw missing
    return { id, ...readImage(id, found) }
  }

  /** Where the data of an image are fetched. */
  async place(
    id: string,
    signal: AbortSignal,
  ): Promise<{ source: string; headers: Readonly<Record<string, string>>; ca: string | undefined }> {
    const { base, headers } = await this.access(signal)
    return { source: `${base}/v2/images/${id}/file`, headers, ca: this.options.ca }
  }

  /** Public and community images, those of the project, and those that were shared with it: a project gets no image of
   *  another one through our account. */
  private async isFor(image: Record<string, unknown>, requester: Requester, signal: AbortSignal): Promise<boolean> {
    const { visibility, owner, id } = image
    if (requester === null || visibility === 'public' || visibility === 'community' || owner === requester) return true
    if (visibility !== 'shared') return false
    const { status, body } = await this.ask(`/v2/images/${String(id)}/members`, signal)
    const members = status === 200 ? (body as { members?: unknown }).members : undefined
    return (
      Array.isArray(members) &&
      members.some(
        (one: { member_id?: unknown; status?: unknown }) => one.member_id === requester && one.status === 'accepted',
      )
    )
  }

  /** One call. A refused token is renewed once. */
  private async ask(path: string, signal: AbortSignal): Promise<HttpResponse> {
    const { auth, ca } = this.options
    const once = async () => {
      const { base, headers } = await this.access(signal)
      const limited = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
      return this.http({ method: 'GET', url: `${base}${path}`, headers, signal: limited, ca }).catch((error: Fault) => {
        signal.throwIfAborted()
        throw new Fault('image.source', `Glance: ${error.detail}`, { cause: error })
      })
    }
    const answer = await once()
    if (answer.status !== 401 || auth.kind !== 'keystone') return answer
    auth.session.forget()
    return once()
  }

  private async access(signal: AbortSignal): Promise<{ base: string; headers: Record<string, string> }> {
    const { url, auth } = this.options
    if (auth.kind !== 'keystone') {
      if (url === undefined) throw new Fault('config.invalid', 'images.glance.url is missing')
      const pair =
        auth.kind === 'basic' ? Buffer.from(`${auth.username}:${auth.password}`).toString('base64') : undefined
      return { base: baseOf(url), headers: pair === undefined ? {} : { authorization: `Basic ${pair}` } }
    }
    const { token, catalog } = await auth.session.current(signal)
    const found = url ?? endpointOf(catalog, { ...auth, type: 'image' })
    if (found === undefined)
      throw new Fault('image.source', 'the catalogue of Keystone names no image service: set images.glance.url')
    return { base: baseOf(found), headers: { 'x-auth-token': token } }
  }
}

/** Endpoints are written with and without their version. */
const baseOf = (url: string): string => url.replace(/\/+$/, '').replace(/\/v2(\.\d+)?$/, '')

function readImage(id: string, found: Record<string, unknown>): Omit<GlanceImage, 'id'> {
  const refuse = (why: string) => new Fault('image.source', `image ${id} of Glance ${why}`)
  const { status, size, disk_format: diskFormat, container_format: container } = found
  const { os_hash_algo: algo, os_hash_value: value } = found
  if (status !== 'active') throw refuse(`is ${String(status)}, not active`)
  if (container !== undefined && container !== null && !['bare', 'aki', 'ari', 'ami'].includes(String(container)))
    throw refuse(`has the container format ${String(container)}; only bare is understood`)
  if (typeof value !== 'string' || (algo !== 'sha256' && algo !== 'sha512'))
    throw refuse('has no os_hash_value of SHA-256 or SHA-512, without which it cannot be checked')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw refuse('has no size')
  return { checksum: parseChecksum(value, algo), diskFormat: String(diskFormat), sizeBytes: size }
}
