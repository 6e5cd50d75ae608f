/** What a boot room fetches from conductors, with its certificate; and what a conductor answers. */
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../../kit/fault.ts'
import { gather } from '../../../kit/gather.ts'
import { parsedOr } from '../../../kit/json.ts'
import { requestTarget } from '../../../kit/request-target.ts'
import { checkConductor, tlsOf } from './link.ts'
import { BLOCK_BYTES, isImage, Manifests, readBlock } from './manifest.ts'
import type { Bundle } from './records.ts'
import { upgradeHeaders } from './wire.ts'

const MANIFEST = '/room/v1/manifest'
const BLOCK = '/room/v1/block'
const MANIFEST_BYTES = 80 * 1024 * 1024
const CONNECTIONS = 8
const IDLE_MS = 30_000
/** The first look at a large image reads all of it. */
const MANIFEST_MS = 120_000

/** The conductor's end. `fileOf`: the file behind a path; undefined: none is served there. */
export function answerFiles(fileOf: (path: string) => string | undefined) {
  // An image is read for a while, and ramdisks do not wait for it.
  const manifests = { images: new Manifests(), others: new Manifests() }
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { path, query } = requestTarget(request.url)
    const wanted = query.get('path') ?? ''
    const file = fileOf(wanted)
    const n = Number(query.get('n') ?? 0)
    if (request.method !== 'GET' || file === undefined || !Number.isSafeInteger(n) || n < 0)
      throw new Fault('object.missing', 'there is no such file')
    if (path === MANIFEST) {
      const text = JSON.stringify(await manifests[isImage(wanted) ? 'images' : 'others'].of(file))
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
        .end(text)
    } else if (path === BLOCK) {
      const bytes = await readBlock(file, n)
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length }).end(bytes)
    } else throw new Fault('object.missing', 'there is no such call')
  }
}

/** The room's end: asks one conductor after the other. */
export class Fetcher {
  private readonly urls: () => readonly string[]
  private readonly bundle: Bundle
  /** Connections whose certificate was checked. It is asked for once, after the handshake: a connection that waited
   *  for its next request does not show it again. */
  private readonly proven = new WeakSet<object>()
  /** Without resumed sessions, which show no certificate. */
  private readonly agent = new Agent({
    keepAlive: true,
    maxSockets: CONNECTIONS,
    timeout: IDLE_MS,
    maxCachedSessions: 0,
  })

  constructor(urls: () => readonly string[], bundle: Bundle) {
    this.urls = urls
    this.bundle = bundle
  }

  stop(): void {
    this.agent.destroy()
  }

  readonly manifest = async (path: string): Promise<unknown> => {
    const target = `${MANIFEST}?${new URLSearchParams({ path }).toString()}`
    const found = await this.anyOf(target, MANIFEST_BYTES)
    return found && parsedOr(found.toString('utf8'), null)
  }

  readonly block = async (path: string, n: number): Promise<Buffer> => {
    const found = await this.anyOf(`${BLOCK}?${new URLSearchParams({ path, n: String(n) }).toString()}`, BLOCK_BYTES)
    if (!found) throw new Error(`no conductor has ${path}`)
    return found
  }

  /** Undefined: those who answer do not have it. Throws where nobody answers. */
  private async anyOf(target: string, limitBytes: number): Promise<Buffer | undefined> {
    let failure: Error | undefined = new Error('no conductor is connected')
    for (const url of this.urls()) {
      try {
        const found = await this.ask(new URL(target, url), limitBytes)
        if (found) return found
        failure = undefined
      } catch (error) {
        failure = error as Error
      }
    }
    if (failure) throw failure
    return undefined
  }

  private ask(url: URL, limitBytes: number): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => {
      const headers = upgradeHeaders(this.bundle.room)
      const asked = httpsRequest(url, {
        headers: { 'X-Rackward-Room': headers['X-Rackward-Room'] },
        agent: this.agent,
        timeout: MANIFEST_MS,
        ...tlsOf(this.bundle),
      })
      asked.on('error', reject)
      asked.on('timeout', () => asked.destroy(new Error('it does not answer')))
      asked.on('socket', (socket: TLSSocket) => {
        if (!this.proven.has(socket)) socket.once('secureConnect', () => this.prove(socket))
      })
      asked.on('response', (response) => {
        if (!this.proven.has(response.socket)) return void asked.destroy(new Error('its certificate was not checked'))
        if (response.statusCode === 404) return void response.resume().on('end', () => resolve(undefined))
        if (response.statusCode !== 200) return void asked.destroy(new Error(`it answers ${response.statusCode}`))
        gather(response, limitBytes).then(resolve, reject)
      })
      asked.end()
    })
  }

  private prove(socket: TLSSocket): void {
    try {
      checkConductor(socket, this.bundle)
      this.proven.add(socket)
    } catch (error) {
      socket.destroy(error as Error)
    }
  }
}
