/** JSON over HTTP, which tells "surely not received" (`peer.unreached`) from "may have been" (`peer.lost`). */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Fault } from './fault.ts'

export interface HttpAsk {
  readonly method: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly signal: AbortSignal
  readonly ca?: string | undefined
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: unknown
}

export type Http = (ask: HttpAsk) => Promise<HttpAnswer>

export const http: Http = (ask) =>
  new Promise((resolve, reject) => {
    const url = new URL(ask.url)
    const text = ask.body === undefined ? undefined : JSON.stringify(ask.body)
    const call = url.protocol === 'https:' ? httpsRequest : httpRequest
    const headers = {
      accept: 'application/json',
      ...ask.headers,
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    }
    let connected = false
    const request = call(url, { method: ask.method, headers, signal: ask.signal, ...(ask.ca ? { ca: ask.ca } : {}) })
    request.on('socket', (socket) => {
      // One that was kept alive is connected already, and says so no more.
      if (socket.connecting)
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => (connected = true))
      else connected = true
    })
    request.on('error', (error) =>
      reject(
        new Fault(
          connected ? 'peer.lost' : 'peer.unreached',
          `${ask.method} ${url.origin}${url.pathname}: ${error.message}`,
          { cause: error },
        ),
      ),
    )
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', (error) =>
        reject(
          new Fault('peer.lost', `${ask.method} ${url.origin}${url.pathname}: ${error.message}`, { cause: error }),
        ),
      )
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: parse(Buffer.concat(chunks).toString()),
        }),
      )
    })
    request.end(text)
  })

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return text
  }
}
