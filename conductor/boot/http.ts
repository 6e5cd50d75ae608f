/** HTTP for everything after the first loader: the script of the moment, kernel and ramdisk, image pieces. Read only; nothing here is secret
 *  but the boot token in a script, which only the node's own leased address gets. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { basename, dirname } from 'node:path'
import send from 'send'

export interface BootFiles {
  /** The script for a MAC asked for from an address; undefined: refuse. */
  script(mac: string, fromIp: string): string | undefined
  /** A path that may be served, with what to call it when it has been. */
  file(url: string): string | undefined
  fetched(url: string, fromIp: string): void
}

const SCRIPT = /^\/boot\/([0-9a-f]{2}(?:-[0-9a-f]{2}){5})\/script\.ipxe$/

export function bootHttp(files: BootFiles): Server {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    const fromIp = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405)
    const mac = SCRIPT.exec(path)?.[1]
    if (mac) return answerScript(files, response, { mac: mac.replaceAll('-', ':'), fromIp })
    const file = files.file(path)
    if (!file) return refuse(response, 404)
    return answerFile(files, { request, response, path, file, fromIp })
  })
  // iPXE and firmware keep connections open between kernel and ramdisk.
  server.keepAliveTimeout = 30_000
  server.maxRequestsPerSocket = 0
  return server
}

function answerScript(files: BootFiles, response: ServerResponse, at: { mac: string; fromIp: string }): void {
  const script = files.script(at.mac, at.fromIp)
  if (script === undefined) return refuse(response, 403)
  response.writeHead(200, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(script), 'cache-control': 'no-store' }).end(script)
}

function answerFile(files: BootFiles, at: { request: IncomingMessage; response: ServerResponse; path: string; file: string; fromIp: string }): void {
  at.response.on('finish', () => {
    if (at.response.statusCode < 300) files.fetched(at.path, at.fromIp)
  })
  send(at.request, encodeURIComponent(basename(at.file)), { root: dirname(at.file), dotfiles: 'deny', etag: false, lastModified: false, index: false })
    .on('error', (error: { status?: number }) => refuse(at.response, error.status ?? 500))
    .pipe(at.response)
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`)
}
