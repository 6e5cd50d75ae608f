/** The port that agents call: HTTP/2 over TLS, seven calls, JSON in and out. Nothing is read before the session is
 *  proven but the small request for one, and a connection that proves none ends. */
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { gather } from '../../kit/gather.ts'
import type { Log } from '../../kit/log.ts'
import { requestTarget } from '../../kit/request-target.ts'
import { ORDER_POLL_MS, Report, SessionRequest } from '../api/agent-wire.ts'
import { SwarmCall } from '../api/swarm-wire.ts'
import { TpmCall } from '../api/tpm-wire.ts'
import { limitConnections } from '../../kit/connection-limits.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import type { Sign } from '../boot/signs.ts'
import type { Limits } from '../limits.ts'
import type { Identity } from './certificate.ts'
import type { AgentService } from './service.ts'

export interface AgentServerParts {
  readonly service: AgentService
  readonly identity: Identity
  readonly limits: Limits['agents']
  readonly onLimit: OnLimit
  readonly clock: Clock
  readonly log: Log
  /** Throws `store.doubt` while nothing may be ordered. */
  readonly mayAct?: () => void
  /** What comes from an address beside its calls. */
  readonly onSign: (address: string, sign: Sign, detail: string) => void
}

const MAX_HEADERS_BYTES = 16 * 1024
const STATUS: Record<string, number> = {
  'agent.token': 401,
  'agent.session': 401,
  'store.stale': 409,
  // The agent reports again.
  'store.moved': 503,
  'object.missing': 404,
  'node.state': 409,
  // The agent asks again.
  'node.locked': 503,
  'store.doubt': 503,
  'input.invalid': 400,
  'input.large': 413,
}

export function agentServer(parts: AgentServerParts): Http2SecureServer {
  const { identity, limits, onLimit, clock, onSign } = parts
  const server = createSecureServer({
    key: identity.key,
    cert: identity.cert,
    minVersion: 'TLSv1.3',
    handshakeTimeout: limits.bodySeconds * 1000,
    unknownProtocolTimeout: limits.bodySeconds * 1000,
    settings: { maxConcurrentStreams: limits.streams, maxHeaderListSize: MAX_HEADERS_BYTES },
  })
  limitConnections(server, { all: limits.connections, perAddress: limits.connectionsPerAddress }, (which, address) =>
    onLimit(which === 'all' ? 'agents.connections' : 'agents.connectionsPerAddress', { address }),
  )
  const proven = new WeakSet<ServerHttp2Session>()
  server.on('connection', (socket: Socket) => onSign(addressOf(socket), 'agent-call', ''))
  server.on('session', (session: ServerHttp2Session) => {
    const address = addressOf(session.socket)
    let asked = false
    session.once('stream', () => (asked = true))
    session.once('close', () => asked || onSign(address, 'agent-left', ''))
    session.on('error', () => undefined)
    session.setTimeout(limits.idleSeconds * 1000, () => session.destroy())
    // Twice the time of a body: a request for a session that arrived in time has been answered by then.
    const cancel = clock.after(limits.bodySeconds * 2000, () => proven.has(session) || session.destroy())
    session.once('close', cancel)
  })
  server.on('sessionError', () => undefined)
  server.on('tlsClientError', () => undefined)
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    const prove = () => void (stream.session && proven.add(stream.session as ServerHttp2Session))
    answer({ stream, headers, prove }, parts).catch((error: unknown) => refuse(stream, error, parts))
  })
  return server
}

const addressOf = ({ remoteAddress }: Pick<Socket, 'remoteAddress'>): string =>
  (remoteAddress ?? '').replace(/^::ffff:/, '')

interface AgentCall {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders
  /** The caller has a session, or just got one. */
  readonly prove: () => void
}

async function answer({ stream, headers, prove }: AgentCall, parts: AgentServerParts): Promise<void> {
  const { service, mayAct } = parts
  mayAct?.()
  const { path, query } = requestTarget(headers[':path'])
  const session = String(headers.authorization ?? '').replace(/^Bearer /, '')
  const proved = async () => {
    await service.node(session)
    prove()
  }
  switch (`${String(headers[':method'])} ${path}`) {
    case 'POST /agent/v1/session': {
      const request = await body(stream, { schema: SessionRequest, limit: 'sessionBodyBytes' }, parts)
      const address = stream.session ? addressOf(stream.session.socket) : ''
      const grant = await service.open(request, address).catch((error: unknown) => {
        if (isFault(error)) parts.onSign(address, 'agent-refused', error.detail)
        throw error
      })
      prove()
      return reply(stream, 200, grant)
    }
    case 'GET /agent/v1/order': {
      await proved()
      const abort = new AbortController()
      stream.once('close', () => abort.abort())
      if (stream.closed) abort.abort()
      return reply(stream, 200, {
        order: await service.order(session, {
          have: query.get('have') ?? '',
          pollMs: ORDER_POLL_MS,
          signal: abort.signal,
        }),
      })
    }
    case 'POST /agent/v1/report':
      await proved()
      await service.report(session, await body(stream, { schema: Report, limit: 'reportBodyBytes' }, parts))
      return reply(stream, 200, {})
    case 'POST /agent/v1/swarm': {
      await proved()
      const call = await body(stream, { schema: SwarmCall, limit: 'sessionBodyBytes' }, parts)
      return reply(stream, 200, await service.swarm(session, call, stream.session?.socket.remoteAddress ?? ''))
    }
    case 'POST /agent/v1/tpm':
      await proved()
      return reply(
        stream,
        200,
        await service.tpm(session, await body(stream, { schema: TpmCall, limit: 'tpmBodyBytes' }, parts)),
      )
    case 'GET /agent/v1/image':
      await proved()
      return reply(stream, 200, await service.imageIndex(session))
    case 'GET /agent/v1/configdrive':
      await proved()
      return reply(stream, 200, await service.configDrive(session))
    default:
      return reply(stream, 404, { error: 'no such call' })
  }
}

function refuse(stream: ServerHttp2Stream, error: unknown, { log }: AgentServerParts): void {
  // Who left is not answered, and has nothing to be logged for.
  if (stream.destroyed) return
  // The rest of a body that is not wanted is not waited for.
  stream.once('finish', () => stream.close(constants.NGHTTP2_NO_ERROR))
  if (isFault(error))
    return reply(stream, STATUS[error.code] ?? (error.code.startsWith('tpm.') ? 403 : 500), {
      code: error.code,
      error: error.detail,
    })
  log.error({ err: error }, 'a call of an agent failed')
  reply(stream, 500, { code: 'agent.broken', error: 'internal error' })
}

function reply(stream: ServerHttp2Stream, status: number, value: unknown): void {
  if (stream.destroyed || stream.headersSent) return
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  stream.respond({
    ':status': status,
    'content-type': Buffer.isBuffer(value) ? 'application/octet-stream' : 'application/json',
    'content-length': bytes.length,
  })
  stream.end(bytes)
}

async function body<T>(
  stream: ServerHttp2Stream,
  wanted: { schema: { parse(value: unknown): T }; limit: 'sessionBodyBytes' | 'reportBodyBytes' | 'tpmBodyBytes' },
  { clock, limits, onLimit }: AgentServerParts,
): Promise<T> {
  const cancel = clock.after(limits.bodySeconds * 1000, () => {
    onLimit('agents.bodySeconds')
    stream.close(constants.NGHTTP2_CANCEL)
  })
  const bytes = await gather(stream, limits[wanted.limit])
    .catch((error: unknown) => {
      if (isFault(error, 'input.large')) onLimit(`agents.${wanted.limit}`)
      throw error
    })
    .finally(cancel)
  try {
    return wanted.schema.parse(JSON.parse(bytes.toString('utf8')))
  } catch (error) {
    throw new Fault('input.invalid', `the body is not what this call takes: ${(error as Error).message.slice(0, 500)}`)
  }
}
