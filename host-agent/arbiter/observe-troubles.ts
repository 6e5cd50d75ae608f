/** What an arbiter remembers of causes: which one stands first for each host, and since when, and what was wrong with
 *  the mesh while nothing could be written. */
import { meshCauses } from '../causes/mesh.ts'
import { hasEpisode, standingAfter, unwrittenAfter } from '../causes/named.ts'
import { causesOfHost, meshFacts } from './cause-facts.ts'
import { WHOLE_MESH } from '../protocol/trouble.ts'
import type { Known } from './known.ts'
import type { SharedContext } from './leader-context.ts'
import type { ArbiterMemory } from './memory.ts'
import type { ArbiterState } from './state.ts'

/** Of the leader. A host that is well, and was so before, costs nothing. */
export function observeCauses(memory: ArbiterMemory, known: Known, shared: SharedContext): void {
  const { cluster, nowMs, verdicts } = known
  for (const host of cluster.hosts) {
    const { standing } = memory.of(host.name)
    const incident = cluster.liveIncident(host.name)?.value
    const isOpen = cluster.troubles.get(host.name)?.value.episodes.at(-1)?.to === null
    const isWell = verdicts.get(host.name)?.state === 'healthy' && !incident
    if (isWell && standing.first === undefined && !isOpen) continue
    // Once it is proven to be down, nothing more is found out about why.
    const first = isWell || incident?.proof ? undefined : causesOfHost(host, known, shared)[0]
    const named = first?.code === 'host.silent' ? undefined : first
    memory.open(host.name).standing = standingAfter(standing, named, nowMs)
  }
}

/** Of every arbiter, whoever leads: without a store nobody does. */
export function observeMesh(arbiter: ArbiterState, known: Known): void {
  const { at, nowMs } = known
  const [first] = meshCauses(meshFacts(known, arbiter.storeOkMs))
  arbiter.meshStanding = standingAfter(arbiter.meshStanding, first, nowMs)
  const { unwritten, ended } = unwrittenAfter(arbiter.unwritten, arbiter.meshStanding, { nowMs, at })
  arbiter.unwritten = unwritten
  const late = ended ?? arbiter.ended
  // Of several arbiters that saw it, the one that leads writes it, and the others find it written.
  arbiter.ended = late && hasEpisode(known.cluster.troubles.get(WHOLE_MESH)?.value, late) ? undefined : late
}
