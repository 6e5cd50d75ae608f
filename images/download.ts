/** Fetches a URL into a file: to an address that was checked, at a least rate, within the space that there is. */
import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { Transform } from 'node:stream'
import type { Clock } from '../kit/clock.ts'
import { Fault, isFault } from '../kit/fault.ts'
import { bytesText, printable } from '../kit/text.ts'
import { guarded, type AddressGuard } from './address-guard.ts'
import type { Claim } from './budget.ts'

export interface DownloadParts {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly claim: Claim
  /** Absent: the URL is an administrator's own. */
  readonly guard?: AddressGuard | undefined
  readonly leastBytesPerSecond?: number | undefined
  /** For the origin of the source alone: who it redirects to does not get them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly ca?: string | undefined
  /** More is not taken. */
  readonly mostBytes?: number | undefined
  /** How often as many bytes as come will stand on the disk at once. */
  readonly copies?: number | undefined
  /** The URL was allowed by name: where it leads to was not. */
  readonly noRedirects?: boolean | undefined
}

const STALL_MS = 60_000
const RATE_WINDOW_MS = 60_000
const MAX_REDIRECTS = 5
/** Space is claimed in such parts where the server does not say how much comes. */
const CLAIM_BYTES = 64 * 1024 * 1024

export async function download(source: string, to: string, parts: DownloadParts): Promise<void> {
  const first = urlOf(source)
  let url = first
  for (let redirects = 0; ; redirects += 1) {
    if (redirects > (parts.noRedirects ? 0 : MAX_REDIRECTS))
      throw new Fault('image.source', `${shown(url)}: too many redirects`)
    const response = await request(url, url.origin === first.origin ? parts : { ...parts, headers: undefined })
    const status = response.statusCode ?? 0
    const next = status >= 300 && status < 400 ? response.headers.location : undefined
    if (next === undefined && status === 200) return save(shown(url), response, { ...parts, to })
    response.destroy()
    if (next === undefined) throw new Fault('image.source', `${shown(url)} answered ${status}`)
    url = urlOf(next, url)
  }
}

/** For messages: a user and a password, or a signature among the arguments, may be secret. */
const shown = ({ origin, pathname, search }: URL): string => printable(`${origin}${pathname}${search && '?…'}`, 300)

function urlOf(text: string, base?: URL): URL {
  if (!URL.canParse(text, base?.href))
    throw new Fault('input.invalid', base ? `${shown(base)} leads to what is no URL` : 'the image source is not a URL')
  const url = new URL(text, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new Fault('image.source', `${url.protocol} is not followed: only http and https are`)
  return url
}

function request(url: URL, { guard, signal, headers = {}, ca }: DownloadParts): Promise<IncomingMessage> {
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

async function save(url: string, response: IncomingMessage, parts: DownloadParts & { to: string }): Promise<void> {
  const { claim, signal, to } = parts
  const promised =
    response.headers['content-length'] === undefined ? undefined : Number(response.headers['content-length'])
  let claimedBytes = promised ?? 0
  let gotBytes = 0
  const checkMost = (bytes: number) => {
    if (bytes > (parts.mostBytes ?? Number.POSITIVE_INFINITY))
      throw new Fault(
        'image.source',
        `${url} has more than ${bytesText(parts.mostBytes ?? 0)} (limits.images.virtualSizeBytes)`,
      )
  }
  const count = new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      try {
        gotBytes += chunk.length
        checkMost(gotBytes)
        if (gotBytes > claimedBytes) {
          await claim.grow(CLAIM_BYTES)
          claimedBytes += CLAIM_BYTES
        }
        claim.wrote(chunk.length)
        done(null, chunk)
      } catch (error) {
        done(error as Error)
      }
    },
  })
  const stop = watchRate(
    () => gotBytes,
    parts,
    (why) => response.destroy(new Fault('image.source', `${url}: ${why}`)),
  )
  try {
    if (promised !== undefined) {
      checkMost(promised)
      // Beside what comes, at least as much is kept, for a compressed source of an image becomes no smaller.
      await claim.needs(promised * (parts.copies ?? 1))
      await claim.grow(promised)
    }
    await pipeline(response, count, createWriteStream(to), { signal })
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('image.source', `${url}: the download broke off`, { cause: error })
  } finally {
    stop()
    response.destroy()
  }
  const got = (await stat(to)).size
  if (promised !== undefined && promised !== got)
    throw new Fault('image.source', `${url}: ${got} of ${promised} bytes came`)
}

/** Looks once a minute whether enough came since the last look. */
function watchRate(
  got: () => number,
  { clock, leastBytesPerSecond: least }: DownloadParts,
  tooSlow: (why: string) => void,
): () => void {
  if (least === undefined) return () => undefined
  let before = 0
  let cancel = (): void => undefined
  const look = () => {
    const bytes = got() - before
    if (bytes < (least * RATE_WINDOW_MS) / 1000)
      return tooSlow(`${bytes} bytes came in a minute; limits.images.leastBytesPerSecond is ${least}`)
    before = got()
    cancel = clock.after(RATE_WINDOW_MS, look)
  }
  cancel = clock.after(RATE_WINDOW_MS, look)
  return () => cancel()
}
