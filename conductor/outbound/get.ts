/** A GET to an allowed URL: redirects stay below the prefixes, names do not lead to this machine, and time and size
 *  have a limit. */
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { isIP } from 'node:net'
import { guarded, type Lookup } from '../../images/address-guard.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { allowedUrl, shownUrl, type AllowList } from './allow-list.ts'

export interface GetParts {
  readonly list: AllowList
  readonly signal: AbortSignal
  /** Size of the body; undefined: it is not read. */
  readonly maxBytes: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly lookup?: Lookup | undefined
}

export interface GetAnswer {
  readonly url: URL
  readonly status: number
  readonly body: Buffer
}

const MAX_REDIRECTS = 5

/** Throws `input.invalid` for a URL that is not allowed, `url.fetch` for one that cannot be read. */
export async function getAllowed(text: string, parts: GetParts): Promise<GetAnswer> {
  let url = allowedUrl(text, parts.list)
  for (let redirects = 0; ; redirects += 1) {
    const response = await request(url, parts)
    const status = response.statusCode ?? 0
    const next = status >= 300 && status < 400 ? response.headers.location : undefined
    if (next === undefined) return { url, status, body: await bodyOf(url, response, parts) }

    response.destroy()
    if (redirects === MAX_REDIRECTS) throw new Fault('url.fetch', `${shownUrl(url)}: too many redirects`)
    url = allowedUrl(next, parts.list, url)
  }
}

function request(url: URL, parts: GetParts): Promise<IncomingMessage> {
  const get = url.protocol === 'https:' ? httpsGet : httpGet
  // A connection of its own: one that was kept may lead to an address that was not looked at.
  const options = { signal: parts.signal, agent: false, headers: { ...parts.headers }, ...guardOf(url, parts) }
  return new Promise((resolve, reject) => {
    // Throws at once for a header that cannot be sent.
    const call = get(url, options, resolve)
    call.on('error', (error) => reject(isFault(error) ? error : failed(url, error, parts.signal)))
  })
}

/** An address, or localhost, stands in the configuration itself. Any other name must not lead to this machine or a
 *  link-local address, now or later. */
function guardOf(url: URL, { list, lookup }: GetParts): ReturnType<typeof guarded> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 || host === 'localhost') return {}
  const refused = () =>
    new Fault(
      'input.invalid',
      `${url.host} is on this machine or on a link-local address; list it by that address in ${list.key} to allow it`,
    )
  return guarded(url, { allowedHosts: [], refused, ...(lookup ? { lookup } : {}) })
}

async function bodyOf(url: URL, response: IncomingMessage, { maxBytes, signal }: GetParts): Promise<Buffer> {
  if (maxBytes === undefined) {
    response.destroy()
    return Buffer.alloc(0)
  }
  const chunks: Buffer[] = []
  let bytes = 0
  const tooBig = () => new Fault('url.fetch', `${shownUrl(url)}: the answer has more than ${maxBytes} bytes`)
  try {
    if (Number(response.headers['content-length'] ?? 0) > maxBytes) throw tooBig()
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooBig()
      chunks.push(chunk)
    }
  } catch (error) {
    throw isFault(error) ? error : failed(url, error as Error, signal)
  } finally {
    response.destroy()
  }
  return Buffer.concat(chunks)
}

const failed = (url: URL, error: Error, signal: AbortSignal): Fault =>
  signal.aborted && isFault(signal.reason)
    ? signal.reason
    : new Fault('url.fetch', `${shownUrl(url)}: ${error.message.slice(0, 300)}`, { cause: error })
