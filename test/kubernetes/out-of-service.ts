/** One rule that the API server of these tests is too old for, as Kubernetes 1.24 and later have it: the pod garbage
 *  collector ends pods that are terminating on a node that is out of service and not ready, without any grace. Pure; a
 *  test plays it beside the older controllers. */
import type { Doc } from './cluster.ts'

const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service'

const isReady = ({ status }: Doc): boolean =>
  (status?.conditions ?? []).some(({ type, status: is }: Doc) => type === 'Ready' && is === 'True')
const isOutOfService = ({ spec }: Doc): boolean => (spec?.taints ?? []).some(({ key }: Doc) => key === OUT_OF_SERVICE)

/** The pods that the newer collector deletes with grace 0 in one sweep. */
export function sweep(nodes: readonly Doc[], pods: readonly Doc[]): Doc[] {
  const over = new Set(
    nodes.filter((node) => !isReady(node) && isOutOfService(node)).map(({ metadata }) => metadata.name),
  )
  return pods.filter(
    ({ metadata, spec }) =>
      metadata.deletionTimestamp !== undefined && spec.nodeName !== undefined && over.has(spec.nodeName),
  )
}
