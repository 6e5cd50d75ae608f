/** The API server of Kubernetes, as far as the driver needs it: nodes, pods, evictions and volume attachments. Lists
 *  are read in pages, answers are bounded, and what an answer means for a repetition is told by its fault:
 *  `driver.failed` was surely not done, `driver.lost` may have been. */
import * as z from 'zod/mini'
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Http, HttpResponse } from '../../../kit/http.ts'
import { NodeShape, ObjectName, PodShape, Uid, type KubeNode, type Pod } from './kubernetes-objects.ts'
import { REMEDIATIONS, RemediationShape, RESOURCE, type Remediation } from './kubernetes-remediation.ts'

export interface KubernetesAccess {
  readonly server: string
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  /** Read for each request: tokens of service accounts are renewed in their file. */
  readonly token: () => Promise<string | undefined>
}

const PAGE_SIZE = 500
const MOST_PAGES = 400
const MOST_ITEMS = PAGE_SIZE * MOST_PAGES
const MOST_RESTARTS = 3
/** A page of pods with long annotations. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MERGE = 'application/merge-patch+json'
const STRATEGIC = 'application/strategic-merge-patch+json'

const Page = z.object({
  metadata: z.optional(z.object({ continue: z.optional(z.string()) })),
  // Null is how Go writes an empty list.
  items: z.nullable(z.array(z.unknown())),
})
/** Some distributions write "20+". */
const Digits = z.string().check(z.regex(/^\d{1,4}(?!\d)/))
const Version = z.object({ major: Digits, minor: Digits })
const AttachmentShape = z.object({
  metadata: z.object({ name: ObjectName, uid: Uid, deletionTimestamp: z.optional(z.string()) }),
  spec: z.object({ nodeName: z.string() }),
})

interface KubeAsk {
  readonly method: 'GET' | 'PATCH' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly type?: string
}

interface ListAbout {
  readonly signal: AbortSignal
  /** What is said where the server has no such collection. */
  readonly missing?: string
  /** What is done about an item that cannot be read. Absent: it is thrown. */
  readonly unread?: (fault: Fault) => void
}

/** An answer with the time on the server's clock. */
export interface At<T> {
  readonly value: T
  readonly nowMs: number
}

export class KubernetesApi {
  private readonly access: KubernetesAccess
  private readonly http: Http

  constructor(access: KubernetesAccess, http: Http) {
    this.access = { ...access, server: access.server.replace(/\/$/, '') }
    this.http = http
  }

  /** Undefined: there is no such node. */
  async node(name: string, signal: AbortSignal): Promise<At<KubeNode> | undefined> {
    const answer = await this.ask({ method: 'GET', path: nodePath(name) }, signal)
    if (answer.status === 404) return undefined
    const value = parsed(NodeShape, this.expect(answer, [200], `the node ${name}`), `the node ${name}`)
    return { value, nowMs: timeOf(answer) }
  }

  /** False: somebody has written the node since it was read. */
  async patchNode(name: string, patch: object, signal: AbortSignal): Promise<boolean> {
    const answer = await this.ask({ method: 'PATCH', path: nodePath(name), body: patch, type: MERGE }, signal)
    if (answer.status === 409) return false
    this.expect(answer, [200], `a change of the node ${name}`)
    return true
  }

  async patchStatus(name: string, patch: object, signal: AbortSignal): Promise<void> {
    const path = `${nodePath(name)}/status`
    const answer = await this.ask({ method: 'PATCH', path, body: patch, type: STRATEGIC }, signal)
    this.expect(answer, [200], `a change of the status of ${name}`)
  }

  /** Of one node, of one namespace, or of all. */
  async pods(where: { readonly node?: string; readonly namespace?: string }, signal: AbortSignal): Promise<Pod[]> {
    const { node, namespace } = where
    const base = namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
    const selector = node === undefined ? '' : `&fieldSelector=${encodeURIComponent(`spec.nodeName=${node}`)}`
    const pods = await this.all(`${base}?limit=${PAGE_SIZE}${selector}`, PodShape, { signal })
    // Something in between that drops the selector would name the pods of living nodes.
    if (node !== undefined && pods.some(({ spec }) => spec.nodeName !== node))
      throw new Fault('driver.failed', `Kubernetes listed pods of other nodes as those of ${node}`)
    return pods
  }

  /** Removes the object at once: of a node that is proven dead alone. One that is gone, or made anew, is left. */
  async removePod({ metadata: { namespace, name, uid } }: Pod, signal: AbortSignal): Promise<HttpResponse> {
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      propagationPolicy: 'Background',
      preconditions: { uid },
    }
    return this.ask({ method: 'DELETE', path: podPath(namespace, name), body }, signal)
  }

  /** As PodDisruptionBudgets allow it: 429 where they do not. */
  async evict({ metadata: { namespace, name, uid } }: Pod, signal: AbortSignal): Promise<HttpResponse> {
    const { major, minor } = await this.version(signal)
    const body = {
      apiVersion: major > 1 || minor >= 22 ? 'policy/v1' : 'policy/v1beta1',
      kind: 'Eviction',
      metadata: { namespace, name },
      deleteOptions: { preconditions: { uid } },
    }
    return this.ask({ method: 'POST', path: `${podPath(namespace, name)}/eviction`, body }, signal)
  }

  /** Since 1.26 the attach-detach controller does it by the taint; before, it waits six minutes. */
  async detachVolumes(nodeName: string, signal: AbortSignal): Promise<void> {
    const { major, minor } = await this.version(signal)
    if (major > 1 || minor >= 26) return
    const base = '/apis/storage.k8s.io/v1/volumeattachments'
    const all = await this.all(`${base}?limit=${PAGE_SIZE}`, AttachmentShape, { signal })
    for (const { metadata, spec } of all) {
      if (spec.nodeName !== nodeName || metadata.deletionTimestamp !== undefined) continue
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: metadata.uid } }
      const path = `${base}/${encodeURIComponent(metadata.name)}`
      const answer = await this.ask({ method: 'DELETE', path, body }, signal)
      this.expect(answer, [200, 202, 404, 409], `the end of the volume attachment ${metadata.name}`)
    }
  }

  /** Of all namespaces. One that cannot be read is told, and the others are answered. */
  async remediations(signal: AbortSignal, unread: (fault: Fault) => void): Promise<Remediation[]> {
    const missing = 'Kubernetes has no RackwardRemediation: apply docs/examples/kubernetes-remediation.yaml'
    return this.all(`${REMEDIATIONS}/${RESOURCE}?limit=${PAGE_SIZE}`, RemediationShape, { signal, missing, unread })
  }

  /** One that was changed or removed since is left for the next round. */
  async sayOfRemediation({ metadata }: Remediation, conditions: readonly object[], signal: AbortSignal): Promise<void> {
    const { name, namespace, resourceVersion } = metadata
    const path = `${REMEDIATIONS}/namespaces/${encodeURIComponent(namespace)}/${RESOURCE}/${encodeURIComponent(name)}/status`
    const body = { metadata: { resourceVersion }, status: { conditions } }
    const answer = await this.ask({ method: 'PATCH', path, body, type: MERGE }, signal)
    this.expect(answer, [200, 404, 409], `the answer to the request to remedy ${name}`)
  }

  /** Asked each time: a server is upgraded while arbiters run. */
  private async version(signal: AbortSignal): Promise<{ major: number; minor: number }> {
    const answer = await this.ask({ method: 'GET', path: '/version' }, signal)
    const { major, minor } = parsed(Version, this.expect(answer, [200], 'the version'), 'the version')
    return { major: Number.parseInt(major, 10), minor: Number.parseInt(minor, 10) }
  }

  /** All pages. 410: the next page is of a time that the server has forgotten; from the beginning then. */
  private async all<T extends z.ZodMiniType>(path: string, shape: T, about: ListAbout): Promise<z.infer<T>[]> {
    for (let restarts = 0; restarts < MOST_RESTARTS; restarts += 1) {
      const items = await this.pages(path, shape, about)
      if (items) return items
    }
    throw new Fault('driver.failed', `Kubernetes lists ${path.split('?')[0]} too slowly: its pages expire`)
  }

  private async pages<T extends z.ZodMiniType>(
    path: string,
    shape: T,
    { signal, missing, unread }: ListAbout,
  ): Promise<z.infer<T>[] | undefined> {
    const items: z.infer<T>[] = []
    const what = path.split('?')[0] ?? path
    let next = ''
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const answer = await this.ask({ method: 'GET', path: path + next }, signal)
      if (answer.status === 410) return undefined
      if (answer.status === 404 && missing !== undefined) throw new Fault('driver.failed', missing)
      const list = parsed(Page, this.expect(answer, [200], what), what)
      for (const item of list.items ?? [])
        try {
          items.push(parsed(shape, item, what))
        } catch (error) {
          if (!unread || !isFault(error)) throw error
          unread(error)
        }
      if (items.length > MOST_ITEMS) break
      if (!list.metadata?.continue) return items
      next = `&continue=${encodeURIComponent(list.metadata.continue)}`
    }
    throw new Fault('driver.failed', `Kubernetes has more than ${MOST_ITEMS} of ${what}`)
  }

  private async ask({ method, path, body, type }: KubeAsk, signal: AbortSignal): Promise<HttpResponse> {
    const { server, ca, cert, key } = this.access
    const token = await this.access.token()
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(type === undefined ? {} : { 'content-type': type }),
    }
    return this.http({ method, url: server + path, headers, body, signal, ca, cert, key, maxBytes: MAX_ANSWER_BYTES })
  }

  /** The body of an answer of one of these statuses. */
  expect(answer: HttpResponse, statuses: readonly number[], what: string): unknown {
    if (statuses.includes(answer.status)) return answer.body
    throw new Fault(answer.status >= 500 ? 'driver.lost' : 'driver.failed', refusalOf(answer, what))
  }
}

export const refusalOf = ({ status, body }: HttpResponse, what: string): string => {
  const message = (body as { message?: unknown } | undefined)?.message
  return `Kubernetes answered ${status} for ${what}${typeof message === 'string' ? `: ${message.slice(0, 300)}` : ''}`
}

const nodePath = (name: string): string => `/api/v1/nodes/${encodeURIComponent(name)}`
const podPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`

function parsed<T extends z.ZodMiniType>(shape: T, value: unknown, what: string): z.infer<T> {
  const result = shape.safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0] ?? { path: [], message: 'is of another shape' }
  throw new Fault('driver.failed', `Kubernetes answered ${what} without sense: ${path.join('.')}: ${message}`)
}

function timeOf({ headers }: HttpResponse): number {
  const ms = Date.parse(String(headers.date))
  if (Number.isNaN(ms)) throw new Fault('driver.failed', 'Kubernetes does not say what time it is (header Date)')
  return ms
}
