/** HTTP for everything after the first loader: the script of the moment, kernel and ramdisk, image pieces. Read only;
 *  nothing here is secret but the boot token in a script, which only the node's own leased address gets. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { basename, dirname } from 'node:path'
import send from 'send'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { openFilesLimit } from '../../kit/open-files.ts'
import type { Config } from '../config.ts'
import {
  httpOptions,
  limitConnections,
  limitPipelining,
  shareOf,
  type ConnectionLimits,
  type OnRefused,
} from '../../kit/connection-limits.ts'
import type { AgentSaid } from '../api/agent-said.ts'
import type { TlsFiles } from '../api/tls.ts'
import { limitMeter } from '../../kit/limit-meter.ts'
import { bootTarget, type ScriptLoader } from './boot-target.ts'
import type { BootCounters } from './counters.ts'
import { answerMedia, type ServedMedia } from './media-http.ts'
import { isImage } from './rooms/manifest.ts'
import type { CachedFiles } from './rooms/serve-cached.ts'
import { sendFile, SendMemory, type FileRange } from './send-file.ts'

export interface BootFiles {
  /** The script for a MAC asked for from an address; undefined: refuse. */
  script(wanted: { readonly mac: string; readonly loader: ScriptLoader }, fromIp: string): Script
  /** The script beside a loader that came by HTTP boot, for the client at an address; undefined: refuse. */
  autoexec(toIp: string): Script
  /** The configuration that a GRUB which came by HTTP boot looks for. */
  grubStart(toIp: string): Script
  /** A path that may be served, with what to call it when it has been. */
  file(url: string): string | undefined
  /** Of a boot room: answers a path that may be served, from its cache. The answer is the status to refuse with. */
  readonly cached?: CachedFiles | undefined
  fetched(url: string, fromIp: string): void
  /** A transfer of a file begins; the answer is called at its end, whatever ended it. */
  sending(url: string, toIp: string): (end: SendEnd) => void
  /** The agent at this address has no other way to say it. */
  said(what: AgentSaid, fromIp: string): void
  /** A file that is not there, or may not be had. */
  refused(url: string, fromIp: string, why: string): void
  /** Boot ISOs, where they are served. */
  readonly media?: ServedMedia
  /** Every request, once: with its status, and whether the client took the whole answer. */
  answered(status: number, whole: boolean): void
  /** A request whose answer failed by a fault of this program or its disk. */
  readonly broke: (fromIp: string, error: unknown) => void
}

type ScriptText = string | Buffer | undefined
type Script = ScriptText | Promise<ScriptText>

export interface SendEnd {
  /** The client took all of it. */
  readonly whole: boolean
  /** What was handed to the kernel for it, and how long the file is (0: nobody knows). */
  readonly sentBytes: number
  readonly totalBytes: number
  /** Nothing moved for as long as a connection may be idle; else the client ended it. */
  readonly stalled: boolean
}

export interface BootHttpLimits extends ConnectionLimits {
  /** Ends a connection that makes no progress, whoever is to blame. iPXE and firmware keep connections open between
   *  kernel and ramdisk. */
  readonly idleMs: number
  /** Memory for the large parts of files that are being sent. */
  readonly sendBytes: number
  readonly onRefused: OnRefused
}

const MIB = 1024 * 1024
export const HEADERS_BYTES = 8 * 1024
/** Requests of one connection that wait for their answers. No loader and no agent of ours has more than one. */
export const MAX_PIPELINED = 4

/** `tls`: certificate chain and key (PEM) of a server that takes HTTPS alone. */
export function bootHttp(files: BootFiles, limits: BootHttpLimits, tls?: TlsFiles): Server {
  const options = httpOptions({ headersBytes: HEADERS_BYTES, requestMs: limits.idleMs, idleMs: limits.idleMs })
  const memory = new SendMemory(limits.sendBytes)
  const answer = (request: IncomingMessage, response: ServerResponse): void | Promise<void> => {
    response.once('close', () => files.answered(response.statusCode, response.writableFinished))
    const fromIp = addressOf(request)
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405)
    const wanted = bootTarget(request.url ?? '')
    switch (wanted.kind) {
      case 'media':
        return files.media
          ? answerMedia(files.media, { request, response, memory }, wanted.name)
          : refuse(response, 404)
      case 'script':
        return answerScript(response, files.script(wanted, fromIp))
      case 'autoexec':
        return answerScript(response, files.autoexec(fromIp))
      case 'grub':
        return answerScript(response, files.grubStart(fromIp))
      case 'said':
        files.said(wanted.what, fromIp)
        return void response.writeHead(204).end()
      case 'file': {
        const file = files.file(wanted.path)
        if (file && files.cached)
          return answerCached(files, files.cached, { request, response, path: wanted.path, fromIp })
        if (file) return answerFile(files, { request, response, memory, path: wanted.path, file, fromIp })
        files.refused(wanted.path, fromIp, 'it is not served')
        return refuse(response, 404)
      }
    }
  }
  const listener = guarded(answer, files.broke)
  const server = tls ? createTlsServer({ ...options, ...tls }, listener) : createServer(options, listener)
  limitPipelining(server, MAX_PIPELINED)
  server.setTimeout(limits.idleMs)
  limitConnections(server, limits, limits.onRefused)
  return server
}

/** From the configuration, with no more connections than the open files of this process allow. */
export async function bootHttpLimits({
  config,
  clock,
  log,
  counters,
}: {
  config: Pick<Config, 'limits'>
  clock: Clock
  log: Log
  counters: BootCounters
}): Promise<BootHttpLimits> {
  const { httpConnections, httpConnectionsPerAddress, httpIdleSeconds, httpSendMib } = config.limits.boot
  const onLimit = limitMeter({ clock, log })
  return {
    // A download holds two files: its connection, and what it sends.
    all: shareOf(httpConnections, { wanted: httpConnections * 2, openFiles: await openFilesLimit() }),
    perAddress: httpConnectionsPerAddress,
    idleMs: httpIdleSeconds * 1000,
    sendBytes: httpSendMib * MIB,
    onRefused: (which, address) => {
      const limit = which === 'all' ? 'boot.httpConnections' : 'boot.httpConnectionsPerAddress'
      counters.limit(limit)
      onLimit(limit, { address })
    },
  }
}

/** An error that nobody expected becomes a line of the log and 500, or the end of the connection where the answer has
 *  begun; the server goes on. */
export function guarded(
  answer: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
  onBroken: BootFiles['broke'],
): RequestListener {
  return (request, response) => {
    const broken = (error: unknown) => {
      onBroken(addressOf(request), error)
      refuse(response, 500)
    }
    try {
      answer(request, response)?.catch(broken)
    } catch (error) {
      broken(error)
    }
  }
}

const addressOf = ({ socket }: IncomingMessage): string => (socket.remoteAddress ?? '').replace(/^::ffff:/, '')

async function answerScript(response: ServerResponse, asked: Script): Promise<void> {
  const script = await asked
  if (script === undefined) return refuse(response, 403)
  response
    .writeHead(200, {
      'Content-Type': 'text/plain',
      // GRUB knows it by this spelling alone.
      'Content-Length': Buffer.byteLength(script),
      'Cache-Control': 'no-store',
    })
    .end(script)
}

interface Asked {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly memory: SendMemory
  readonly path: string
  readonly file: string
  readonly fromIp: string
}

/** UEFI HTTP boot asks for the size first (HEAD): that is no transfer. */
function observe(files: BootFiles, at: Pick<Asked, 'request' | 'response' | 'path' | 'fromIp'>): void {
  const { request, response } = at
  if (request.method !== 'GET') return
  watchSending(files, at)
  response.on('finish', () => {
    if (response.statusCode < 300) files.fetched(at.path, at.fromIp)
  })
}

async function answerCached(
  files: BootFiles,
  cached: CachedFiles,
  at: Pick<Asked, 'request' | 'response' | 'path' | 'fromIp'>,
): Promise<void> {
  observe(files, at)
  const status = await cached(at)
  if (status === undefined) return
  // An agent that is refused pieces here asks the conductor, and says so.
  if (!isImage(at.path))
    files.refused(at.path, at.fromIp, status === 404 ? 'there is no such file' : 'no conductor has given it')
  refuse(at.response, status)
}

function answerFile(files: BootFiles, at: Asked): void {
  const { request, response, memory } = at
  observe(files, at)
  const failed = (error: { status?: number }): void => {
    // 4xx: there is no such file, or no such range of it.
    if ((error.status ?? 500) >= 500) files.broke(at.fromIp, error)
    files.refused(at.path, at.fromIp, error.status === 404 ? 'there is no such file' : 'it cannot be read')
    refuse(response, error.status ?? 500)
  }
  const answer = send(request, encodeURIComponent(basename(at.file)), {
    root: dirname(at.file),
    dotfiles: 'deny',
    etag: false,
    lastModified: false,
    index: false,
  })
  answer.stream = (path: string, range: FileRange) => {
    if (response.getHeader('content-length') === 0) return void response.end()
    sendFile(path, range, { request, response, memory }).catch(failed)
  }
  answer.on('error', failed).pipe(response)
}

/** Tells the end of a transfer, and how it came. */
function watchSending(
  files: BootFiles,
  {
    request,
    response,
    path,
    fromIp,
  }: { request: IncomingMessage; response: ServerResponse; path: string; fromIp: string },
): void {
  const over = files.sending(path, fromIp)
  const { socket } = request
  const before = socket.bytesWritten
  let stalled = false
  const onTimeout = () => void (stalled = true)
  socket.once('timeout', onTimeout)
  response.once('close', () => {
    socket.off('timeout', onTimeout)
    over({
      whole: response.writableFinished && response.statusCode < 300,
      sentBytes: Math.max(0, socket.bytesWritten - before),
      totalBytes: Number(response.getHeader('content-length') ?? 0),
      stalled,
    })
  })
}

function refuse(response: ServerResponse, status: number): void {
  if (response.headersSent) return void response.destroy()
  // Of the answer that this one takes the place of.
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`)
}
