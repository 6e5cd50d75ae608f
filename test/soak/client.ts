/** A client that meets a server which is killed, stopped and full: every call ends, and says how. */
import { Agent, request } from 'node:http'

export interface Said {
  /** HTTP status; 0: no answer. */
  readonly status: number
  readonly body: any
}

const TIMEOUT_MS = 30_000

export class Client {
  private readonly base: string
  private readonly login: string
  private readonly agent: Agent
  /** How often each status came. */
  readonly statuses = new Map<number, number>()
  /** Answers of 500 and more, with the time, the first hundred. */
  readonly broken: { atMs: number; what: string }[] = []

  constructor(base: string, user: { name: string; password: string }, sockets = 1) {
    this.base = base
    this.login = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`
    this.agent = new Agent({ keepAlive: true, maxSockets: sockets })
  }

  async call(method: string, path: string, body?: unknown): Promise<Said> {
    const said = await this.send({ method, path, text: body === undefined ? undefined : JSON.stringify(body) })
    this.statuses.set(said.status, (this.statuses.get(said.status) ?? 0) + 1)
    if (said.status >= 500 && this.broken.length < 100)
      this.broken.push({
        atMs: Date.now(),
        what: `${method} ${path.slice(0, 120)}: ${said.status} ${JSON.stringify(said.body).slice(0, 300)}`,
      })
    return said
  }

  private send(what: { method: string; path: string; text: string | undefined }): Promise<Said> {
    const headers = {
      authorization: this.login,
      'openstack-api-version': 'baremetal latest',
      ...(what.text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(what.text) }),
    }
    return new Promise((resolve) => {
      const nothing = () => resolve({ status: 0, body: null })
      const asked = request(
        `${this.base}${what.path}`,
        { method: what.method, agent: this.agent, headers, timeout: TIMEOUT_MS },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', nothing)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString()) }),
          )
        },
      )
      asked.on('timeout', () => asked.destroy())
      asked.on('error', nothing)
      asked.end(what.text)
    })
  }

  close = () => this.agent.destroy()
}

function parse(text: string): unknown {
  try {
    return text ? JSON.parse(text) : null
  } catch {
    return text
  }
}
