/** A Redfish service over plain HTTP whose resources are given as they are: for shapes that vendors answer with, and
 *  for services that mean harm. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Body = Record<string, unknown>
export interface Order {
  readonly method: string
  /** Without a slash at its end. */
  readonly path: string
  /** As it was asked for. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Body
  readonly text: string
}
/** Answers a request instead of the resources: a status, with a body. Undefined: the resources answer. */
export type Handler = (
  order: Order,
  response: ServerResponse,
) => { status: number; body?: unknown } | 'answered' | undefined

export const SYSTEM = '/redfish/v1/Systems/1'
const ROOT = '/redfish/v1'

export const at = (path: string) => ({ '@odata.id': path })
export const members = (paths: readonly string[]): Body => ({
  'Members@odata.count': paths.length,
  Members: paths.map((path) => at(path)),
})

export class StaticService {
  readonly heard: Order[] = []
  readonly resources: Record<string, Body>
  handle: Handler = () => undefined
  private readonly server: Server
  private port = 0

  private constructor(resources: Record<string, Body>) {
    this.resources = {
      [ROOT]: { RedfishVersion: '1.18.0', Systems: at(`${ROOT}/Systems`) },
      [`${ROOT}/Systems`]: members([SYSTEM]),
      ...resources,
    }
    this.server = createServer((request, response) => void this.serve(request, response))
  }

  static async start(resources: Record<string, Body>): Promise<StaticService> {
    const service = new StaticService(resources)
    await new Promise<void>((resolve) => service.server.listen(0, '127.0.0.1', resolve))
    service.port = (service.server.address() as AddressInfo).port
    return service
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  driverInfo(): Record<string, unknown> {
    return {
      redfish_address: this.origin,
      redfish_username: 'admin',
      redfish_password: 'secret',
      redfish_auth_type: 'basic',
    }
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString('latin1')
    const isJson = request.headers['content-type'] === 'application/json' && text !== ''
    const path = (request.url ?? '').replace(/(?<=.)\/$/, '')
    const { method = '', url = '', headers } = request
    const order = { method, path, url, headers, text, body: isJson ? (JSON.parse(text) as Body) : {} }
    this.heard.push(order)
    const handled = this.handle(order, response)
    if (handled === 'answered') return
    const found = this.resources[path]
    const answer = handled ?? (found ? { status: 200, body: found } : { status: 404, body: {} })
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(answer.body === undefined ? '' : JSON.stringify(answer.body))
  }
}
