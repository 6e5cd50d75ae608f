/** Pages of other web sites may not change anything: a browser sends the password that it keeps, or reaches a conductor
 *  that asks for none, for any page. Programs send neither Origin nor Sec-Fetch-Site. */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { Fault } from '../../kit/fault.ts'

const READS = new Set(['GET', 'HEAD'])

/** Whether it changes nothing, by its method. */
export const isRead = ({ method, headers }: IncomingMessage): boolean =>
  READS.has(method ?? '') && headers.upgrade === undefined

/** Throws `access.cross-site` for a request that changes something, or opens a websocket, on behalf of a page of
 *  another site. */
export function refuseCrossSite(request: IncomingMessage): void {
  if (isRead(request)) return
  const { origin, host } = request.headers
  const site = request.headers['sec-fetch-site']
  if (origin !== undefined && hostOf(origin) !== host?.toLowerCase())
    throw new Fault(
      'access.cross-site',
      `Origin: the request comes from a page of ${origin.slice(0, 200)}, and not from this host`,
    )
  if (site === 'cross-site' || site === 'same-site')
    throw new Fault('access.cross-site', `Sec-Fetch-Site: the request comes from a page of another site (${site})`)
}

/** `null`, which browsers send for pages without an origin, has no host. */
const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined)

/** Without authentication, nothing but the name that a browser asked for tells a page of ours from one whose name was
 *  made to mean our address (DNS rebinding): so the API answers to addresses, to localhost and to `names` alone, reads
 *  included. A unix socket is no place that a browser reaches. Throws `access.cross-site`. */
export function refuseForeignName(request: IncomingMessage, names: readonly string[]): void {
  const { host } = request.headers
  if (host === undefined || request.socket.remoteAddress === undefined) return
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '') : host
  if (isIP(name) !== 0 || name === 'localhost' || names.some((known) => known.toLowerCase() === name)) return
  throw new Fault(
    'access.cross-site',
    `Host: without authentication, the API does not answer to the name ${name.slice(0, 200)}; use an address, or add the name to api.auth.hosts`,
  )
}
