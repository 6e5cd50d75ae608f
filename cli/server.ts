/** Where the API is, as whom to ask it, and the asking. A password comes from a file or the environment, never from an
 *  argument. */
import { readFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parsedOr } from '../kit/json.ts'
import { said } from './show.ts'
import { CliError } from './error.ts'

export interface ServerOptions {
  /** Base URL; wins over everything else. */
  readonly server?: string
  /** A cloud of clouds.yaml. */
  readonly cloud?: string
}

export interface Place {
  readonly url: URL
  /** A unix socket of this machine, instead of the host of the URL. */
  readonly socketPath?: string
  readonly user?: string
  readonly password?: string
  /** PEM of the certificate authority, or of the server's own certificate. */
  readonly ca?: Buffer
}

type Env = Readonly<Record<string, string | undefined>>
type Dict = Record<string, unknown>

const DEFAULT_URL = 'http://127.0.0.1:6385'
const TIMEOUT_MS = 60_000
/** The versions that this program was written for. */
const VERSION = '1.110'

/** What the Debian package writes for the machine's own conductor; root may read it. */
const OWN_CLOUDS = '/etc/rackward/clouds.yaml'
const OWN_CLOUD = 'rackward'

/** `--server` (http, https, or unix:/path of a socket), then the environment (RACKWARD_*, then OpenStack's OS_*), then
 *  clouds.yaml, then this machine's own conductor, then 127.0.0.1. */
export async function findPlace(options: ServerOptions, env: Env): Promise<Place> {
  const cloudName = options.cloud ?? (env.OS_CLOUD === '' ? undefined : env.OS_CLOUD)
  const said = [options.server, env.RACKWARD_SERVER, env.RACKWARD_USER, env.OS_ENDPOINT, env.OS_USERNAME].some(Boolean)
  const cloud = cloudName !== undefined ? await readCloud(cloudName, env) : said ? {} : await readOwnCloud()
  const auth = (cloud.auth ?? {}) as Dict
  const pick = (...values: unknown[]) =>
    values.find((value): value is string => typeof value === 'string' && value !== '')
  const text =
    pick(
      options.server,
      env.RACKWARD_SERVER,
      env.OS_ENDPOINT,
      cloud.baremetal_endpoint_override,
      auth.endpoint,
      cloud.endpoint,
    ) ?? DEFAULT_URL
  const socketPath = /^unix:(?:\/\/)?(\/.+)$/.exec(text)?.[1]
  let url: URL
  try {
    url = new URL(socketPath === undefined ? text : 'http://localhost')
  } catch {
    throw new CliError('usage', `${JSON.stringify(text)} is no URL; give one such as ${DEFAULT_URL}`)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CliError('usage', `${text}: only http, https and unix:/path are spoken`)
  const user = pick(env.RACKWARD_USER, env.OS_USERNAME, auth.username)
  const password = pick(env.RACKWARD_PASSWORD, env.OS_PASSWORD, auth.password)
  const caFile = pick(env.RACKWARD_CACERT, env.OS_CACERT, cloud.cacert)
  const ca =
    caFile === undefined
      ? undefined
      : await readFile(caFile).catch((error: Error) =>
          Promise.reject(new CliError('usage', `cannot read ${caFile}: ${error.message}`)),
        )
  return {
    url,
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(user ? { user } : {}),
    ...(password ? { password } : {}),
    ...(ca ? { ca } : {}),
  }
}

async function readOwnCloud(): Promise<Dict> {
  const text = await readFile(OWN_CLOUDS, 'utf8').catch(() => undefined)
  if (text === undefined) return {}
  const { parse } = await import('./yaml.ts')
  return (parse(text) as { clouds?: Record<string, Dict> } | null)?.clouds?.[OWN_CLOUD] ?? {}
}

/** Where OpenStack's clients look: the working directory, ~/.config/openstack, /etc/openstack; and the package's
 *  own. */
async function readCloud(name: string, env: Env): Promise<Dict> {
  const { parse } = await import('./yaml.ts')
  const files = [
    env.OS_CLIENT_CONFIG_FILE,
    'clouds.yaml',
    join(homedir(), '.config/openstack/clouds.yaml'),
    '/etc/openstack/clouds.yaml',
    OWN_CLOUDS,
  ]
  for (const file of files) {
    const text = file === undefined ? undefined : await readFile(file, 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const found = ((parse(text) as { clouds?: Record<string, Dict> } | null)?.clouds ?? {})[name]
    if (found) return found
  }
  throw new CliError('usage', `no clouds.yaml has the cloud ${name}; looked in ${files.filter(Boolean).join(', ')}`)
}

export interface Api {
  readonly place: Place
  /** Answers the body. Throws `CliError` with the server's own words. */
  ask(method: string, path: string, body?: unknown): Promise<any>
  /** Streams what the server sends, line by line, until it ends or `signal` does. */
  lines(path: string, take: (line: string) => void, signal: AbortSignal): Promise<void>
}

export function openApi(place: Place): Api {
  const headers: Record<string, string> = {
    'OpenStack-API-Version': `baremetal ${VERSION}`,
    ...(place.user === undefined
      ? {}
      : { authorization: `Basic ${Buffer.from(`${place.user}:${place.password ?? ''}`).toString('base64')}` }),
  }
  const start = (method: string, path: string, more: Record<string, string>) => {
    const call = place.url.protocol === 'https:' ? httpsRequest : httpRequest
    return call(urlOf(place, path), {
      method,
      headers: { ...headers, ...more },
      timeout: TIMEOUT_MS,
      ...(place.ca ? { ca: place.ca } : {}),
      ...(place.socketPath ? { socketPath: place.socketPath } : {}),
    })
  }
  const unreachable = (error: Error) =>
    new CliError(
      'unreachable',
      `${whereOf(place)} cannot be reached: ${error.message || (error as NodeJS.ErrnoException).code} (--server or RACKWARD_SERVER names another)`,
    )
  return {
    place,
    ask(method, path, body) {
      return new Promise((resolve, reject) => {
        const text = body === undefined ? undefined : JSON.stringify(body)
        const ask = start(
          method,
          path,
          text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) },
        )
        ask.on('response', (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', (error) => reject(unreachable(error)))
          response.on('end', () => {
            const said = parseAnswer(Buffer.concat(chunks).toString())
            const status = response.statusCode ?? 0
            if (status >= 200 && status < 300) resolve(said)
            else reject(refusal(status, said))
          })
        })
        ask.on('timeout', () => ask.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)))
        ask.on('error', (error) => reject(unreachable(error)))
        ask.end(text)
      })
    },
    lines(path, take, signal) {
      return new Promise((resolve, reject) => {
        const ask = start('GET', path, { accept: 'text/event-stream' })
        signal.addEventListener('abort', () => ask.destroy(), { once: true })
        ask.setTimeout(0)
        ask.on('response', (response) => {
          if (response.statusCode !== 200) {
            response.resume()
            return reject(refusal(response.statusCode ?? 0, undefined))
          }
          let rest = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            const all = (rest + chunk).split('\n')
            rest = all.pop() ?? ''
            all.forEach(take)
          })
          response.on('close', () => resolve())
          response.on('error', () => resolve())
        })
        ask.on('error', (error) => (signal.aborted ? resolve() : reject(unreachable(error))))
        ask.end()
      })
    },
  }
}

export const whereOf = ({ url, socketPath }: Place): string => socketPath ?? url.origin

/** The API may stand below a path, and its URL may be given with /v1. */
export const urlOf = ({ url }: Place, path: string): URL =>
  new URL(`${url.pathname.replace(/\/(v1\/?)?$/, '')}${path}`, url)

/** The text where it is no JSON. */
export const parseAnswer = (text: string): unknown => (text === '' ? undefined : parsedOr(text, text))

/** What a status and a body that say no mean for somebody at a shell. */
export function refusal(status: number, answer: unknown): CliError {
  const body = (answer ?? {}) as { error_message?: string; error?: { message?: string }; troubles?: string[] }
  const inner = parseAnswer(body.error_message ?? '') as { faultstring?: string } | undefined
  const words =
    inner?.faultstring ?? body.error?.message ?? body.troubles?.join('; ') ?? `the server answered ${status}`
  const plain = said(words)
  if (status === 401)
    return new CliError(
      'denied',
      `${plain} (set RACKWARD_USER and RACKWARD_PASSWORD, or name a cloud of clouds.yaml with --cloud)`,
      status,
    )
  if (status === 403) return new CliError('denied', plain, status)
  if (status === 404) return new CliError('missing', plain, status)
  return new CliError(status < 500 ? 'refused' : 'failed', plain, status)
}
