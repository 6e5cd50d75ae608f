/** Workloads of every kind that the driver treats in a way of its own, as objects of Kubernetes' API. */
import type { Doc } from '../cluster.ts'

const CONTAINERS = [{ name: 'c', image: 'none', resources: { requests: { memory: '64Mi' } } }]
const template = (name: string, metadata: Doc = {}, spec: Doc = {}) => ({
  metadata: { labels: { app: name }, ...metadata },
  spec: { containers: CONTAINERS, ...spec },
})
const base = (kind: string, name: string, spec: Doc) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name },
  spec: { selector: { matchLabels: { app: name } }, ...spec },
})

export const deployment = (name: string, replicas: number, metadata: Doc = {}): Doc =>
  base('Deployment', name, { replicas, template: template(name, metadata) })

export const daemonSet = (name: string): Doc => base('DaemonSet', name, { template: template(name) })

/** With one volume, which is bound to `volume`. */
export const statefulSet = (name: string): Doc =>
  base('StatefulSet', name, {
    serviceName: name,
    replicas: 1,
    template: template(
      name,
      {},
      { volumes: [], containers: [{ ...CONTAINERS[0], volumeMounts: [{ name: 'data', mountPath: '/d' }] }] },
    ),
    volumeClaimTemplates: [
      {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'none', resources: { requests: { storage: '1Gi' } } },
      },
    ],
  })

export const volume = (name: string): Doc => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'none',
    hostPath: { path: '/nowhere' },
  },
})

export const attachment = (name: string, node: string, volumeName: string): Doc => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'VolumeAttachment',
  metadata: { name },
  spec: { attacher: 'test', nodeName: node, source: { persistentVolumeName: volumeName } },
})

export const budget = (name: string): Doc => ({
  apiVersion: 'policy/v1beta1',
  kind: 'PodDisruptionBudget',
  metadata: { name },
  spec: { minAvailable: 1, selector: { matchLabels: { app: name } } },
})

/** As a kubelet makes it for a file of its own: whatever happens to the node, it is tolerated. */
export const mirrorPod = (name: string, nodeName: string): Doc => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, annotations: { 'kubernetes.io/config.mirror': 'x', 'kubernetes.io/config.source': 'file' } },
  spec: { nodeName, containers: CONTAINERS, tolerations: [{ operator: 'Exists' }] },
})
