/** Nodes and pods as Kubernetes describes them: what of a node's pods is moved, how a dead node is marked and taken
 *  back, and which new pod stands for which lost one. Pure. */
import * as z from 'zod/mini'
import { sameUuid } from '../../fence/bmc-identity.ts'
import type { Death, Instance, Whereabouts } from '../../evacuate/instances.ts'

const Text = z.string().check(z.maxLength(32_768))
/** Of an object: it stands in paths, where ".." would be another path. */
export const ObjectName = z.string().check(z.regex(/^[a-z0-9][a-z0-9.:-]{0,252}$/))
const Word = z.string().check(z.minLength(1), z.maxLength(317))
export const Uid = z.string().check(z.regex(/^[A-Za-z0-9-]{1,63}$/))
const Condition = z.object({
  type: Word,
  status: Word,
  reason: z.optional(Text),
  message: z.optional(Text),
})

/** Annotations of a node. */
const BOOT = 'rackward/boot'
const SINCE = 'rackward/since'
const WHY = 'rackward/why'
const CORDONED = 'rackward/cordoned'
/** Of a pod. */
const MIRROR = 'kubernetes.io/config.mirror'

// Other annotations may have any length, and are not kept.
const NodeNotes = z.object({
  [BOOT]: z.optional(Text),
  [SINCE]: z.optional(Text),
  [WHY]: z.optional(Text),
  [CORDONED]: z.optional(Text),
})

export const NodeShape = z.object({
  metadata: z.object({ name: ObjectName, resourceVersion: Word, annotations: z.optional(NodeNotes) }),
  spec: z.object({
    unschedulable: z.optional(z.boolean()),
    taints: z.optional(z.array(z.looseObject({ key: Word, effect: Word }))),
  }),
  status: z.object({
    conditions: z.optional(z.array(Condition)),
    nodeInfo: z.optional(z.object({ bootID: z.optional(Text), systemUUID: z.optional(Text) })),
  }),
})
export type KubeNode = z.infer<typeof NodeShape>

export const PodShape = z.object({
  metadata: z.object({
    name: ObjectName,
    namespace: ObjectName,
    uid: Uid,
    creationTimestamp: Word,
    deletionTimestamp: z.optional(Word),
    deletionGracePeriodSeconds: z.optional(z.number()),
    annotations: z.optional(z.object({ [MIRROR]: z.optional(z.string()) })),
    ownerReferences: z.optional(z.array(z.object({ kind: Word, uid: Uid, controller: z.optional(z.boolean()) }))),
  }),
  spec: z.object({
    nodeName: z.optional(Word),
    priority: z.optional(z.number()),
    volumes: z.optional(z.array(z.object({ persistentVolumeClaim: z.optional(z.object({})) }))),
    containers: z.array(
      z.object({
        resources: z.optional(
          z.object({ requests: z.optional(z.object({ memory: z.optional(z.union([z.string(), z.number()])) })) }),
        ),
      }),
    ),
  }),
  status: z.optional(z.object({ phase: z.optional(Word), conditions: z.optional(z.array(Condition)) })),
})
export type Pod = z.infer<typeof PodShape>

export const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service'

/** The times in Kubernetes' objects are whole seconds, and of more than one clock where there are several servers. */
const CLOCKS_MS = 2_000
/** A controller that makes no new pod for so long wants none, or may make none. */
const REPLACED_WITHIN_MS = 60_000

const controllerOf = ({ metadata }: Pod) => metadata.ownerReferences?.find(({ controller }) => controller)
const conditionOf = (conditions: readonly z.infer<typeof Condition>[] | undefined, type: string) =>
  conditions?.find((one) => one.type === type)

/** The pod and its controller, by which its replacement is found when it is gone. */
export const instanceId = (pod: Pod): string =>
  [pod.metadata.uid, controllerOf(pod)?.uid].filter((uid) => uid !== undefined).join('.')
export const uidOf = (instance: string): string => instance.split('.')[0] ?? ''
const ownerOf = (instance: string): string | undefined => instance.split('.')[1]

/** Pods that are moved: neither those that belong to the node itself nor those that are done. */
export const isMoved = (pod: Pod): boolean =>
  pod.metadata.annotations?.[MIRROR] === undefined &&
  controllerOf(pod)?.kind !== 'DaemonSet' &&
  !['Succeeded', 'Failed'].includes(pod.status?.phase ?? '')

export const hasClaims = ({ spec }: Pod): boolean =>
  spec.volumes?.some(({ persistentVolumeClaim }) => persistentVolumeClaim !== undefined) ?? false

export const instanceOf = (pod: Pod): Instance => ({
  id: instanceId(pod),
  name: `${pod.metadata.namespace}/${pod.metadata.name}`.slice(-255),
  priority: pod.spec.priority ?? 0,
  memoryMb: Math.ceil(
    pod.spec.containers.reduce((sum, { resources }) => sum + bytesOf(resources?.requests?.memory), 0) / 1024 ** 2,
  ),
  group: null,
  unprotected: controllerOf(pod) ? null : 'it has no controller, which would make it anew on another node',
})

const SUFFIXES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18, m: 1e-3 }
const BINARY = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

/** Of a quantity, such as 128Mi, 1.5G, 1e9; what is none counts as 0. */
export function bytesOf(quantity: string | number | undefined): number {
  const [, number = '', suffix = ''] = /^([+-]?[0-9.]+(?:[eE][+-]?\d+)?)([A-Za-z]{0,2})$/.exec(String(quantity)) ?? []
  const binary = BINARY.indexOf(suffix)
  const factor = binary >= 0 ? 1024 ** (binary + 1) : (SUFFIXES[suffix] ?? 0)
  const bytes = Number(number) * factor
  return Number.isFinite(bytes) && bytes > 0 ? bytes : 0
}

export interface NodeDeath {
  readonly bootId: string
  readonly why: string
  /** By the server's clock. */
  readonly nowMs: number
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Why the node cannot be taken for the boot that died; undefined: it can. Its pods may run otherwise. */
export function whyNotDead(
  { metadata, status }: KubeNode,
  { bootId, systemUuid }: Pick<Death, 'bootId' | 'systemUuid'>,
): string | undefined {
  const known = status.nodeInfo?.bootID
  const machine = status.nodeInfo?.systemUUID ?? ''
  if (!bootId) return 'the mesh never heard which boot died'
  // Without SMBIOS a kubelet reports something else than a UUID.
  if (systemUuid !== null && UUID.test(machine) && !sameUuid(machine, systemUuid))
    return `the kubelet of ${metadata.name} runs on another machine (${machine}) than the one that was proven dead (${systemUuid})`
  if (known === bootId) return undefined
  return known
    ? `the kubelet of ${metadata.name} reported another boot than the one that was proven dead`
    : `the kubelet of ${metadata.name} did not report its boot`
}

/** The same by the mark that `prepare` left, for what is done after it. */
export function whyNotMarked(node: KubeNode): string | undefined {
  const dead = node.metadata.annotations?.[BOOT]
  return dead
    ? whyNotDead(node, { bootId: dead, systemUuid: null })
    : `${node.metadata.name} is not marked as dead any more`
}

/** What `prepare` asks for: a merge patch of the node; undefined: it is marked already. */
export function markDead(node: KubeNode, pods: readonly Pod[], death: NodeDeath): object | undefined {
  const { annotations = {}, resourceVersion } = node.metadata
  const { taints = [], unschedulable = false } = node.spec
  const isMarked = annotations[BOOT] === death.bootId && annotations[SINCE] !== undefined
  const isTainted = taints.some(({ key, effect }) => key === OUT_OF_SERVICE && effect === 'NoExecute')
  if (isMarked && isTainted && unschedulable) return undefined
  const taint = { key: OUT_OF_SERVICE, value: 'nodeshutdown', effect: 'NoExecute' }
  return {
    metadata: {
      resourceVersion,
      annotations: {
        [BOOT]: death.bootId,
        [WHY]: death.why.slice(0, 500),
        ...(isMarked ? {} : { [SINCE]: new Date(firstLoss(pods, death.nowMs)).toISOString() }),
        ...(unschedulable ? {} : { [CORDONED]: 'true' }),
      },
    },
    spec: { unschedulable: true, taints: isTainted ? taints : [...taints, taint] },
  }
}

/** Controllers replace a pod from the moment that somebody asked for its deletion. */
const firstLoss = (pods: readonly Pod[], nowMs: number): number =>
  Math.min(
    nowMs,
    ...pods.flatMap(({ metadata: { deletionTimestamp, deletionGracePeriodSeconds = 0 } }) => {
      const askedMs = Date.parse(deletionTimestamp ?? '') - deletionGracePeriodSeconds * 1000
      return Number.isFinite(askedMs) ? [askedMs] : []
    }),
  )

/** A strategic merge patch of the node's status; undefined: it is not ready already. */
export function sayNotReady({ status }: KubeNode, death: Pick<NodeDeath, 'why' | 'nowMs'>): object | undefined {
  if (conditionOf(status.conditions, 'Ready')?.status !== 'True') return undefined
  const condition = {
    type: 'Ready',
    status: 'Unknown',
    reason: 'RackwardFenced',
    message: death.why.slice(0, 500),
    lastTransitionTime: `${new Date(death.nowMs).toISOString().slice(0, 19)}Z`,
  }
  return { status: { conditions: [condition] } }
}

/** A node that gets no new pods; undefined: it gets none already. */
export const cordon = ({ metadata, spec }: KubeNode, why: string): object | undefined =>
  spec.unschedulable
    ? undefined
    : {
        metadata: { resourceVersion: metadata.resourceVersion, annotations: { [WHY]: why.slice(0, 500) } },
        spec: { unschedulable: true },
      }

export type WayBack =
  | { readonly got: 'patch'; readonly patch: object }
  | { readonly got: 'done' | 'not yet' }
  | { readonly got: 'never'; readonly why: string }

/** Marks are taken away for another boot alone, whose kubelet says itself that it is ready. */
export function takeBack({ metadata, spec, status }: KubeNode): WayBack {
  const { annotations = {}, resourceVersion, name } = metadata
  const dead = annotations[BOOT]
  if (dead === undefined) return { got: 'done' }
  if (conditionOf(status.conditions, 'Ready')?.status !== 'True') return { got: 'not yet' }
  const bootId = status.nodeInfo?.bootID
  if (bootId === undefined || bootId === '') return { got: 'not yet' }
  if (bootId === dead) return { got: 'never', why: `${name} is ready in the boot that was proven dead` }
  const patch = {
    metadata: { resourceVersion, annotations: { [BOOT]: null, [SINCE]: null, [WHY]: null, [CORDONED]: null } },
    spec: {
      taints: (spec.taints ?? []).filter(({ key }) => key !== OUT_OF_SERVICE),
      ...(annotations[CORDONED] === 'true' ? { unschedulable: false } : {}),
    },
  }
  return { got: 'patch', patch }
}

export interface Search {
  readonly node: KubeNode
  /** Pods of the node, and of the controllers of what is searched. */
  readonly pods: readonly Pod[]
  /** Instances that have arrived: their replacements stand for no other. */
  readonly arrived: readonly string[]
  /** By the server's clock. */
  readonly nowMs: number
}

/** Where the instances of a dead node are. A lost pod has arrived where a pod is ready that its controller made since;
 *  controllers do not say which stands for which, so they are counted. */
export function whereaboutsOf(instances: readonly string[], search: Search): Map<string, Whereabouts> {
  const host = search.node.metadata.name
  const here = new Set(search.pods.flatMap(({ metadata, spec }) => (spec.nodeName === host ? [metadata.uid] : [])))
  const sinceMs = Date.parse(search.node.metadata.annotations?.[SINCE] ?? '')
  const found = new Map<string, Whereabouts>()
  const free = new Map<string, Pod[]>()
  const replacementsOf = (owner: string): Pod[] => {
    const known = free.get(owner)
    if (known) return known
    const used = search.arrived.filter((instance) => ownerOf(instance) === owner).length
    const made = search.pods.filter((pod) => controllerOf(pod)?.uid === owner && isReplacement(pod, host, sinceMs))
    const left = made.sort(byProgress).slice(used)
    free.set(owner, left)
    return left
  }
  for (const instance of [...instances].sort()) {
    const owner = ownerOf(instance)
    if (here.has(uidOf(instance))) found.set(instance, { at: 'source' })
    else if (owner === undefined) found.set(instance, { at: 'gone' })
    else if (Number.isNaN(sinceMs)) found.set(instance, { at: 'unknown', why: `${host} is not marked any more` })
    else found.set(instance, placeOf(replacementsOf(owner).shift(), search.nowMs - sinceMs))
  }
  return found
}

const isReplacement = ({ metadata, spec, status }: Pod, host: string, sinceMs: number): boolean =>
  spec.nodeName !== host &&
  metadata.deletionTimestamp === undefined &&
  status?.phase !== 'Failed' &&
  Date.parse(metadata.creationTimestamp) >= sinceMs - CLOCKS_MS

const isReady = ({ status }: Pod): boolean =>
  conditionOf(status?.conditions, 'Ready')?.status === 'True' || status?.phase === 'Succeeded'
const progressOf = (pod: Pod): number => (isReady(pod) ? 2 : pod.spec.nodeName === undefined ? 0 : 1)
const byProgress = (a: Pod, b: Pod): number =>
  progressOf(b) - progressOf(a) || (a.metadata.uid < b.metadata.uid ? -1 : 1)

function placeOf(pod: Pod | undefined, passedMs: number): Whereabouts {
  if (!pod)
    return passedMs > REPLACED_WITHIN_MS
      ? { at: 'failed', ref: 'no new pod', why: 'its controller has made no new pod: its events say why' }
      : { at: 'moving', ref: 'no new pod yet', to: null }
  const ref = `${pod.metadata.namespace}/${pod.metadata.name}`
  const { nodeName } = pod.spec
  if (nodeName !== undefined) return { at: isReady(pod) ? 'moved' : 'moving', ref, to: nodeName }
  const waits = conditionOf(pod.status?.conditions, 'PodScheduled')?.message
  return { at: 'moving', ref: waits ? `${ref}: ${waits.slice(0, 200)}` : ref, to: null }
}
