/** JSON over HTTP, which tells "surely not received" (`peer.unreached`) from "may have been" (`peer.lost`). */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Fault } from './fault.ts'
import { parsedOr } from './json.ts'

export interface HttpRequest {
  readonly method: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** JSON that is sent as it is, instead of `body`. */
  readonly text?: string
  /** Ends the request, its answer included: a deadline. */
  readonly signal: AbortSignal
  readonly ca?: string | undefined
  /** A certificate of the client and its key, as PEM. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** A larger answer fails; absent: 256 MiB. */
  readonly maxBytes?: number
  /** The status alone matters. */
  readonly ignoreBody?: boolean
}

export interface HttpResponse {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  /** The text where it is no JSON; undefined without any. */
  readonly body: unknown
}

export type Http = (ask: HttpRequest) => Promise<HttpResponse>

/** Of an answer; the list of all servers of a cloud is the largest. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

export const http: Http = (ask) =>
  new Promise((resolve, reject) => {
    const url = new URL(ask.url)
    const isTls = url.protocol === 'https:'
    const { method, signal, ca, cert, key, maxBytes = MAX_ANSWER_BYTES } = ask
    const tls = { ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) }
    const text = ask.text ?? (ask.body === undefined ? undefined : JSON.stringify(ask.body))
    const headers = { accept: 'application/json', ...(text === undefined ? {} : jsonHeaders(text)), ...ask.headers }
    let connected = false
    const failed = (error: Error) => {
      const code = connected ? 'peer.lost' : 'peer.unreached'
      reject(new Fault(code, `${method} ${url.origin}${url.pathname}: ${error.message}`, { cause: error }))
    }

    const request = (isTls ? httpsRequest : httpRequest)(url, { method, headers, signal, ...tls })
    request.on('socket', (socket) => {
      // A socket that was kept alive is connected already, and emits no event.
      if (socket.connecting) socket.once(isTls ? 'secureConnect' : 'connect', () => (connected = true))
      else connected = true
    })
    request.on('error', failed)
    request.on('response', (response) => {
      const done = (body: unknown) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
      response.on('error', failed)
      if (!ask.ignoreBody)
        return gatherText(response, maxBytes, (body) => done(body === '' ? undefined : parsedOr(body, body)))
      response.resume()
      response.on('end', () => done(undefined))
    })
    request.end(text)
  })

const jsonHeaders = (text: string) => ({
  'content-type': 'application/json',
  'content-length': Buffer.byteLength(text),
})

function gatherText(response: IncomingMessage, maxBytes: number, done: (text: string) => void): void {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  response.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) response.destroy(new Error(`the answer has more than ${maxBytes} bytes`))
    else chunks.push(chunk)
  })
  response.on('end', () => done(Buffer.concat(chunks).toString()))
}
