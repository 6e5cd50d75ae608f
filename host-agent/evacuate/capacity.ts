/** Where instances can go: the hosts that the manager offers and that the mesh finds wholly well. Pure. */
import type { ClusterState } from '../cluster/state.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { View } from '../verdict/view.ts'
import type { Inventory } from './instances.ts'
import type { Target } from './plan.ts'

export interface CapacityView {
  readonly inventory: Inventory | undefined
  readonly cluster: ClusterState
  /** By the last tick. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  readonly view: View
}

/** Undefined: what manages the instances chooses. */
export function targetsOf({ inventory, cluster, verdicts, view }: CapacityView): Target[] | undefined {
  if (!inventory?.targets) return undefined
  const good = inventory.targets.filter(
    ({ host }) => isFree(host, cluster) && (verdicts.get(host)?.action ?? 'none') === 'none' && isWell(host, view),
  )
  return good.map(({ host, freeMb }) => ({
    host,
    freeMb,
    reserved: cluster.members.get(host)?.value.reserved ?? false,
    groups: new Set((inventory.instances[host] ?? []).flatMap(({ group }) => (group === null ? [] : [group]))),
  }))
}

const isFree = (host: string, cluster: ClusterState): boolean =>
  cluster.memberOf(host)?.role === 'host' && !cluster.liveIncident(host) && !cluster.holds.has(host)

function isWell(host: string, { evidence, limits, nowMs }: View): boolean {
  const self = evidence.selfOf(host)
  const ageMs = evidence.heardAgeMs(host, nowMs) ?? Number.POSITIVE_INFINITY
  return self !== undefined && ageMs <= limits.vetoMs && self.state === 'member' && !self.storageLost
}
