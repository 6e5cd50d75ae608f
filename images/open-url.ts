/** Opens an http or https URL: at an address that was checked, with redirects followed, and with its headers sent to
 *  the origin of the source alone. */
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { Fault, isFault } from '../kit/fault.ts'
import { printable } from '../kit/text.ts'
import { guarded, type AddressGuard } from './address-guard.ts'

export type Headers = Readonly<Record<string, string>>

export interface OpenParts {
  readonly signal: AbortSignal
  /** Absent: the URL is an administrator's own. */
  readonly guard?: AddressGuard | undefined
  /** For the origin of the source alone: who it redirects to does not get them. A function makes them when they are
   *  sent, for those that do not live long. */
  readonly headers?: Headers | (() => Promise<Headers>) | undefined
  readonly ca?: string | undefined
  /** The URL was allowed by name: where it leads to was not. */
  readonly noRedirects?: boolean | undefined
}

export interface Opened {
  /** Where the answer came from in the end. */
  readonly url: URL
  readonly response: IncomingMessage
}

const STALL_MS = 60_000
const MAX_REDIRECTS = 5

/** The answer, whatever its status is; its body is the caller's to read or to destroy. */
export async function openUrl(source: string, parts: OpenParts): Promise<Opened> {
  const first = urlOf(source)
  const headers = typeof parts.headers === 'function' ? await parts.headers() : parts.headers
  let url = first
  for (let redirects = 0; ; redirects += 1) {
    if (redirects > (parts.noRedirects ? 0 : MAX_REDIRECTS))
      throw new Fault('image.source', `${shown(url)}: too many redirects`)
    const response = await request(url, { ...parts, headers: url.origin === first.origin ? headers : undefined })
    const status = response.statusCode ?? 0
    const next = status >= 300 && status < 400 ? response.headers.location : undefined
    if (next === undefined) return { url, response }
    response.destroy()
    url = urlOf(next, url)
  }
}

/** For messages: a user and a password, or a signature among the arguments, may be secret. */
export const shown = ({ origin, pathname, search }: URL): string =>
  printable(`${origin}${pathname}${search && '?…'}`, 300)

function urlOf(text: string, base?: URL): URL {
  if (!URL.canParse(text, base?.href))
    throw new Fault('input.invalid', base ? `${shown(base)} leads to what is no URL` : 'the image source is not a URL')
  const url = new URL(text, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Fault('image.source', `${url.protocol} is not followed: only http and https are`)
  return url
}

function request(
  url: URL,
  { guard, signal, headers = {}, ca }: OpenParts & { readonly headers: Headers | undefined },
): Promise<IncomingMessage> {
  const get = url.protocol === 'https:' ? httpsGet : httpGet
  // A connection of its own: one that was kept may lead to an address that somebody else was allowed.
  const trust = ca === undefined ? {} : { ca }
  const options = { timeout: STALL_MS, signal, headers, agent: false, ...trust, ...(guard ? guarded(url, guard) : {}) }
  return new Promise((resolve, reject) => {
    const call = get(url, options, resolve)
    call.on('timeout', () => call.destroy(new Error(`nothing came for ${STALL_MS / 1000} s`)))
    call.on('error', (error) =>
      reject(isFault(error) ? error : new Fault('image.source', `${shown(url)}: ${error.message}`, { cause: error })),
    )
  })
}
