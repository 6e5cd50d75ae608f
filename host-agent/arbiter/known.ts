/** Everything that the decisions of one tick are made of, as one value. */
import type { Standing } from '../causes/named.ts'
import type { ClusterState } from '../cluster/state.ts'
import type { Lease } from '../cluster/leadership.ts'
import { targetsOf } from '../evacuate/capacity.ts'
import type { IntentGuards } from '../evacuate/intents.ts'
import type { Target } from '../evacuate/plan.ts'
import type { FenceGuards } from '../fence/guards.ts'
import { holdKey, KEYS, type DeviceLevel } from '../protocol/records.ts'
import type { Episode } from '../protocol/trouble.ts'
import type { Verdict } from '../verdict/assess.ts'
import type { View } from '../verdict/view.ts'
import type { Remembered } from './memory.ts'

export interface Known {
  readonly nowMs: number
  /** Wall clock, for people alone. */
  readonly at: string
  readonly name: string
  readonly view: View
  readonly cluster: ClusterState
  readonly memory: Remembered
  /** Of this tick, once they are found; of the last one before. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** Undefined: this arbiter does not lead. */
  readonly lease: Lease | undefined
  readonly leaderSinceMs: number
  /** The leader before is surely done, and the store was read since. */
  readonly quiesced: boolean
  /** Keys with a write under way. */
  readonly writing: ReadonlySet<string>
  /** What is wrong with the mesh as a whole. */
  readonly meshStanding: Standing
  /** What was wrong with it while nothing could be written, and is over. */
  readonly ended: Episode | undefined
  /** Which fence devices a host has. */
  readonly deviceLevels: (host: string) => readonly DeviceLevel[]
  readonly fenceGuards: FenceGuards
  readonly intentGuards: IntentGuards
  /** How long a request for a move with an unknown outcome may leave no trace. */
  readonly graceMs: number
  /** Most moves of one host at once; undefined: as the plan has it. */
  readonly atOnce: number | undefined
}

export const leaseLeftMs = ({ lease, nowMs }: Pick<Known, 'lease' | 'nowMs'>): number =>
  lease ? lease.endsMs - nowMs : 0

/** Where instances can go now. Looked up when it is first asked for. */
export function targetsOnce(known: Known): () => readonly Target[] | undefined {
  let found: { readonly targets: readonly Target[] | undefined } | undefined
  const { cluster, verdicts, view } = known
  return () =>
    (found ??= { targets: targetsOf({ inventory: known.memory.inventory.value, cluster, verdicts, view }) }).targets
}

/** The policy, the hold and the state of the BMC of a host as they must still be when a command to fence it is
 *  stored. */
export const permissionFor = (host: string, cluster: ClusterState): { key: string; index: number }[] => [
  { key: KEYS.policy, index: cluster.policy.index },
  { key: holdKey(host), index: cluster.holds.get(host)?.index ?? 0 },
  // A record that cannot be read says nothing of its BMC, and holds up no fence.
  ...(cluster.bmcs.has(host) ? [{ key: KEYS.bmcs + host, index: cluster.bmcs.get(host)?.index ?? 0 }] : []),
]
