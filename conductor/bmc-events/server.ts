/** Takes the events that BMCs push, over HTTPS: the path is unguessable and says which node it is; what stands in the
 *  body is never read. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { Clock } from '../../kit/clock.ts'
import { httpOptions, limitConnections } from '../../kit/connection-limits.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import { listen, urlOf } from '../../kit/listen.ts'
import type { TlsFiles } from '../api/tls.ts'

export interface EventServerParts {
  readonly at: { readonly address: string; readonly port: number }
  readonly tls: TlsFiles
  /** An event for a node with what its path holds. False: there is no such path. */
  readonly onEvent: (uuid: string, secret: string) => boolean
  readonly clock: Clock
  readonly limits: { readonly eventBytes: number; readonly eventsPerSecond: number; readonly eventConnections: number }
  readonly onLimit: OnLimit
}

const PATH = /^\/bmc-events\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/([0-9a-f]{64})$/
const HEADERS_BYTES = 8 * 1024
const REQUEST_MS = 10_000
const IDLE_MS = 30_000
const HANDSHAKE_MS = 10_000
/** A BMC needs one; several may share an address. */
const PER_ADDRESS = 16
const WINDOW_MS = 1_000

export class EventServer {
  private readonly parts: EventServerParts
  private readonly server: Server
  /** Events of a node within the present second. */
  private readonly counts = new Map<string, number>()
  private windowMs = 0

  constructor(parts: EventServerParts) {
    this.parts = parts
    const options = httpOptions({ headersBytes: HEADERS_BYTES, requestMs: REQUEST_MS, idleMs: IDLE_MS })
    this.server = createServer(
      // BMCs in the field speak no later version than 1.2.
      { ...options, ...parts.tls, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS },
      (request, response) => this.take(request, response),
    )
    this.server.setTimeout(IDLE_MS)
    const limits = { all: parts.limits.eventConnections, perAddress: PER_ADDRESS }
    limitConnections(this.server, limits, (_, address) => parts.onLimit('bmc.eventConnections', { address }))
  }

  /** Answers where it listens. */
  async open(): Promise<string> {
    const { address, port } = this.parts.at
    return urlOf(await listen(this.server, { host: address, port }), 'https')
  }

  close(): void {
    this.server.close()
    this.server.closeAllConnections()
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    const [, uuid, secret] = PATH.exec(request.url ?? '') ?? []
    if (request.method !== 'POST' || !uuid || !secret || !this.parts.onEvent(uuid, secret)) return end(response, 404)
    let sizeBytes = 0
    request.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes <= this.parts.limits.eventBytes) return
      this.parts.onLimit('bmc.eventBytes', { node: uuid })
      request.removeAllListeners('data').pause()
      end(response, 413)
    })
    request.on('end', () => this.answer(uuid, response))
    request.on('error', () => undefined)
  }

  /** A BMC that sends too many gets its answers a second later, on the few connections that it may have. */
  private answer(uuid: string, response: ServerResponse): void {
    const { clock, limits, onLimit } = this.parts
    const nowMs = clock.now()
    if (nowMs < this.windowMs || nowMs - this.windowMs >= WINDOW_MS) {
      this.windowMs = nowMs
      this.counts.clear()
    }
    const count = (this.counts.get(uuid) ?? 0) + 1
    this.counts.set(uuid, count)
    if (count <= limits.eventsPerSecond) return void response.writeHead(204).end()
    onLimit('bmc.eventsPerSecond', { node: uuid })
    const cancel = clock.after(WINDOW_MS, () => void response.writeHead(204).end())
    response.once('close', cancel)
  }
}

const end = (response: ServerResponse, status: number): void => {
  if (!response.headersSent) response.writeHead(status, { connection: 'close' }).end()
}
