/** Evacuation of pods. A pod is never moved: its object is removed, and its controller makes another. Kubernetes itself
 *  waits for minutes, because it cannot know that a silent node is dead; here it was proven. The node is marked out of
 *  service first, so that nothing is bound to it and its volumes are detached. */
import { Fault } from '../../../kit/fault.ts'
import type { Http } from '../../../kit/http.ts'
import type {
  Death,
  Instance,
  Inventory,
  Listing,
  MigrationRequest,
  MoveRequest,
  Sought,
  Started,
  StepTaken,
  Whereabouts,
} from '../../evacuate/instances.ts'
import type { Driver } from './driver.ts'
import { KubernetesApi, refusalOf, type At, type KubernetesAccess } from './kubernetes-api.ts'
import {
  cordon,
  hasClaims,
  instanceId,
  instanceOf,
  isMoved,
  markDead,
  sayNotReady,
  takeBack,
  uidOf,
  whereaboutsOf,
  whyNotDead,
  whyNotMarked,
  type KubeNode,
  type Pod,
} from './kubernetes-objects.ts'

/** The node controller writes the node at the same time. */
const WRITES = 5
const MOST_REMEMBERED = 5_000
/** Lists of namespaces that are cheaper than one of all. */
const MOST_NAMESPACES = 10
const GONE = new Set([200, 202, 404, 409])

export class KubernetesDriver implements Driver {
  readonly name = 'kubernetes'
  readonly choosesTarget = false
  /** What was removed is not in the next list. */
  readonly graceMs = 1_000
  /** Removing objects burdens no node; where new pods fit, the scheduler decides. */
  readonly atOnce = 100
  private readonly api: KubernetesApi
  /** Host -> its pods by UID, as they were listed. */
  private readonly listed = new Map<string, Map<string, Pod>>()

  constructor(access: KubernetesAccess, http: Http) {
    this.api = new KubernetesApi(access, http)
  }

  async survey(signal: AbortSignal): Promise<Inventory> {
    const instances = new Map<string, Instance[]>()
    for (const pod of await this.api.pods({}, signal)) {
      const { nodeName } = pod.spec
      if (nodeName === undefined || !isMoved(pod)) continue
      const there = instances.get(nodeName)
      if (there) there.push(instanceOf(pod))
      else instances.set(nodeName, [instanceOf(pod)])
    }
    return { instances: Object.fromEntries(instances) }
  }

  async list(host: string, signal: AbortSignal): Promise<Listing> {
    return { complete: true, instances: (await this.podsOf(host, signal)).filter(isMoved).map(instanceOf) }
  }

  /** The taint first: the node controller writes the node when its status changes. */
  async prepare(host: string, death: Death, signal: AbortSignal): Promise<void> {
    const { why, bootId } = death
    const pods = await this.podsOf(host, signal)
    await this.change(host, signal, ({ value, nowMs }) => {
      const refusal = whyNotDead(value, death)
      if (refusal !== undefined) throw new Fault('driver.failed', `${refusal}: its pods are left as they are`)
      return markDead(value, pods, { bootId: bootId ?? '', why, nowMs })
    })
    const { value, nowMs } = await this.nodeOf(host, signal)
    const status = sayNotReady(value, { why, nowMs })
    if (status && whyNotDead(value, death) === undefined) await this.api.patchStatus(host, status, signal)
  }

  async locate(host: string, { instances, arrived }: Sought, signal: AbortSignal): Promise<Map<string, Whereabouts>> {
    const node = await this.api.node(host, signal)
    const pods = await this.podsAround(host, [...instances, ...arrived], signal)
    if (!node) {
      const why = `Kubernetes has no node ${host} any more`
      return new Map(instances.map((id) => [id, { at: 'unknown', why }]))
    }
    return whereaboutsOf(instances, { node: node.value, pods, arrived, nowMs: node.nowMs })
  }

  /** Looks at the node once more: a kubelet that came back meanwhile may run the pod. */
  async start({ instance, source }: MoveRequest, signal: AbortSignal): Promise<Started> {
    const { value } = await this.nodeOf(source, signal)
    const refusal = whyNotMarked(value)
    if (refusal !== undefined) return { got: 'refused', why: refusal, final: false }
    const pod = await this.podOf(source, instance, signal)
    if (pod) {
      const answer = await this.api.removePod(pod, signal)
      const what = `the removal of ${pod.metadata.namespace}/${pod.metadata.name}`
      if (answer.status >= 500) throw new Fault('driver.lost', refusalOf(answer, what))
      if (!GONE.has(answer.status))
        return { got: 'refused', why: refusalOf(answer, what), final: answer.status === 403 }
    }
    if (!pod || hasClaims(pod)) await this.api.detachVolumes(source, signal)
    return { got: 'accepted', ref: null }
  }

  /** By eviction, off a node that gets no new pods from then on. */
  async migrate({ instance, source }: MigrationRequest, signal: AbortSignal): Promise<Started> {
    await this.change(source, signal, ({ value }) => cordon(value, 'drained by Rackward'))
    const pod = await this.podOf(source, instance, signal)
    if (!pod) return { got: 'accepted', ref: null }
    const answer = await this.api.evict(pod, signal)
    const what = `the eviction of ${pod.metadata.namespace}/${pod.metadata.name}`
    if ([200, 201, 202, 404].includes(answer.status)) return { got: 'accepted', ref: null }
    if (answer.status === 429)
      return {
        got: 'refused',
        why: `it must wait for its PodDisruptionBudget: ${refusalOf(answer, what)}`,
        final: false,
      }
    if (answer.status >= 500) throw new Fault('driver.lost', refusalOf(answer, what))
    return { got: 'refused', why: refusalOf(answer, what), final: false }
  }

  restart(): Promise<StepTaken> {
    return Promise.resolve({ got: 'refused', why: 'the kubelet restarts the containers of pods itself' })
  }

  async disable(host: string, why: string, signal: AbortSignal): Promise<StepTaken> {
    await this.change(host, signal, ({ value }) => cordon(value, why))
    return { got: 'done' }
  }

  /** Its kubelet starts behind the gate: until then nothing of the node is to be cleaned. */
  async readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean> {
    this.listed.delete(host)
    if (step === 'clean') return true
    const node = await this.api.node(host, signal)
    if (!node) return true
    const way = takeBack(node.value)
    if (way.got === 'never') throw new Fault('driver.failed', way.why)
    if (way.got !== 'patch') return way.got === 'done'
    return this.api.patchNode(host, way.patch, signal)
  }

  private async podsOf(host: string, signal: AbortSignal): Promise<Pod[]> {
    const pods = await this.api.pods({ node: host }, signal)
    const before = this.listed.get(host)
    // What is removed meanwhile is remembered: its namespace is where its replacement comes.
    const kept = before !== undefined && before.size < MOST_REMEMBERED ? [...before] : []
    this.listed.set(host, new Map([...kept, ...pods.map((pod) => [pod.metadata.uid, pod] as const)]))
    return pods
  }

  /** The pods of the namespaces that these instances are of; of all, where an earlier leader listed them. */
  private async podsAround(host: string, instances: readonly string[], signal: AbortSignal): Promise<Pod[]> {
    const listed = this.listed.get(host)
    const namespaces = new Set(instances.map((id) => listed?.get(uidOf(id))?.metadata.namespace))
    if (namespaces.has(undefined) || namespaces.size > MOST_NAMESPACES) return this.api.pods({}, signal)
    const lists = [...namespaces].map((namespace = '') => this.api.pods({ namespace }, signal))
    return (await Promise.all(lists)).flat()
  }

  private async podOf(host: string, instance: string, signal: AbortSignal): Promise<Pod | undefined> {
    const known = this.listed.get(host)?.get(uidOf(instance))
    if (known) return known
    return (await this.podsOf(host, signal)).find((pod) => instanceId(pod) === instance)
  }

  private async nodeOf(host: string, signal: AbortSignal): Promise<At<KubeNode>> {
    const node = await this.api.node(host, signal)
    if (!node)
      throw new Fault('driver.failed', `Kubernetes has no node ${host}: nodes must have the names of their hosts`)
    return node
  }

  /** Reads, changes, and does both again when somebody else has written in between. */
  private async change(
    host: string,
    signal: AbortSignal,
    patchOf: (node: At<KubeNode>) => object | undefined,
  ): Promise<void> {
    for (let writes = 0; writes < WRITES; writes += 1) {
      const patch = patchOf(await this.nodeOf(host, signal))
      if (patch === undefined || (await this.api.patchNode(host, patch, signal))) return
    }
    throw new Fault('driver.failed', `the node ${host} is written by others all the time`)
  }
}
