/** A plain client of the API over its unix socket, which reaches into the namespace as the socket is a file. */
import { request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly headers: NodeJS.Dict<string | string[]>
}

export class ApiClient {
  private readonly socketPath: string
  private readonly credentials: string | undefined

  constructor(socketPath: string, credentials?: { user: string; password: string }) {
    this.socketPath = socketPath
    this.credentials = credentials
      ? `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`
      : undefined
  }

  call(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        'OpenStack-API-Version': 'baremetal latest',
        ...(this.credentials ? { authorization: this.credentials } : {}),
      }
      const ask = request({ socketPath: this.socketPath, method, path, headers, timeout: 60_000 }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: text ? (JSON.parse(text) as Record<string, unknown>) : {},
          })
        })
      })
      ask.on('error', reject)
      ask.on('timeout', () => ask.destroy(new Error(`${method} ${path}: no answer`)))
      ask.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** Like `call`, but anything else than 2xx throws the server's words. */
  async ok(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(method, path, body)
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${method} ${path}: ${answer.status} ${faultText(answer.body)}`)
    return answer.body
  }
}

export function faultText(body: Record<string, unknown>): string {
  try {
    return (JSON.parse(String(body.error_message)) as { faultstring: string }).faultstring
  } catch {
    return JSON.stringify(body)
  }
}
