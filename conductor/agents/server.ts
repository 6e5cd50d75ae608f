/** The agents' door: HTTP/2 over TLS. Five calls, JSON in and out, bodies capped. */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import { isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { ORDER_POLL_MS, Report, SessionAsk } from '../api/agent-wire.ts'
import type { Identity } from './certificate.ts'
import type { AgentService } from './service.ts'

/** An inventory of a server with hundreds of disks stays far below. */
const MAX_BODY_BYTES = 1024 * 1024
const STATUS: Record<string, number> = {
  'agent.token': 401,
  'agent.session': 401,
  'store.stale': 409,
  'object.missing': 404,
  'node.state': 409,
  // The agent asks again.
  'node.locked': 503,
  'input.invalid': 400,
}

export function agentServer(service: AgentService, identity: Identity, log: Log): Http2SecureServer {
  const server = createSecureServer({ key: identity.key, cert: identity.cert, minVersion: 'TLSv1.3' })
  server.on('session', (session: ServerHttp2Session) => session.on('error', () => undefined))
  server.on('sessionError', () => undefined)
  server.on('tlsClientError', () => undefined)
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined)
    answer(service, stream, headers).catch((error: unknown) => {
      if (!isFault(error)) log.error({ err: error }, 'an agent call broke')
      const status = isFault(error) ? (STATUS[error.code] ?? 500) : error instanceof BadBody ? 400 : 500
      reply(stream, status, {
        code: isFault(error) ? error.code : 'agent.broken',
        error: isFault(error) ? error.detail : error instanceof BadBody ? error.message : 'internal error',
      })
    })
  })
  return server
}

class BadBody extends Error {}

async function answer(service: AgentService, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  const url = new URL(String(headers[':path'] ?? '/'), 'https://conductor')
  const route = `${String(headers[':method'])} ${url.pathname}`
  const session = String(headers.authorization ?? '').replace(/^Bearer /, '')
  switch (route) {
    case 'POST /agent/v1/session':
      return reply(stream, 200, await service.open(await body(stream, SessionAsk)))
    case 'GET /agent/v1/order': {
      const abort = new AbortController()
      stream.once('close', () => abort.abort())
      const order = await service.order(session, { have: url.searchParams.get('have') ?? '', pollMs: ORDER_POLL_MS, signal: abort.signal })
      return reply(stream, 200, { order })
    }
    case 'POST /agent/v1/report':
      await service.report(session, await body(stream, Report))
      return reply(stream, 200, {})
    case 'GET /agent/v1/image':
      return reply(stream, 200, await service.imageIndex(session))
    case 'GET /agent/v1/configdrive':
      return reply(stream, 200, await service.configDrive(session))
    default:
      return reply(stream, 404, { error: 'no such call' })
  }
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

async function body<T>(stream: ServerHttp2Stream, schema: { parse(value: unknown): T }): Promise<T> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    size += (chunk as Buffer).length
    if (size > MAX_BODY_BYTES) throw new BadBody('the body is too large')
    chunks.push(chunk as Buffer)
  }
  try {
    return schema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')))
  } catch (error) {
    throw new BadBody(`the body is not what this call takes: ${(error as Error).message.slice(0, 500)}`)
  }
}
