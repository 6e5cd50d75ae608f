/** Why nothing is done to a node while the database is in doubt, and what boot rooms know of this one. Pure. */
import type { Claim } from '../../doubt/standing.ts'
import { toldTo } from '../../doubt/words.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'

/** What boot rooms say; a lessee is told nothing of them. */
export interface DoubtSeen {
  readonly claims: readonly Claim[]
}

const REMEDY =
  '"rackward store doubt" lists the nodes; then restore a newer backup, or go on with this one: "rackward store accept"'

export function causesOfDoubt({ uuid, version }: NodeRecord, doubt: DoubtSeen | undefined): Cause[] {
  if (!doubt) return []
  const own = doubt.claims.flatMap(({ room, nodes }) =>
    nodes.flatMap((node) =>
      node.uuid === uuid
        ? [`the boot room ${room} was told of version ${node.held} of its record, and the database has ${version}`]
        : [],
    ),
  )
  const rooms = doubt.claims.map((claim) => {
    const mark = `event ${claim.seq} of incarnation ${claim.epoch}`
    return `${toldTo(claim)} ${mark}; the database had come to event ${claim.lastSeq}`
  })
  return [
    {
      cause:
        own.length > 0
          ? 'this record is older than what a boot room was told of the node: the database was restored, and nothing is done to any node'
          : 'the database is older than what others know of it, so nothing is done to any node; of this one no boot room knows more',
      evidence: [...own, ...rooms],
      remedy: REMEDY,
    },
  ]
}
