/** Which URLs the conductor calls when a user or a rule names them: those below a prefix that the configuration lists.
 *  Pure. */
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'

/** Encoded slashes, backslashes and NUL: servers disagree about what they mean, so a path with one may lead out of its
 *  prefix. */
const AMBIGUOUS = /%2f|%5c|%00/i

export const UrlPrefixes = z
  .array(
    z
      .url({ protocol: /^https?$/ })
      .refine(
        (text) => !URL.canParse(text) || plain(new URL(text)),
        'has a user, a query or a fragment: a prefix has none',
      ),
  )
  .max(64)

const plain = (url: URL) => url.username === '' && url.password === '' && url.search === '' && url.hash === ''

export interface AllowList {
  /** The key of the configuration that lists the prefixes, for a refusal. */
  readonly key: string
  readonly prefixes: readonly string[]
}

/** What may stand in a message: a query may hold a signature. */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`.slice(0, 300)

/** A URL as it is called, in its normal form. Throws `input.invalid` for one that no prefix covers; `base`: it came as
 *  a redirect from there. */
export function allowedUrl(text: string, list: AllowList, base?: URL): URL {
  if (!URL.canParse(text, base?.href))
    throw new Fault('input.invalid', `${JSON.stringify(text.slice(0, 255))} is not a URL`)
  const url = new URL(text, base)
  if (url.username !== '' || url.password !== '')
    throw new Fault('input.invalid', `a URL of ${url.host} has a user or a password in it: these are not sent`)
  const why = base ? `${shownUrl(base)} redirects to ${shownUrl(url)}, which` : shownUrl(url)
  if (AMBIGUOUS.test(url.pathname)) throw new Fault('input.invalid', `${why} has an encoded slash in its path`)
  if (!list.prefixes.some((prefix) => isBelow(url, new URL(prefix))))
    throw new Fault(
      'input.invalid',
      list.prefixes.length === 0 && !base
        ? `${why}: URLs are not supported here, because ${list.key} lists no prefix`
        : `${why} is below none of the prefixes of ${list.key}`,
    )
  return url
}

/** Same origin, and a path of whole segments below: /a covers /a and /a/b, and not /ab. */
function isBelow(url: URL, prefix: URL): boolean {
  if (url.origin !== prefix.origin) return false
  const { pathname } = prefix
  return pathname.endsWith('/')
    ? url.pathname.startsWith(pathname)
    : url.pathname === pathname || url.pathname.startsWith(`${pathname}/`)
}
