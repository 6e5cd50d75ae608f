/** The few routes of Kubernetes' API server that the driver and its tests use, in memory. The driver may do what the
 *  role in docs/examples/kubernetes-rbac.yaml allows. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rightOf, rightsOfRole } from './rbac.ts'

/* eslint-disable @typescript-eslint/no-explicit-any */
type Doc = Record<string, any>

export const TOKEN = 'a-token-of-the-fake'
export const DRIVER_TOKEN = 'a-token-of-the-driver'
const KINDS = ['nodes', 'pods', 'configmaps', 'volumeattachments', 'poddisruptionbudgets', 'rackwardremediations']
const SUBS = ['status', 'eviction', 'binding']

class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export class FakeKubernetes {
  /** Path -> object. */
  readonly objects = new Map<string, Doc>()
  readonly requests: string[] = []
  /** What the driver used of its rights. */
  readonly used = new Set<string>()
  readonly rights: Set<string>
  /** A collection that the server does not have. */
  lacks = ''
  /** Changes an answer on its way to the driver. */
  twist: (path: string, body: Doc) => unknown = (_, body) => body
  minor = '20+'
  /** So many further pages answer 410. */
  expired = 0
  /** So many answers are lost once the request is done. */
  lost = 0
  pageSize = Number.POSITIVE_INFINITY
  private version = 1
  private readonly server = createServer((request, response) => void this.serve(request, response))

  constructor(rights = rightsOfRole()) {
    this.rights = rights
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const url = new URL(request.url ?? '/', 'http://fake')
    this.requests.push(`${request.method} ${url.pathname}`)
    let status = 200
    let body: unknown
    try {
      const isDriver = request.headers.authorization === `Bearer ${DRIVER_TOKEN}`
      if (!isDriver && request.headers.authorization !== `Bearer ${TOKEN}`) throw new Refusal(401, 'Unauthorized')
      const right = rightOf(request.method ?? '', url.pathname)
      if (isDriver && !this.rights.has(right)) throw new Refusal(403, `rackward cannot ${right}`)
      if (isDriver) this.used.add(right)
      const about = { method: request.method ?? '', url, body: text ? (JSON.parse(text) as Doc) : {} }
      body = this.answer({ ...about, type: request.headers['content-type'] ?? '' })
      // A copy: what is stored stays as it is.
      if (isDriver) body = this.twist(url.pathname, structuredClone(body) as Doc)
      if (request.method === 'POST') status = 201
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      status = error.status
      body = { kind: 'Status', status: 'Failure', message: error.message, code: status }
    }
    if (this.lost > 0 && request.method === 'DELETE') {
      this.lost -= 1
      return void response.destroy()
    }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  private answer({ method, url, body, type }: { method: string; url: URL; body: Doc; type: string }): unknown {
    if (url.pathname === '/version') return { major: '1', minor: this.minor }
    const parts = url.pathname.split('/')
    if (this.lacks !== '' && parts.includes(this.lacks)) throw new Refusal(404, '404 page not found')
    const sub = SUBS.includes(parts.at(-1) ?? '') ? parts.pop() : undefined
    const path = parts.join('/')
    if (KINDS.includes(parts.at(-1) ?? '')) return method === 'POST' ? this.create(path, body) : this.list(path, url)
    const found = this.objects.get(path)
    if (!found) throw new Refusal(404, `${parts.slice(-2).join(' ')} not found`)
    if (sub === 'eviction') return this.evict(path, found, body)
    if (sub === 'binding') return this.put(path, { ...found, spec: { ...found.spec, nodeName: body.target.name } })
    if (method === 'DELETE') return this.remove(path, found, body)
    if (method === 'PATCH') return this.patch(path, found, { body, sub, type })
    return found
  }

  private create(path: string, body: Doc): Doc {
    const name: string = body.metadata.name
    const key = `${path}/${name}`
    if (this.objects.has(key)) throw new Refusal(409, `${name} already exists`)
    const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1]
    const creationTimestamp = `${new Date().toISOString().slice(0, 19)}Z`
    const metadata = { ...body.metadata, ...(namespace ? { namespace } : {}), uid: randomUUID(), creationTimestamp }
    // A status is written by its own route alone.
    return this.put(key, { ...body, metadata, status: path.endsWith('/pods') ? { phase: 'Pending' } : {} })
  }

  private put(key: string, value: Doc): Doc {
    const next = { ...value, metadata: { ...value.metadata, resourceVersion: String((this.version += 1)) } }
    this.objects.set(key, next)
    return next
  }

  private list(path: string, url: URL): Doc {
    const kind = path.split('/').at(-1) ?? ''
    const [base, namespaced] = [path.slice(0, -kind.length - 1), kind === 'pods' || kind === 'rackwardremediations']
    const everywhere = namespaced && !path.includes('/namespaces/')
    const node = /^spec\.nodeName=(.*)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1]
    const all = [...this.objects].filter(([key, { spec }]) => {
      const below = everywhere
        ? new RegExp(`^${base}/namespaces/[^/]+/${kind}/[^/]+$`).test(key)
        : key.startsWith(`${path}/`)
      return below && (node === undefined || spec?.nodeName === node)
    })
    const from = Number(url.searchParams.get('continue') ?? 0)
    if (from > 0 && this.expired > 0) {
      this.expired -= 1
      throw new Refusal(410, 'The provided continue parameter is too old')
    }
    const to = from + Math.min(this.pageSize, Number(url.searchParams.get('limit') ?? this.pageSize))
    const metadata = to < all.length ? { continue: String(to) } : {}
    return { metadata, items: all.slice(from, to).map(([, value]) => value) }
  }

  private patch(path: string, found: Doc, { body, sub, type }: { body: Doc; sub: string | undefined; type: string }) {
    const wanted = body.metadata?.resourceVersion
    if (wanted !== undefined && wanted !== found.metadata.resourceVersion)
      throw new Refusal(409, 'the object has been modified; please apply your changes to the latest version')
    // Of objects that Kubernetes itself does not know, lists are replaced.
    if (sub === 'status' && path.startsWith('/apis/remediation.')) {
      if (!type.startsWith('application/merge-patch+json')) throw new Refusal(415, 'merge is expected')
      return this.put(path, { ...found, status: merged(found.status, body.status) })
    }
    if (sub === 'status') {
      if (!type.startsWith('application/strategic-merge-patch+json')) throw new Refusal(415, 'strategic is expected')
      const kept = (found.status.conditions ?? []).filter(
        (one: Doc) => !(body.status.conditions ?? []).some((other: Doc) => other.type === one.type),
      )
      const before = new Map((found.status.conditions ?? []).map((one: Doc) => [one.type, one]))
      const conditions = (body.status.conditions ?? []).map((one: Doc) => ({
        ...(before.get(one.type) as Doc),
        ...one,
      }))
      return this.put(path, {
        ...found,
        status: { ...found.status, ...body.status, conditions: [...kept, ...conditions] },
      })
    }
    if (!type.startsWith('application/merge-patch+json')) throw new Refusal(415, 'merge is expected')
    const { resourceVersion: _, ...metadata } = body.metadata ?? {}
    return this.put(path, merged({ ...found, status: found.status }, { ...body, metadata }) as Doc)
  }

  private remove(path: string, found: Doc, body: Doc): Doc {
    const uid = body.preconditions?.uid
    if (uid !== undefined && uid !== found.metadata.uid)
      throw new Refusal(409, `the UID in the precondition (${uid}) does not match (${found.metadata.uid})`)
    // Without grace it is gone; a pod of a node waits for its kubelet otherwise.
    const stays = path.includes('/pods/') && found.spec.nodeName !== undefined && body.gracePeriodSeconds !== 0
    if (!stays) this.objects.delete(path)
    else if (!found.metadata.deletionTimestamp) {
      const deletionTimestamp = new Date(Date.now() + 30_000).toISOString()
      this.put(path, { ...found, metadata: { ...found.metadata, deletionTimestamp, deletionGracePeriodSeconds: 30 } })
    }
    return found
  }

  private evict(path: string, found: Doc, body: Doc): Doc {
    const namespace = found.metadata.namespace
    const budget = [...this.objects].find(
      ([key, { spec }]) =>
        key.includes(`/namespaces/${namespace}/poddisruptionbudgets/`) &&
        Object.entries(spec.selector.matchLabels).every(([name, value]) => found.metadata.labels?.[name] === value),
    )
    if (budget) throw new Refusal(429, "Cannot evict pod as it would violate the pod's disruption budget.")
    this.remove(path, found, body.deleteOptions ?? {})
    return { kind: 'Status', status: 'Success' }
  }
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Doc = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch))
    if (value === null) delete result[key]
    else result[key] = merged(result[key], value)
  return result
}
