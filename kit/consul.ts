/** A small typed client of Consul's HTTP API, the subset that is the same from 1.8 to today. On node:http: the npm
 *  client drops session fields and answers
 *  `undefined` for a lost lock. Shapes: Consul's HTTP API documents, /v1/kv, /v1/txn, /v1/session. */
import { readFile } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Fault } from './fault.ts'
import { parsedOr } from './json.ts'

export interface ConsulOptions {
  readonly url: string
  readonly token?: string | undefined
  /** PEM. */
  readonly ca?: string | undefined
}

export interface KvEntry {
  readonly key: string
  readonly value: unknown
  readonly index: number
  readonly session: string | undefined
  readonly lockIndex: number
}

export interface TreeOptions {
  readonly consistent?: boolean
  readonly index?: number
  readonly waitMs?: number
  readonly signal?: AbortSignal
  readonly known?: ReadonlyMap<string, Pick<KvEntry, 'key' | 'value' | 'index'>>
}

export type TxnOp =
  | { readonly verb: 'cas'; readonly key: string; readonly value: unknown; readonly index: number }
  | { readonly verb: 'delete-cas' | 'check-index'; readonly key: string; readonly index: number }
  | { readonly verb: 'check-not-exists'; readonly key: string }
  | { readonly verb: 'check-session'; readonly key: string; readonly session: string }

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly index: number
}

const TIMEOUT_MS = 4_000
/** Consul takes 64 operations in one transaction (128 since 1.15). */
export const TXN_OPS = 64

export class Consul {
  private readonly base: URL
  private readonly options: ConsulOptions
  private readonly agent: Agent

  constructor(options: ConsulOptions) {
    this.options = options
    this.base = new URL(options.url)
    this.agent =
      this.base.protocol === 'https:'
        ? new HttpsAgent({ keepAlive: true, ...(options.ca ? { ca: options.ca } : {}) })
        : new Agent({ keepAlive: true })
  }

  close(): void {
    this.agent.destroy()
  }

  /** All entries under a prefix. `index` makes it wait for news, at most `waitMs`; `consistent` asks a quorum first.
   *  Entries that are as in `known` are these objects, and are not parsed again. */
  async tree(
    prefix: string,
    options: TreeOptions = {},
  ): Promise<{ entries: Pick<KvEntry, 'key' | 'value' | 'index'>[]; index: number }> {
    const query = new URLSearchParams({ recurse: '' })
    if (options.consistent) query.set('consistent', '')
    if (options.index !== undefined) query.set('index', String(options.index))
    if (options.waitMs !== undefined) query.set('wait', `${options.waitMs}ms`)
    const timeoutMs = TIMEOUT_MS + (options.waitMs ?? 0) * 1.1
    const answer = await this.ask('GET', `/v1/kv/${prefix}?${query}`, { timeoutMs, signal: options.signal })
    if (answer.status === 404) return { entries: [], index: answer.index }
    this.expect(answer, 'the store')
    const entries = (answer.body as RawKv[]).map((raw) => {
      const held = options.known?.get(raw.Key)
      return held?.index === raw.ModifyIndex ? held : entryOf(raw)
    })
    return { entries, index: answer.index }
  }

  async get(key: string, options: { consistent?: boolean; timeoutMs?: number } = {}): Promise<KvEntry | undefined> {
    const { consistent, ...limit } = options
    const answer = await this.ask('GET', `/v1/kv/${key}${consistent ? '?consistent' : ''}`, limit)
    if (answer.status === 404) return undefined
    this.expect(answer, key)
    return entryOf((answer.body as RawKv[])[0] as RawKv)
  }

  /** Compare-and-set: 0 for "does not exist". False: it was changed meanwhile. */
  async cas(key: string, value: unknown, index: number): Promise<boolean> {
    const answer = await this.ask('PUT', `/v1/kv/${key}?cas=${index}`, { body: JSON.stringify(value) })
    this.expect(answer, key)
    return answer.body === true
  }

  async deleteCas(key: string, index: number): Promise<boolean> {
    const answer = await this.ask('DELETE', `/v1/kv/${key}?cas=${index}`)
    this.expect(answer, key)
    return answer.body === true
  }

  /** All or none. The index of the change, or undefined when some check failed. */
  async txn(ops: readonly TxnOp[]): Promise<number | undefined> {
    const body = ops.map((op) => ({
      KV: {
        Verb: op.verb,
        Key: op.key,
        ...('value' in op ? { Value: Buffer.from(JSON.stringify(op.value)).toString('base64') } : {}),
        ...('index' in op ? { Index: op.index } : {}),
        ...('session' in op ? { Session: op.session } : {}),
      },
    }))
    const answer = await this.ask('PUT', '/v1/txn', { body: JSON.stringify(body) })
    if (answer.status === 409) return undefined
    this.expect(answer, 'a transaction')
    const results = (answer.body as { Results?: { KV?: { ModifyIndex?: number } }[] | null }).Results ?? []
    return Math.max(0, ...results.map(({ KV }) => KV?.ModifyIndex ?? 0), answer.index)
  }

  /** Without `serfHealth`: a lock must not be lost because gossip had a bad moment. */
  async createSession(options: { name: string; ttlSeconds: number; lockDelaySeconds: number }): Promise<string> {
    const body = {
      Name: options.name,
      TTL: `${options.ttlSeconds}s`,
      LockDelay: `${options.lockDelaySeconds}s`,
      Behavior: 'release',
      NodeChecks: [],
    }
    const answer = await this.ask('PUT', '/v1/session/create', { body: JSON.stringify(body) })
    this.expect(answer, 'a session')
    return (answer.body as { ID: string }).ID
  }

  /** False: the session is gone. */
  async renewSession(id: string): Promise<boolean> {
    const answer = await this.ask('PUT', `/v1/session/renew/${id}`)
    if (answer.status === 404) return false
    this.expect(answer, 'the session')
    return true
  }

  async destroySession(id: string): Promise<void> {
    this.expect(await this.ask('PUT', `/v1/session/destroy/${id}`), 'the session')
  }

  /** The LockIndex, or false when somebody else has the lock. */
  async acquire(key: string, session: string, value: unknown): Promise<number | false> {
    const answer = await this.ask('PUT', `/v1/kv/${key}?acquire=${session}`, { body: JSON.stringify(value) })
    this.expect(answer, key)
    if (answer.body !== true) return false
    const entry = await this.get(key, { consistent: true })
    return entry?.session === session ? entry.lockIndex : false
  }

  async release(key: string, session: string): Promise<void> {
    await this.ask('PUT', `/v1/kv/${key}?release=${session}`, { body: '' })
  }

  /** `serfHealth` by node: passing or critical. A hint, and no more. */
  async gossip(): Promise<Map<string, string>> {
    const answer = await this.ask('GET', '/v1/health/state/any')
    this.expect(answer, 'health')
    const checks = (answer.body as { Node: string; CheckID: string; Status: string }[]).filter(
      ({ CheckID }) => CheckID === 'serfHealth',
    )
    return new Map(checks.map(({ Node, Status }) => [Node, Status]))
  }

  /** Address of the Raft leader; undefined: there is none. */
  async leader(): Promise<string | undefined> {
    const answer = await this.ask('GET', '/v1/status/leader')
    this.expect(answer, 'the leader')
    return typeof answer.body === 'string' && answer.body !== '' ? answer.body : undefined
  }

  /** Any other call of the API, for setting up: answers status and body. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    return this.ask(method, path, body === undefined ? {} : { body: JSON.stringify(body) })
  }

  private expect(answer: Answer, what: string): void {
    if (answer.status === 200) return
    const said =
      typeof answer.body === 'string' ? answer.body.slice(0, 300) : JSON.stringify(answer.body)?.slice(0, 300)
    if (answer.status === 403)
      throw new Fault('consul.denied', `Consul at ${this.base.origin} refuses ${what}: ${said}`)
    throw new Fault('consul.failed', `Consul at ${this.base.origin} answered ${answer.status} for ${what}: ${said}`)
  }

  private ask(
    method: string,
    path: string,
    options: { body?: string; timeoutMs?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<Answer> {
    const call = this.base.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const fail = (error: Error) =>
        reject(
          new Fault('consul.unreachable', `Consul at ${this.base.origin} cannot be asked: ${error.message}`, {
            cause: error,
          }),
        )
      const headers = {
        ...(this.options.token ? { 'x-consul-token': this.options.token } : {}),
        ...(options.body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(options.body) }),
      }
      const ask = call(new URL(path, this.base), {
        method,
        agent: this.agent,
        headers,
        timeout: options.timeoutMs ?? TIMEOUT_MS,
        ...(options.signal ? { signal: options.signal } : {}),
      })
      ask.on('timeout', () => ask.destroy(new Error('no answer in time')))
      ask.on('error', fail)
      ask.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', fail)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({
            status: response.statusCode ?? 0,
            body: parsedOr(text, text),
            index: Number(response.headers['x-consul-index'] ?? 0),
          })
        })
      })
      ask.end(options.body)
    })
  }
}

interface RawKv {
  readonly Key: string
  readonly Value: string | null
  readonly ModifyIndex: number
  readonly LockIndex: number
  readonly Session?: string
}

const entryOf = (raw: RawKv): KvEntry => ({
  key: raw.Key,
  value: raw.Value === null ? undefined : valueOf(Buffer.from(raw.Value, 'base64').toString()),
  index: raw.ModifyIndex,
  session: raw.Session,
  lockIndex: raw.LockIndex,
})

const valueOf = (text: string): unknown => parsedOr(text, text)

export async function openConsul(options: {
  url: string
  tokenFile?: string | undefined
  caFile?: string | undefined
}): Promise<Consul> {
  const read = async (file: string | undefined) =>
    file === undefined ? undefined : (await readFile(file, 'utf8')).trim()
  return new Consul({ url: options.url, token: await read(options.tokenFile), ca: await read(options.caFile) })
}
