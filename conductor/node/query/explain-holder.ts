/** Why nobody works on a node, where several conductors share the nodes. */
import type { NodeHolder } from '../../store/owner.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'

/** A lease of 12 s and a quiet time of 5 s, and a look each second. */
const TAKEN_OVER_SECONDS = 20

export function causesOfHolder(node: NodeRecord, holder: NodeHolder | undefined): Cause[] {
  if (!holder || holder.hostname !== null) return []
  const group = node.conductorGroup === '' ? 'without a name' : JSON.stringify(node.conductorGroup)
  if (holder.living === 0)
    return [
      {
        cause: `no conductor of the group ${group} runs: nobody works on this node`,
        evidence: [`conductor_group is ${JSON.stringify(node.conductorGroup)}, and no living conductor is of it`],
        remedy: 'start a conductor with this conductorGroup, or correct conductor_group of the node',
      },
    ]
  return [
    {
      cause: 'the conductor that worked on this node has ended, and another one takes it over',
      evidence: [`${holder.living} conductors of the group ${group} run`],
      remedy: `wait for ${TAKEN_OVER_SECONDS} seconds`,
    },
  ]
}
