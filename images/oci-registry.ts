/** Pulls from OCI registries (OCI Distribution Specification, and the token authentication of its reference
 *  implementation): which blob an artifact is, proven by digests. Credentials go to the registry and to the realm that
 *  it names; every address is checked as that of an image. */
import { createHash } from 'node:crypto'
import type { Architecture } from '../kit/architecture.ts'
import { Fault, isFault } from '../kit/fault.ts'
import { gather } from '../kit/gather.ts'
import { isDict, parsedOr } from '../kit/json.ts'
import type { AddressGuard } from './address-guard.ts'
import type { Checksum } from './checksum.ts'
import { basicOf, challengesOf, type OciAuths } from './oci-auth.ts'
import { candidatesOf, imageBlob, MANIFEST_TYPES, parseDocument, type OciDocument } from './oci-manifest.ts'
import { digestText, pinned, type OciReference } from './oci-reference.ts'
import { openUrl, type Headers, type Opened } from './open-url.ts'

export interface OciOptions {
  /** Asked anew for each artifact, so that tokens in the file can be renewed. */
  readonly auths: () => Promise<OciAuths>
  readonly ca: string | undefined
  /** Registries, with their ports, that speak HTTP without TLS. */
  readonly plainHttp: readonly string[]
}

/** A disk image in a registry. */
export interface OciImage {
  /** By the digest of its manifest. */
  readonly source: string
  readonly manifest: Checksum
  /** Of the file. */
  readonly checksum: Checksum
  readonly url: string
  readonly headers: () => Promise<Headers>
  readonly ca: string | undefined
}

export interface OciAsker {
  readonly architecture: Architecture | undefined
  /** Before what the configuration has for the registry. */
  readonly pullSecret: string | undefined
  readonly guard: AddressGuard
  readonly signal: AbortSignal
}

const TIMEOUT_MS = 30_000
/** What the specification asks registries to take. */
const MANIFEST_BYTES = 4 * 1024 * 1024
const TOKEN_BYTES = 64 * 1024
/** Of an index, that are looked into. */
const MAX_CANDIDATES = 8
const TOKEN = /^[\x21-\x7e]{1,32768}$/

export class OciRegistry {
  private readonly options: OciOptions

  constructor(options: OciOptions) {
    this.options = options
  }

  /** Throws `image.missing`, `image.format`, `image.checksum`, or `image.source`. */
  async image(reference: OciReference, asker: OciAsker): Promise<OciImage> {
    try {
      return await this.find(reference, asker)
    } catch (error) {
      // What broke off because of the signal says what the signal says.
      asker.signal.throwIfAborted()
      throw error
    }
  }

  private async find(reference: OciReference, asker: OciAsker): Promise<OciImage> {
    const session = new Session(reference, asker, this.options)
    const first = await session.manifest(reference.wanted)
    const { manifest, blob } = first.document.layers
      ? { manifest: first.digest, blob: imageBlob(first.document, undefined, session.name) }
      : await this.chosen(first.document, asker.architecture, session)
    return {
      source: pinned(reference, manifest),
      manifest,
      checksum: blob,
      url: `${session.base}/blobs/${digestText(blob)}`,
      // An import is shared: it goes on when the first who asked for it does not want it any more.
      headers: () => session.authorization(AbortSignal.timeout(TIMEOUT_MS)),
      ca: this.options.ca,
    }
  }

  /** A manifest without a disktype may be that of a container image beside the disks. */
  private async chosen(index: OciDocument, architecture: Architecture | undefined, session: Session) {
    let unfit: unknown
    for (const { digest, diskType } of candidatesOf(index, architecture, session.name).slice(0, MAX_CANDIDATES)) {
      const { document } = await session.manifest({ digest })
      try {
        return { manifest: digest, blob: imageBlob(document, diskType, session.name) }
      } catch (error) {
        if (!isFault(error, 'image.format')) throw error
        unfit ??= error
      }
    }
    throw unfit
  }
}

/** One artifact, with the authorization that its registry asked for. */
class Session {
  readonly name: string
  readonly base: string
  private readonly reference: OciReference
  private readonly asker: OciAsker
  private readonly options: OciOptions
  private challenge: { scheme: 'basic' } | { scheme: 'bearer'; url: string } | undefined

  constructor(reference: OciReference, asker: OciAsker, options: OciOptions) {
    const { host, repository } = reference
    this.reference = reference
    this.asker = asker
    this.options = options
    this.name = `${host}/${repository}`
    this.base = `${options.plainHttp.includes(host) ? 'http' : 'https'}://${host}/v2/${repository}`
  }

  async manifest(wanted: OciReference['wanted']): Promise<{ document: OciDocument; digest: Checksum }> {
    const which = 'digest' in wanted ? digestText(wanted.digest) : wanted.tag
    const body = await this.ask(`${this.base}/manifests/${which}`, which)
    const { algo } = 'digest' in wanted ? wanted.digest : { algo: 'sha256' as const }
    const digest = { algo, hex: createHash(algo).update(body).digest('hex') }
    if ('digest' in wanted && wanted.digest.hex !== digest.hex)
      throw new Fault('image.checksum', `${this.name}: the registry sent another manifest than ${which}`)
    return { document: parseDocument(body, this.name), digest }
  }

  /** A fresh one each time: tokens live for minutes, and a download may have to wait for its turn. */
  authorization = async (signal: AbortSignal): Promise<Headers> => {
    const { challenge } = this
    if (!challenge) return {}
    const basic = await this.credentials()
    if (challenge.scheme === 'bearer')
      return { authorization: `Bearer ${await this.token(challenge.url, basic, signal)}` }
    if (basic === undefined) throw this.refused('wants a user and a password')
    return { authorization: `Basic ${basic}` }
  }

  /** The body of a manifest. What is refused without credentials is asked for once more with them. */
  private async ask(url: string, which: string): Promise<Buffer> {
    let answer = await this.open(url)
    if (answer.response.statusCode === 401 && !this.challenge) {
      answer.response.destroy()
      this.challenge = this.challengeOf(answer)
      answer = await this.open(url)
    }
    const { response } = answer
    const status = response.statusCode ?? 0
    if (status === 200) return this.body(answer, MANIFEST_BYTES)
    response.destroy()
    if (status === 401) throw this.refused('refused the credentials')
    if (status === 403 || status === 404)
      throw new Fault('image.missing', `${this.name}: the registry has no ${which}, or not for these credentials`)
    if (status === 429) throw new Fault('image.source', `${this.name}: the registry allows no more pulls for now`)
    throw new Fault('image.source', `${this.name}: the registry answered ${status} for ${which}`)
  }

  private async open(url: string): Promise<Opened> {
    const accept = MANIFEST_TYPES.join(', ')
    const { signal } = this.asker
    const headers = async () => ({ accept, ...(await this.authorization(signal)) })
    const opened = await openUrl(url, { ...this.reach(signal), headers })
    // What a tag means has no proof but the connection.
    if (url.startsWith('https:') && opened.url.protocol !== 'https:') {
      opened.response.destroy()
      throw new Fault('image.source', `${this.name}: the registry leads from https to http`)
    }
    return opened
  }

  private reach(signal: AbortSignal) {
    const { guard } = this.asker
    return { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]), guard, ca: this.options.ca }
  }

  /** What the registry itself asks for; who it redirects to is told nothing. */
  private challengeOf({ url, response }: Opened): NonNullable<Session['challenge']> {
    if (url.origin !== new URL(this.base).origin) throw this.refused('leads to a host that wants credentials')
    const challenges = challengesOf(String(response.headers['www-authenticate'] ?? ''))
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer) return { scheme: 'bearer', url: this.realm(bearer.params) }
    if (challenges.some(({ scheme }) => scheme === 'basic')) return { scheme: 'basic' }
    throw this.refused('asks for an authentication that is neither Bearer nor Basic')
  }

  /** The scope is ours: to pull from this repository, whatever the registry suggests. */
  private realm({ realm = '', service }: Readonly<Record<string, string>>): string {
    const url = URL.canParse(realm) ? new URL(realm) : undefined
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && this.base.startsWith('http:'))
    if (!url || !isSafe || url.username !== '' || url.password !== '')
      throw this.refused('names no https URL that gives tokens')
    if (service !== undefined) url.searchParams.set('service', service)
    url.searchParams.set('scope', `repository:${this.reference.repository}:pull`)
    return url.href
  }

  private async token(url: string, basic: string | undefined, signal: AbortSignal): Promise<string> {
    const headers = { accept: 'application/json', ...(basic === undefined ? {} : { authorization: `Basic ${basic}` }) }
    const answer = await openUrl(url, { ...this.reach(signal), headers, noRedirects: true })
    const { statusCode: status } = answer.response
    if (status !== 200) {
      answer.response.destroy()
      if (status === 401 || status === 403)
        throw this.refused(basic === undefined ? 'gives no token to strangers' : 'refused the credentials')
      throw new Fault('image.source', `${this.name}: ${new URL(url).host}, which gives tokens, answered ${status}`)
    }
    const body = parsedOr((await this.body(answer, TOKEN_BYTES)).toString(), undefined)
    const found = isDict(body) ? (body.token ?? body.access_token) : undefined
    if (typeof found !== 'string' || !TOKEN.test(found))
      throw new Fault('image.source', `${this.name}: ${new URL(url).host} answered without a token`)
    return found
  }

  private async body({ response }: Opened, mostBytes: number): Promise<Buffer> {
    try {
      return await gather(response, mostBytes)
    } catch (error) {
      throw new Fault('image.source', `${this.name}: ${isFault(error) ? error.detail : 'the answer broke off'}`, {
        cause: error,
      })
    } finally {
      response.destroy()
    }
  }

  private async credentials(): Promise<string | undefined> {
    const { pullSecret } = this.asker
    return pullSecret ? basicOf(pullSecret) : (await this.options.auths()).get(this.reference.host)
  }

  private refused = (why: string): Fault =>
    new Fault(
      'image.source',
      `${this.name}: the registry ${why}; instance_info/image_pull_secret or images.oci.authFile can have them`,
    )
}
