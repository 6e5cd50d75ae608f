/** Connections of a listener: how many in all and per address, and how long one may take for its request or its answer.
 *  A newcomer is let in at the cost of the address that has the most, so that one source cannot keep the others out. */
import type { Server as HttpServer, IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { Server, Socket } from 'node:net'
import { sourceOf } from '../kit/addresses.ts'

export interface ConnectionLimits {
  readonly all: number
  /** Not for unix sockets. */
  readonly perAddress: number
}

export type OnRefused = (which: 'all' | 'perAddress', address: string) => void

const CHECK_EVERY_MS = 5_000
/** A client sends its headers at once; who takes longer holds a connection for nothing. */
const MAX_HEADERS_MS = 20_000

/** Works on any server of node: TCP, TLS, HTTP, HTTP/2. Call it before the server listens. */
export function limitConnections(server: Server, limits: ConnectionLimits, onRefused: OnRefused): void {
  const open = new Map<string, Set<Socket>>()
  let count = 0
  const handlers = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress === undefined ? undefined : sourceOf(socket.remoteAddress)
    const own = open.get(address ?? '') ?? new Set()
    const refused = address !== undefined && own.size >= limits.perAddress ? 'perAddress' : count >= limits.all && !makeRoom(own.size) ? 'all' : undefined
    if (refused) {
      onRefused(refused, address ?? 'unix socket')
      return void socket.destroy()
    }
    count += 1
    open.set(address ?? '', own.add(socket))
    socket.once('close', () => {
      count -= 1
      own.delete(socket)
      if (own.size === 0 && open.get(address ?? '') === own) open.delete(address ?? '')
    })
    for (const handle of handlers) handle.call(server, socket)
  })

  /** Ends the oldest connection of the address that has the most, if that is fair to it. */
  function makeRoom(newcomerHas: number): boolean {
    let [most, heaviest] = [newcomerHas + 1, undefined as Set<Socket> | undefined]
    for (const sockets of open.values()) if (sockets.size > most) [most, heaviest] = [sockets.size, sockets]
    const oldest = heaviest?.values().next().value
    if (!oldest) return false
    onRefused('all', sourceOf(oldest.remoteAddress ?? ''))
    heaviest?.delete(oldest)
    oldest.destroy()
    return true
  }
}

/** Options for the server to be created with. */
export const httpOptions = (limits: { headersBytes: number; requestMs: number; idleMs: number }): ServerOptions => ({
  maxHeaderSize: limits.headersBytes,
  requestTimeout: limits.requestMs,
  headersTimeout: Math.min(limits.requestMs, MAX_HEADERS_MS),
  keepAliveTimeout: limits.idleMs,
  connectionsCheckingInterval: CHECK_EVERY_MS,
})

/** Ends connections whose client does not read its answer for `idleMs`. An answer that is not there yet may take its time. */
export function limitSlowReaders(server: HttpServer, idleMs: number): void {
  const answering = new WeakMap<Socket, number>()
  const more = (socket: Socket, by: number) => answering.set(socket, (answering.get(socket) ?? 0) + by)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    more(request.socket, 1)
    response.once('close', () => more(request.socket, -1))
  })
  server.setTimeout(idleMs, (socket: Socket) => {
    if (!answering.get(socket) || socket.writableLength > 0) socket.destroy()
  })
}

/** The part of `wanted` that a listener gets when all listeners together may use half of the open files that the process may have. */
export const shareOf = (wanted: number, among: { wanted: number; openFiles: number }): number =>
  Math.max(1, Math.floor(wanted * Math.min(1, among.openFiles / 2 / among.wanted)))
