/** The HTTPS listener of a virtual BMC, with a certificate of its own: reads a request whole, and sends or breaks off
 *  an answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { selfSigned, type Pair } from '../../kit/certificate.ts'
import { closed, listen } from '../../kit/listen.ts'
import type { Answer } from './tree.ts'

/** A key and a self-signed certificate without alternative names, as BMCs have from the factory. */
export const makePair = (): Promise<Pair> => selfSigned({ commonName: 'bmc', days: 2 })

export interface Address {
  readonly address: string
  /** 0: any that is free. It is kept from the first listening on. */
  readonly port: number
}

export type Serve = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export class Listener {
  private readonly serve: Serve
  private at: Address
  private server: ReturnType<typeof createServer> | undefined
  tls: Pair

  constructor(at: Address, tls: Pair, serve: Serve) {
    this.at = at
    this.tls = tls
    this.serve = serve
  }

  get origin(): string {
    const { address, port } = this.at
    return `https://${address.includes(':') ? `[${address}]` : address}${port === 443 ? '' : `:${port}`}`
  }

  async open(): Promise<void> {
    const server = createServer(this.tls, (request, response) => void this.serve(request, response))
    server.keepAliveTimeout = 60_000
    this.server = await listen(server, { port: this.at.port, host: this.at.address })
    this.at = { ...this.at, port: (server.address() as AddressInfo).port }
  }

  async close(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (server) await closed(server)
  }
}

export async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export function send(response: ServerResponse, { status, headers = {}, body }: Answer): void {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  const type = typeof body === 'string' ? 'text/html' : 'application/json; charset=utf-8'
  response.writeHead(status, {
    'odata-version': '4.0',
    'cache-control': 'no-cache',
    ...(text === '' ? {} : { 'content-type': type }),
    ...(status === 204 ? {} : { 'content-length': Buffer.byteLength(text) }),
    ...headers,
  })
  response.end(text)
}

/** An answer that ends in the middle of its body. */
export function breakOff(response: ServerResponse, { status, body }: Answer): void {
  const text = JSON.stringify(body ?? {})
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.write(text.slice(0, text.length / 2), () => response.socket?.destroy())
}
