/** The TLS port that boot rooms dial. Who shows no certificate of a room is refused before anything else is read of
 *  it. */
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { certificatePin, type Identity } from '../../agents/certificate.ts'
import type { Clock } from '../../../kit/clock.ts'
import { httpOptions, limitConnections } from '../../../kit/connection-limits.ts'
import { asFault, Fault } from '../../../kit/fault.ts'
import type { Log } from '../../../kit/log.ts'
import type { RoomRecord, RoomRecords } from './records.ts'
import { LINK_PATH, LINK_PROTOCOL } from './wire.ts'

export interface RoomServerParts {
  readonly identity: Identity
  readonly records: Pick<RoomRecords, 'all'>
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
  readonly onLink: (room: RoomRecord, socket: Socket) => void
  readonly onFile: (room: RoomRecord, request: IncomingMessage, response: ServerResponse) => Promise<void>
}

const HANDSHAKE_MS = 10_000
const HEADERS_BYTES = 8 * 1024
const IDLE_MS = 120_000
/** A room has one connection for its orders, and some for what it fetches. */
const CONNECTIONS = { all: 4_000, perAddress: 64 }
const STATUS: Readonly<Record<string, number>> = { 'room.unknown': 403, 'room.expired': 403, 'object.missing': 404 }

export function roomServer(parts: RoomServerParts): Server {
  const { identity } = parts
  const server = createServer({
    ...httpOptions({ headersBytes: HEADERS_BYTES, requestMs: IDLE_MS, idleMs: IDLE_MS }),
    key: identity.key,
    cert: identity.cert,
    minVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_MS,
    // There is no authority: the store knows each certificate.
    requestCert: true,
    rejectUnauthorized: false,
  })
  limitConnections(server, CONNECTIONS, () => undefined)
  server.on('tlsClientError', () => undefined)
  server.on('request', (request, response) => {
    const refuse = (error: unknown) => {
      const fault = asFault(error, 'store.broken')
      if (response.headersSent) return void response.destroy()
      response
        .writeHead(STATUS[fault.code] ?? 503, { 'content-type': 'application/json' })
        .end(JSON.stringify({ code: fault.code, error: fault.detail }))
    }
    roomOfSocket(parts, request)
      .then((room) => parts.onFile(room, request, response))
      .catch(refuse)
  })
  server.on('upgrade', (request, socket: Socket) => {
    socket.on('error', () => undefined)
    link(parts, request, socket).catch((error: unknown) => {
      const fault = asFault(error, 'store.broken')
      const body = JSON.stringify({ code: fault.code, error: fault.detail })
      const status = STATUS[fault.code] ?? 503
      const head = `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nConnection: close\r\n`
      socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    })
  })
  return server
}

async function link(parts: RoomServerParts, request: IncomingMessage, socket: Socket): Promise<void> {
  const room = await roomOfSocket(parts, request)
  if (request.url !== LINK_PATH || request.headers.upgrade !== LINK_PROTOCOL)
    throw new Fault('object.missing', `only ${LINK_PATH} is there`)
  socket.setTimeout(0)
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LINK_PROTOCOL}\r\n\r\n`)
  parts.onLink(room, socket)
}

/** Throws `room.unknown` or `room.expired`. Whether it has the key of its certificate, TLS has asked. */
async function roomOfSocket(parts: RoomServerParts, request: IncomingMessage): Promise<RoomRecord> {
  const socket = request.socket as TLSSocket
  const certificate = socket.getPeerX509Certificate()
  const from = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  const refuse = (code: 'room.unknown' | 'room.expired', why: string): Fault => {
    parts.log.warn({ from }, why)
    return new Fault(code, why)
  }
  if (!certificate) throw refuse('room.unknown', 'the boot room shows no certificate')
  const pin = certificatePin(certificate.toString())
  const room = (await parts.records.all()).find(({ certificates }) => certificates.some((one) => one.pin === pin))
  if (!room) throw refuse('room.unknown', 'the certificate is of no boot room that this conductor knows')
  const { expiresAtMs = 0 } = room.certificates.find((one) => one.pin === pin) ?? {}
  if (parts.clock.now() >= expiresAtMs)
    throw refuse('room.expired', `the certificate of the boot room ${room.name} has expired`)
  const asked = request.headers['x-rackward-room']
  if (asked !== undefined && asked !== room.name)
    throw refuse('room.unknown', `the certificate is of the boot room ${room.name}, and of no other`)
  return { ...room, certificates: room.certificates.filter((one) => one.pin === pin) }
}
