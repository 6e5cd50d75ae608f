/** Hosts that are known to be down or held, and silent: nobody is blamed for not reaching them. The same set as
 *  `before` where nothing changed. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import { isDown } from '../fence/states.ts'
import type { Limits } from '../protocol/limits.ts'
import type { EvidenceStore } from '../verdict/evidence-store.ts'

export function goneOf(
  { cluster, evidence, limits }: { cluster: ClusterState; evidence: EvidenceStore; limits: Limits },
  nowMs: number,
  before: ReadonlySet<string>,
): ReadonlySet<string> {
  const gone = new Set<string>()
  for (const { value } of cluster.incidents.values()) if (isDown(value)) gone.add(value.host)
  for (const [host, { value }] of cluster.holds) {
    const mayRun = value.kind === 'maintenance' || value.kind === 'drain'
    const heardAgeMs = evidence.heardAgeMs(host, nowMs) ?? Number.POSITIVE_INFINITY
    if (!mayRun || heardAgeMs > limits.suspectMs) gone.add(host)
  }
  return gone.size === before.size && [...gone].every((host) => before.has(host)) ? before : gone
}
