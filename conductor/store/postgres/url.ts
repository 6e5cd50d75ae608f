/** The URL of the database: one server, or several of which one is the primary, in the two forms that libpq knows. */

export interface Endpoint {
  readonly host?: string
  readonly port?: number
}

export interface DatabaseUrl {
  /** In the order of the URL; at least one. */
  readonly endpoints: readonly Endpoint[]
  readonly user?: string
  readonly database: string
}

const FORM = 'is not a URL of the form postgresql://user@host:port/database'
/** What TLS is has keys of its own, and a password has a file. */
const OPTIONS = ['host', 'port', 'user', 'target_session_attrs']
/** Nothing else is ever wanted. */
const TARGETS = ['read-write', 'primary']
const MAX_ENDPOINTS = 16
const WHOLE = /^(postgres(?:ql)?:\/\/(?:[^@/?]*@)?)([^/?]*)(\/[^?]*(?:\?.*)?)$/

/** With `host1:port1,host2:port2` taken apart, which no URL may hold. */
function singles(text: string): URL[] | undefined {
  const [, start = '', hosts = '', rest = ''] = WHOLE.exec(text) ?? []
  const all = hosts.split(',').map((host) => `${start}${host}${rest}`)
  if (start === '' || !all.every((one) => URL.canParse(one))) return undefined
  if (all.length > 1 && hosts.split(',').includes('')) return undefined
  return all.map((one) => new URL(one))
}

/** What is wrong with it; undefined: nothing. */
export function urlFlaw(text: string): string | undefined {
  const urls = singles(text)
  const url = urls?.[0]
  if (!urls || !url) return FORM
  const { searchParams } = url
  if (!isDecodable(url.username) || !isDecodable(url.pathname)) return 'has a % that is not followed by two digits'
  if (url.password !== '' || searchParams.has('password')) return 'holds a password: it belongs in passwordFile'
  if (url.pathname.length < 2) return 'names no database'
  const odd = [...searchParams.keys()].find((key) => !OPTIONS.includes(key))
  if (odd !== undefined) return `holds the option ${odd}: only ${OPTIONS.join(', ')} are known`
  const target = searchParams.get('target_session_attrs')
  if (target !== null && !TARGETS.includes(target))
    return `has target_session_attrs=${target}: a conductor needs the server that takes changes (read-write)`
  const [hosts, ports] = [listOf(searchParams, 'host'), listOf(searchParams, 'port')]
  if (urls.length > 1 && (hosts.length > 0 || ports.length > 0))
    return 'names several hosts and has the option host or port: use one of the two forms'
  if (ports.length > 1 && ports.length !== hosts.length) return 'has as many ports as hosts, or one port for all'
  if (ports.some((port) => !/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535))
    return 'has a port that is not a number from 1 to 65535'
  if (Math.max(urls.length, hosts.length) > MAX_ENDPOINTS) return `names more than ${MAX_ENDPOINTS} hosts`
  return undefined
}

/** Of a URL without a flaw. */
export function databaseUrl(text: string): DatabaseUrl {
  const urls = singles(text)
  const url = urls?.[0]
  if (!urls || !url) throw new Error(`store.postgres.url ${FORM}`)
  const { searchParams } = url
  const user = searchParams.get('user') ?? decodeURIComponent(url.username)
  return {
    endpoints: endpointsOf(urls),
    ...(user === '' ? {} : { user }),
    database: decodeURIComponent(url.pathname.slice(1)),
  }
}

function endpointsOf(urls: readonly URL[]): Endpoint[] {
  const { searchParams } = urls[0] as URL
  const hosts = listOf(searchParams, 'host')
  const ports = listOf(searchParams, 'port')
  if (hosts.length > 0)
    return hosts.map((host, n) => endpoint(host, (ports.length > 1 ? ports[n] : ports[0]) ?? (urls[0] as URL).port))
  return urls.map((one) => endpoint(one.hostname.replace(/^\[|\]$/g, ''), ports[0] ?? one.port))
}

const endpoint = (host: string, port: string): Endpoint => ({
  ...(host === '' ? {} : { host }),
  ...(port === '' ? {} : { port: Number(port) }),
})

const listOf = (params: URLSearchParams, name: string): string[] =>
  (params.get(name) ?? '').split(',').filter((one) => one !== '')

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}
