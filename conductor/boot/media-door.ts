/** Where BMCs fetch boot ISOs: at the HTTP server of the boot services, and at a listener of its own where `boot.media`
 *  has one, with TLS where it has a certificate. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { httpOptions, limitConnections, limitPipelining } from '../../kit/connection-limits.ts'
import { listen } from '../../kit/listen.ts'
import { bytesText } from '../../kit/text.ts'
import { givenTls } from '../api/tls.ts'
import type { Doors, ServiceParts } from './doors.ts'
import { bootHttpLimits, guarded, HEADERS_BYTES, MAX_PIPELINED } from './http.ts'
import { answerMedia, mediaNameOf } from './media-http.ts'
import { BootMedia } from './media.ts'
import { mediaArgs } from './render.ts'
import { SendMemory } from './send-file.ts'
import { mediaName } from './token.ts'

export interface MediaEvents {
  /** The image of a node was asked for, from time to time while it is read. */
  readonly onAsked: (nodeUuid: string, mac: string, detail: string) => void
  readonly onUnreadable: (nodeUuid: string, why: string) => void
}

export function bootMedia(parts: ServiceParts, { onAsked, onUnreadable }: MediaEvents): BootMedia {
  const { config, clock, tokenKey } = parts
  return new BootMedia({
    iso: config.boot.iso,
    clock,
    requestsPerImage: config.limits.boot.mediaRequests,
    nameOf: (boot) => mediaName(tokenKey, boot),
    argsOf: (nodeUuid, boot, mintedMs) => mediaArgs(parts, { nodeUuid, mintedMs }, boot),
    onUnreadable,
    onAsked: ({ nodeUuid, boot }, { requests, bytes }) =>
      onAsked(nodeUuid, boot.network.mac, `${bytesText(bytes)} in ${requests} requests`),
  })
}

export async function startMedia(doors: Doors): Promise<void> {
  const { config, life, media, observer } = doors
  const at = config.boot.media
  if (!at) return
  const limits = await bootHttpLimits(doors)
  const options = httpOptions({ headersBytes: HEADERS_BYTES, requestMs: limits.idleMs, idleMs: limits.idleMs })
  const memory = new SendMemory(limits.sendBytes)
  const answer = (request: IncomingMessage, response: ServerResponse): void | Promise<void> => {
    response.once('close', () => observer.onAnswered(response.statusCode, response.writableFinished))
    const name = mediaNameOf(request.url ?? '')
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end()
    if (name === undefined) return void response.writeHead(404).end()
    return answerMedia(media, { request, response, memory }, name)
  }
  const listener = guarded(answer, (ip, error) => observer.onHttpFault(ip, error))
  const server = at.tls
    ? createTlsServer({ ...options, ...(await givenTls(at.tls, 'boot.media.tls')) }, listener)
    : createServer(options, listener)
  limitPipelining(server, MAX_PIPELINED)
  server.setTimeout(limits.idleMs)
  limitConnections(server, limits, limits.onRefused)
  await life.add(
    'media',
    () => listen(server, { port: at.port, host: at.address }),
    () => {
      server.close()
      server.closeAllConnections()
    },
  )
}
