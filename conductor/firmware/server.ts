/** Serves firmware to BMCs over plain HTTP: those files alone that an update names at this moment, each at a path with
 *  its checksum. */
import { createServer, type Server } from 'node:http'
import { basename, dirname } from 'node:path'
import send from 'send'
import type { Clock } from '../../kit/clock.ts'
import { httpOptions, limitConnections } from '../../kit/connection-limits.ts'
import { closed, listen, urlOf } from '../../kit/listen.ts'

export interface FirmwareServerParts {
  readonly listen: { readonly address: string; readonly port: number }
  readonly connections: number
  readonly clock: Clock
  readonly onRefused: () => void
}

const IDLE_MS = 60_000
const HEADERS_BYTES = 8 * 1024
/** An update offers its file again at each look, which comes far sooner. */
const OFFER_MS = 60 * 60_000

export class FirmwareServer {
  private readonly parts: FirmwareServerParts
  private readonly files = new Map<string, { readonly file: string; readonly untilMs: number }>()
  private server: Server | undefined

  constructor(parts: FirmwareServerParts) {
    this.parts = parts
  }

  /** The URL of a file for the next hour; a restarted conductor offers it again when it looks at the update. Throws
   *  when the server is not open. */
  offer(id: string, file: string, name: string): string {
    if (!this.server) throw new Error('the firmware server is not open')
    const nowMs = this.parts.clock.now()
    for (const [path, { untilMs }] of this.files) if (untilMs <= nowMs) this.files.delete(path)
    const path = `/firmware/${id}/${encodeURIComponent(name)}`
    this.files.set(path, { file, untilMs: nowMs + OFFER_MS })
    return `${urlOf(this.server)}${path}`
  }

  async open(): Promise<void> {
    const { listen: at, connections, clock, onRefused } = this.parts
    const options = httpOptions({ headersBytes: HEADERS_BYTES, requestMs: IDLE_MS, idleMs: IDLE_MS })
    const server = createServer(options, (request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      const offered = this.files.get(path)
      const isRead = request.method === 'GET' || request.method === 'HEAD'
      if (!isRead) return void response.writeHead(405).end()
      if (!offered || offered.untilMs <= clock.now()) return void response.writeHead(404).end()
      const { file } = offered
      send(request, encodeURIComponent(basename(file)), { root: dirname(file), dotfiles: 'deny', index: false })
        .on('error', (error: { status?: number }) => response.writeHead(error.status ?? 500).end())
        .pipe(response)
    })
    server.setTimeout(IDLE_MS)
    limitConnections(server, { all: connections, perAddress: connections }, onRefused)
    this.server = await listen(server, { port: at.port, host: at.address })
  }

  async close(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (server) await closed(server)
  }
}
