/** What a test needs of a cluster, by its API alone: nodes, pods, and the parts that a test plays itself (scheduler,
 *  kubelet, a controller of pods). The same for the fake and for a real server. */
import { randomUUID } from 'node:crypto'
import { KubernetesDriver } from '../../host-agent/adapters/instances/kubernetes.ts'
import { http, type Http, type HttpResponse } from '../../kit/http.ts'

/* eslint-disable @typescript-eslint/no-explicit-any */
export type Doc = Record<string, any>

export interface ClusterAccess {
  readonly server: string
  readonly ca: string | undefined
  /** Of a user that may do everything. */
  readonly admin: string
  /** Of the driver: least rights. */
  readonly token: string
}

const NAMESPACE = '/api/v1/namespaces/default'
const MERGE = { 'content-type': 'application/merge-patch+json' }
const STRATEGIC = { 'content-type': 'application/strategic-merge-patch+json' }
export const DEATH = { why: 'a test', bootId: 'b', systemUuid: null }
export const signal = (): AbortSignal => AbortSignal.timeout(15_000)

export class Cluster {
  private readonly access: ClusterAccess

  constructor(access: ClusterAccess) {
    this.access = access
  }

  driver(through: Http = http): KubernetesDriver {
    const { server, ca, token } = this.access
    return new KubernetesDriver({ server, ca, cert: undefined, key: undefined, token: async () => token }, through)
  }

  ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<HttpResponse> {
    const { server, ca, admin } = this.access
    const all = { authorization: `Bearer ${admin}`, ...headers }
    return http({ method, url: server + path, headers: all, body, signal: signal(), ca })
  }

  async ok(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Doc> {
    const answer = await this.ask(method, path, body, headers)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as Doc
  }

  async node(name: string): Promise<Doc> {
    return this.ok('GET', `/api/v1/nodes/${name}`)
  }

  /** A new node, which is ready. */
  async addNode(name: string, bootID: string): Promise<void> {
    await this.ok('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: {} })
    await this.kubelet(name, bootID)
  }

  patchNode = (name: string, patch: object): Promise<Doc> => this.ok('PATCH', `/api/v1/nodes/${name}`, patch, MERGE)

  /** What its kubelet writes at its start. */
  async kubelet(name: string, bootID: string, ready = 'True'): Promise<void> {
    const info = Object.fromEntries(
      ['machineID', 'systemUUID', 'kernelVersion', 'osImage', 'containerRuntimeVersion', 'kubeletVersion']
        .concat('kubeProxyVersion', 'operatingSystem', 'architecture')
        .map((key) => [key, 'x']),
    )
    const now = `${new Date().toISOString().slice(0, 19)}Z`
    const condition = { type: 'Ready', status: ready, reason: 'Test', lastHeartbeatTime: now, lastTransitionTime: now }
    const allocatable = { cpu: '8', memory: '16Gi', pods: '110' }
    const status = { nodeInfo: { ...info, bootID }, conditions: [condition], capacity: allocatable, allocatable }
    await this.ok('PATCH', `/api/v1/nodes/${name}/status`, { status }, STRATEGIC)
  }

  /** Something that pods can belong to. */
  async addOwner(): Promise<string> {
    const name = `owner-${randomUUID()}`
    const made = await this.ok('POST', `${NAMESPACE}/configmaps`, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name },
    })
    return made.metadata.uid
  }

  /** A pod; bound and ready where a node is named. Answers its UID. */
  async addPod(
    name: string,
    about: { node?: string; owner?: string; kind?: string; metadata?: Doc; spec?: Doc; phase?: string } = {},
  ): Promise<string> {
    const { owner, kind = 'ConfigMap', node } = about
    const reference = { apiVersion: kind === 'ConfigMap' ? 'v1' : 'apps/v1', kind, name: 'owner', uid: owner }
    const metadata = {
      name,
      ...(owner === undefined ? {} : { ownerReferences: [{ ...reference, controller: true }] }),
      ...about.metadata,
    }
    const containers = [{ name: 'c', image: 'none', resources: { requests: { memory: '128Mi' } } }]
    // As a static pod or one of a daemon set: no scheduler is asked.
    const spec = { containers, ...(node === undefined ? {} : { nodeName: node }), ...about.spec }
    const made = await this.ok('POST', `${NAMESPACE}/pods`, { apiVersion: 'v1', kind: 'Pod', metadata, spec })
    if (node !== undefined || about.phase !== undefined) await this.podStatus(name, 'True', about.phase)
    return made.metadata.uid
  }

  async bind(name: string, node: string): Promise<void> {
    const target = { apiVersion: 'v1', kind: 'Node', name: node }
    await this.ok('POST', `${NAMESPACE}/pods/${name}/binding`, {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name },
      target,
    })
  }

  async podStatus(name: string, ready: string, phase = 'Running', more: readonly Doc[] = []): Promise<void> {
    const conditions = [{ type: 'Ready', status: ready }, ...more]
    await this.ok('PATCH', `${NAMESPACE}/pods/${name}/status`, { status: { phase, conditions } }, STRATEGIC)
  }

  async pods(): Promise<Doc[]> {
    return (await this.ok('GET', '/api/v1/pods')).items
  }

  async removePod(name: string): Promise<void> {
    await this.ask('DELETE', `${NAMESPACE}/pods/${name}`, { gracePeriodSeconds: 0 })
  }

  /** Leaves nothing of a test. */
  async clear(): Promise<void> {
    for (const { metadata } of await this.pods()) await this.removePod(metadata.name)
    for (const path of ['/api/v1/nodes', '/apis/storage.k8s.io/v1/volumeattachments'])
      for (const { metadata } of (await this.ok('GET', path)).items)
        await this.ask('DELETE', `${path}/${metadata.name}`)
    const budgets = '/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets'
    for (const { metadata } of (await this.ok('GET', budgets)).items)
      await this.ask('DELETE', `${budgets}/${metadata.name}`)
  }
}
