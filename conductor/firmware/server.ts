/** Serves firmware to BMCs over plain HTTP: those files alone that an update names at this moment, each at a path with its checksum. */
import { createServer, type Server } from 'node:http'
import { basename, dirname } from 'node:path'
import send from 'send'
import { httpOptions, limitConnections } from '../../kit/connection-limits.ts'

export interface FirmwareServerParts {
  readonly listen: { readonly address: string; readonly port: number }
  readonly connections: number
  readonly onRefused: () => void
}

const IDLE_MS = 60_000
const HEADERS_BYTES = 8 * 1024

export class FirmwareServer {
  private readonly parts: FirmwareServerParts
  private readonly files = new Map<string, string>()
  private server: Server | undefined
  private port: number

  constructor(parts: FirmwareServerParts) {
    this.parts = parts
    this.port = parts.listen.port
  }

  /** The URL of a file from now on; a restarted conductor offers it again when it looks at the update. */
  offer(id: string, file: string, name: string): string {
    const path = `/firmware/${id}/${encodeURIComponent(name)}`
    this.files.set(path, file)
    return `http://${this.parts.listen.address}:${this.port}${path}`
  }

  async open(): Promise<void> {
    const { listen, connections, onRefused } = this.parts
    const options = httpOptions({ headersBytes: HEADERS_BYTES, requestMs: IDLE_MS, idleMs: IDLE_MS })
    const server = createServer(options, (request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      const file = this.files.get(path)
      const isRead = request.method === 'GET' || request.method === 'HEAD'
      if (!file || !isRead) return void response.writeHead(isRead ? 404 : 405).end()
      send(request, encodeURIComponent(basename(file)), { root: dirname(file), dotfiles: 'deny', index: false })
        .on('error', (error: { status?: number }) => response.writeHead(error.status ?? 500).end())
        .pipe(response)
    })
    server.setTimeout(IDLE_MS)
    limitConnections(server, { all: connections, perAddress: connections }, onRefused)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(listen.port, listen.address, resolve)
    })
    const at = server.address()
    this.port = typeof at === 'object' && at !== null ? at.port : listen.port
    this.server = server
  }

  async close(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (!server) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
}
