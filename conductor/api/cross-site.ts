/** Pages of other web sites may not change anything: a browser sends the password that it keeps, or reaches a conductor that asks for none, for any page.
 *  Programs send neither Origin nor Sec-Fetch-Site. */
import type { IncomingMessage } from 'node:http'
import { Fault } from '../../kit/fault.ts'

const READS = new Set(['GET', 'HEAD'])

/** Throws `access.cross-site` for a request that changes something, or opens a websocket, on behalf of a page of another site. */
export function refuseCrossSite(request: IncomingMessage): void {
  if (READS.has(request.method ?? '') && request.headers.upgrade === undefined) return
  const { origin, host } = request.headers
  const site = request.headers['sec-fetch-site']
  if (origin !== undefined && hostOf(origin) !== host?.toLowerCase())
    throw new Fault('access.cross-site', `Origin: the request comes from a page of ${origin.slice(0, 200)}, and not from this host`)
  if (site === 'cross-site' || site === 'same-site')
    throw new Fault('access.cross-site', `Sec-Fetch-Site: the request comes from a page of another site (${site})`)
}

/** `null`, which browsers send for pages without an origin, has no host. */
const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined)
