/** One exchange with a Redfish service: the certificate is checked before anything is sent, and time, size and depth of
 *  the answer are bounded. Redirections are followed on the same host alone. */
import { createHash, type X509Certificate } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { pipeline, type Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import { Fault } from '../../../kit/fault.ts'
import { readBody, redirectOf, unreachable as dead, type Answer } from './answers.ts'
import type { Upload } from './uploads.ts'
import { certificatesOf, type RedfishInfo, type Trust } from './info.ts'

export interface Exchange {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** On the BMC's own host. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Sent instead of `body`. */
  readonly upload?: Upload
}

const CONNECT_MS = 10_000
/** BMCs take up to a minute for some reads, and longer for some writes. */
const READ_MS = 60_000
const WRITE_MS = 120_000
/** A connection waits for the next poll; what a BMC says of the time that it waits itself counts (Keep-Alive:
 *  timeout). */
const IDLE_MS = 75_000
/** Such as to the path with a slash at its end. */
const MAX_REDIRECTIONS = 3
/** A stream that is silent for this long is probed. */
const PROBE_MS = 30_000

type Reached = Pick<RedfishInfo, 'origin' | 'trust' | 'keepsConnection'>

export class Wire {
  private readonly origin: URL
  private readonly kept: HttpAgent
  /** A connection for one request. */
  private readonly single: HttpAgent
  /** A connection that lasts as long as its answer. */
  private readonly lasting: HttpAgent
  /** This BMC closes connections that we keep: what may not be sent twice gets a connection of its own. */
  private closesKept = false
  private readonly keepsConnection: boolean
  /** The key of the BMC, once it was seen. */
  pin: string | null
  private readonly trust: Trust
  private readonly onFirstKey: (pin: string) => void

  /** `onFirstKey`: a key that is trusted because it is the first one. */
  constructor({ origin, trust, keepsConnection = true }: Reached, onFirstKey: (pin: string) => void = () => undefined) {
    this.keepsConnection = keepsConnection
    this.origin = new URL(origin)
    this.trust = trust
    this.onFirstKey = onFirstKey
    this.pin = trust.kind === 'pin' ? trust.pin : null
    const agent = (keepAlive: boolean, timeout = IDLE_MS) => {
      const options = { keepAlive, maxSockets: 2, timeout }
      return this.origin.protocol === 'https:' ? this.pinned(options) : new HttpAgent(options)
    }
    this.kept = agent(true)
    this.single = agent(false)
    this.lasting = agent(false, 0)
  }

  /** Throws `bmc.unreachable`, `bmc.timeout`, `bmc.identity`, or `bmc.refused` when the answer cannot be used; any
   *  status is an answer. A read on a kept connection that the BMC had closed is sent again on a new one; a write is
   *  not, because it may have been received. */
  async exchange(ask: Exchange, signal: AbortSignal): Promise<Answer> {
    const { origin } = this.origin
    let answer = await this.one(ask, signal)
    // A few leave nothing uncompressed.
    if (answer.status === 406 && ask.method === 'GET')
      answer = await this.one({ ...ask, headers: { ...ask.headers, 'accept-encoding': 'gzip' } }, signal)
    for (let hops = 0; hops < MAX_REDIRECTIONS; hops += 1) {
      const path = redirectOf(answer, { method: ask.method, path: answer.path, origin })
      if (path === null) break
      answer = await this.one({ ...ask, path }, signal)
    }
    return answer
  }

  private async one(ask: Exchange, signal: AbortSignal): Promise<Answer> {
    const isRead = ask.method === 'GET'
    try {
      const kept = this.keepsConnection && (isRead || !this.closesKept) && !ask.upload
      return await this.once(ask, { signal, agent: kept ? this.kept : this.single })
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error
      this.closesKept = true
      if (!isRead) throw dead(this.origin.origin, error)
      return this.once(ask, { signal, agent: this.single })
    }
  }

  close(): void {
    this.kept.destroy()
    this.single.destroy()
    this.lasting.destroy()
  }

  private async once(ask: Exchange, { signal, agent }: { signal: AbortSignal; agent: HttpAgent }): Promise<Answer> {
    // A file takes as long as it takes: what stands still is given up, and whoever sends it bounds it.
    if (ask.upload)
      return this.send(ask, { signal, agent }).catch((error: unknown) => {
        signal.throwIfAborted()
        throw error
      })
    const timeoutMs = ask.method === 'GET' ? READ_MS : WRITE_MS
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      return await this.send(ask, { signal: AbortSignal.any([signal, timeout]), agent })
    } catch (error) {
      signal.throwIfAborted()
      if (timeout.aborted)
        throw new Fault(
          'bmc.timeout',
          `BMC ${this.origin.host} did not answer ${ask.method} ${ask.path} in ${timeoutMs / 1000} s`,
        )
      throw error
    }
  }

  /** An answer without end, such as a stream of events, on a connection of its own; a BMC that is gone is noticed by
   *  the kernel. Whoever reads it bounds it. */
  async open(ask: Exchange, signal: AbortSignal): Promise<IncomingMessage> {
    const late = new AbortController()
    const timeout = AbortSignal.timeout(READ_MS)
    const end = () => late.abort(new Fault('bmc.timeout', `BMC ${this.origin.host} did not answer GET ${ask.path}`))
    timeout.addEventListener('abort', end, { once: true })
    try {
      const response = await this.begin(ask, { signal: AbortSignal.any([signal, late.signal]), agent: this.lasting })
      response.socket.setKeepAlive(true, PROBE_MS)
      return response
    } catch (error) {
      signal.throwIfAborted()
      throw late.signal.aborted ? late.signal.reason : error
    } finally {
      timeout.removeEventListener('abort', end)
    }
  }

  private async send(ask: Exchange, by: { signal: AbortSignal; agent: HttpAgent }): Promise<Answer> {
    const response = await this.begin(ask, by)
    try {
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        path: ask.path,
        ...(await readBody(response, this.origin.host)),
      }
    } catch (error) {
      response.destroy()
      throw error
    }
  }

  /** Until the head of the answer is there. */
  private begin(
    { method, path, headers, body, upload }: Exchange,
    { signal, agent }: { signal: AbortSignal; agent: HttpAgent },
  ): Promise<IncomingMessage> {
    const url = new URL(path, this.origin)
    // A link that leads elsewhere would take the password there.
    if (url.origin !== this.origin.origin)
      return Promise.reject(new Fault('bmc.refused', `BMC ${this.origin.host}: a link leads to another host`))
    const text = body === undefined ? undefined : JSON.stringify(body)
    const type = upload?.type ?? (text === undefined ? undefined : 'application/json')
    const call = this.origin.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const request = call(url, {
        method,
        agent,
        signal,
        headers: {
          accept: 'application/json',
          'odata-version': '4.0',
          // Compression changes ETags in ways that the same BMC then refuses.
          'accept-encoding': 'identity',
          ...(type === undefined ? {} : { 'content-type': type }),
          'content-length': upload?.sizeBytes ?? Buffer.byteLength(text ?? ''),
          ...headers,
        },
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        if (error instanceof Fault) return reject(error)
        const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(stale ? new StaleConnection(error.message) : dead(this.origin.origin, error))
      })
      request.on('response', resolve)
      if (!upload) return void request.end(text)
      // It may have answered before it had the whole file.
      request.on('response', (response) => response.once('close', () => request.destroy()))
      const late = new Fault('bmc.timeout', `BMC ${this.origin.host} took nothing of a file for ${WRITE_MS / 1000} s`)
      request.setTimeout(WRITE_MS, () => request.destroy(late))
      const source = upload.open()
      source.once('error', (error) =>
        reject(new Fault('run.failed', `the file for BMC ${this.origin.host}: ${error.message}`)),
      )
      // What ends the request is heard of above.
      pipeline(source, request, () => undefined)
    })
  }

  /** An agent whose connections are handed over only after the key behind them was checked: with a wrong key, the BMC
   *  gets no byte of a request. */
  private pinned(options: { keepAlive: boolean; maxSockets: number; timeout: number }): HttpsAgent {
    // A resumed session shows no certificate at all.
    const agent = new HttpsAgent({ ...options, maxCachedSessions: 0 })
    const { hostname, port } = this.origin
    const host = hostname.replace(/^\[|\]$/g, '')
    const { trust } = this
    const open = (ca: string | undefined, done: (error: Error | null, socket?: Duplex) => void) => {
      const socket = connect({
        host,
        port: Number(port || 443),
        ...(isIP(host) ? {} : { servername: host }),
        rejectUnauthorized: trust.kind === 'ca',
        ...(ca === undefined ? {} : { ca }),
        ALPNProtocols: ['http/1.1'],
      })
      const late = () => socket.destroy(new Error('no connection within 10 s'))
      socket.setTimeout(CONNECT_MS, late)
      const failed = (error: NodeJS.ErrnoException) => {
        done(untrusted(this.origin.host, error))
      }
      socket.once('error', failed)
      socket.once('secureConnect', () => {
        socket.setTimeout(0)
        socket.off('timeout', late)
        socket.off('error', failed)
        const fault = this.identify(socket)
        if (!fault) return done(null, socket)
        socket.destroy()
        done(fault)
      })
    }
    // The file is read for each connection: a CA that is renewed is used without a restart, and a poll on a kept
    // connection reads nothing.
    const opener = (_: unknown, done: (error: Error | null, socket?: Duplex) => void) => {
      if (trust.kind !== 'ca' || trust.file === undefined) open(undefined, done)
      else certificatesOf(trust.file).then((ca) => open(ca, done), done)
      return undefined
    }
    agent.createConnection = opener as unknown as typeof agent.createConnection
    return agent
  }

  private identify(socket: TLSSocket): Fault | undefined {
    const certificate = socket.getPeerX509Certificate()
    if (!certificate) return new Fault('bmc.identity', `BMC ${this.origin.host} shows no certificate`)
    const seen = pinOf(certificate)
    if (this.trust.kind === 'pin' && this.pin !== null && this.pin !== seen)
      return new Fault(
        'bmc.identity',
        `BMC ${this.origin.host} has another key than before: ${seen} instead of ${this.pin}`,
      )
    if (this.trust.kind === 'pin' && this.pin === null) this.onFirstKey(seen)
    this.pin = seen
    return undefined
  }
}

/** A connection that was kept turned out to be closed. */
class StaleConnection extends Error {}

/** Base64 of the SHA-256 of the public key (SubjectPublicKeyInfo): a certificate that is renewed with the same key has
 *  the same pin. */
export const pinOf = (certificate: X509Certificate): string =>
  createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')

/** Errors of the chain, as OpenSSL names them. */
const CHAIN = /^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS_CERT)/

const untrusted = (host: string, error: NodeJS.ErrnoException): Fault =>
  CHAIN.test(error.code ?? '')
    ? new Fault('bmc.identity', `BMC ${host}: its certificate is not trusted: ${error.message}`, { cause: error })
    : dead(host, error)
