/** Connections of a listener: how many in all and per address, and how long one may take for its request or its answer.
 *  A newcomer is let in at the cost of connections that have asked for nothing yet, those of the address that has most
 *  of them first, so that neither one source nor many keep out clients that do their work. */
import { Server as HttpServer, type IncomingMessage, type ServerOptions, type ServerResponse } from 'node:http'
import { Server as HttpsServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import { sourceOf } from './addresses.ts'

export interface ConnectionLimits {
  readonly all: number
  /** Not for unix sockets. */
  readonly perAddress: number
}

export type OnRefused = (which: 'all' | 'perAddress', address: string) => void

const CHECK_EVERY_MS = 5_000
/** Below this part of all places, connections that have asked for nothing are not what fills them. */
const SILENT_SHARE = 0.1
/** A client sends its headers at once; who takes longer holds a connection for nothing. */
const MAX_HEADERS_MS = 20_000

/** Works on any server of node: TCP, TLS, HTTP, HTTP/2. Call it before the server listens. */
export function limitConnections(server: Server, limits: ConnectionLimits, onRefused: OnRefused): void {
  const open = new Groups()
  /** Those that have sent no whole request yet. */
  const silent = new Groups()
  /** Ends the oldest connection of the address that has the most of those that count, if that is fair to it. */
  function makeRoom(newcomer: string): boolean {
    // Who asks at once is silent for milliseconds: the oldest of many silent ones is hardly one of those.
    const oldest =
      silent.size > limits.all * SILENT_SHARE
        ? silent.oldestOfMost(silent.of(newcomer))
        : open.oldestOfMost(open.of(newcomer) + 1)
    if (!oldest) return false
    const address = sourceOf(oldest.remoteAddress ?? '')
    onRefused('all', address)
    for (const each of [open, silent]) each.remove(address, oldest)
    oldest.destroy()
    return true
  }

  const handlers = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress === undefined ? '' : sourceOf(socket.remoteAddress)
    const isFull = address !== '' && open.of(address) >= limits.perAddress
    const refused = isFull ? 'perAddress' : open.size >= limits.all && !makeRoom(address) ? 'all' : undefined
    if (refused) {
      onRefused(refused, address || 'unix socket')
      return void socket.destroy()
    }
    for (const groups of [open, silent]) groups.add(address, socket)
    socket.once('close', () => {
      for (const groups of [open, silent]) groups.remove(address, socket)
    })
    for (const handle of handlers) handle.call(server, socket)
  })
  // Of HTTP/2 each connection counts as silent: a listener for requests would change how its streams are handled.
  if (!(server instanceof HttpServer) && !(server instanceof HttpsServer)) return
  // The socket of a request over TLS wraps the one of the connection: both have the same other end.
  server.on('request', ({ socket }: { socket?: Socket }) => {
    if (socket?.remoteAddress !== undefined)
      silent.removeBy(sourceOf(socket.remoteAddress), (one) => one.remotePort === socket.remotePort)
  })
}

/** Sockets by the address of their other end, the oldest first. */
class Groups {
  private readonly sockets = new Map<string, Set<Socket>>()
  size = 0

  of = (address: string): number => this.sockets.get(address)?.size ?? 0

  add(address: string, socket: Socket): void {
    const own = this.sockets.get(address) ?? new Set()
    this.sockets.set(address, own.add(socket))
    this.size += 1
  }

  remove(address: string, socket: Socket): void {
    const own = this.sockets.get(address)
    if (!own?.delete(socket)) return
    this.size -= 1
    if (own.size === 0) this.sockets.delete(address)
  }

  removeBy(address: string, is: (socket: Socket) => boolean): void {
    for (const socket of this.sockets.get(address) ?? []) if (is(socket)) return this.remove(address, socket)
  }

  /** Undefined when no address has more than `least`. */
  oldestOfMost(least: number): Socket | undefined {
    let [most, heaviest] = [least, undefined as Set<Socket> | undefined]
    for (const sockets of this.sockets.values()) if (sockets.size > most) [most, heaviest] = [sockets.size, sockets]
    return heaviest?.values().next().value
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

/** Ends connections whose client does not read its answer for `idleMs`. An answer that is not there yet may take its
 *  time. */
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

/** Ends a connection that has sent more requests than `most` without waiting for their answers: each takes memory. Also
 *  says of each answer that its connection ended, which Node.js does for the first one alone. Call it when the listener
 *  is there. */
export function limitPipelining(server: HttpServer, most: number): void {
  const waiting = new WeakMap<Socket, Set<ServerResponse>>()
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const open = waiting.get(socket) ?? new Set()
    if (open.size >= most) socket.destroy()
    // What arrived in one packet is read to its end.
    if (socket.destroyed) return
    if (!waiting.has(socket)) socket.once('close', () => endAll(open))
    waiting.set(socket, open.add(response))
    response.once('close', () => open.delete(response))
    for (const handle of handlers) handle.call(server, request, response)
  })
}

function endAll(answers: Set<ServerResponse>): void {
  for (const answer of answers) {
    answer.destroy()
    answer.emit('close')
  }
}

/** The part of `wanted` that a listener gets when all listeners together may use half of the open files that the
 *  process may have. */
export const shareOf = (wanted: number, among: { wanted: number; openFiles: number }): number =>
  Math.max(1, Math.floor(wanted * Math.min(1, among.openFiles / 2 / among.wanted)))
