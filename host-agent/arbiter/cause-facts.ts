/** The facts that causes are found from, gathered from what is known: of one host, and of the arbiters. Pure. */
import type { ArbiterFacts, HostFacts, MeshFacts } from '../causes/facts.ts'
import { hostCauses } from '../causes/host.ts'
import { meshCauses } from '../causes/mesh.ts'
import { told } from '../causes/named.ts'
import type { Cause } from '../causes/table.ts'
import type { NamedCause } from '../protocol/trouble.ts'
import { identityAt } from '../fence/knowledge.ts'
import { isQuiet } from '../verdict/assess.ts'
import { lifeVeto, planeFinding, planeStates } from '../verdict/conditions.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { planeAction } from '../verdict/planes.ts'
import type { Known } from './known.ts'
import type { SharedContext } from './leader-context.ts'

export function hostFacts(host: Member, known: Known, shared: SharedContext): HostFacts {
  const { cluster, memory, nowMs, verdicts, view } = known
  const { evidence } = view
  const { name } = host
  const { fence } = memory.of(name)
  const verdict = verdicts.get(name)
  const planes = verdict?.planes ?? planeStates(host, view)
  // The verdict holds for life what is believed; under this policy that is less than what is seen.
  const isOverruled = !verdict?.veto && cluster.policy.value.agentLost === 'fence'
  const life = isOverruled ? lifeVeto(host, view, undefined) : verdict?.veto
  const self = evidence.selfOf(name)
  const { boot } = host
  return {
    host: name,
    nowMs,
    arbiter: known.name,
    isSilent: isQuiet(host, view),
    heardAgeMs: evidence.heardAgeMs(name, nowMs),
    planes,
    action: planeAction(planes).action,
    findings: () => host.planes.map((plane) => planeFinding(host, plane, view)),
    life,
    storageLost: self?.storageLost === true,
    isStorageSick: shared.storageSick,
    isDumping: evidence.isDumping(name, nowMs, view.limits),
    hasLeft: self?.state === 'leaving' || (boot?.leaving === true && evidence.bootOf(name)?.bootId === boot.id),
    together: shared.suspects.get(name)?.provenOff === false ? shared.together() : undefined,
    bmc: fence,
    identity: identityAt(fence, nowMs),
    updating: cluster.bmcUpdating(name, nowMs),
    incident: cluster.liveIncident(name)?.value,
  }
}

/** `storeOkMs`: when the store last took something from this arbiter; undefined: it was not asked yet. */
export function meshFacts({ name, cluster, view, nowMs }: Known, storeOkMs: number | undefined): MeshFacts {
  const { evidence } = view
  const others = cluster.arbiters.filter((arbiter) => arbiter !== name)
  const factsOf = (arbiter: string): ArbiterFacts => {
    const held = evidence.newest(arbiter)
    const told = held?.heartbeat.storeAgeMs
    return {
      name: arbiter,
      heardAgeMs: held && nowMs - held.atMs,
      storeAgeMs: held && told !== undefined ? told + nowMs - held.atMs : undefined,
    }
  }
  const own = { name, heardAgeMs: 0, storeAgeMs: storeOkMs === undefined ? undefined : nowMs - storeOkMs }
  return { arbiter: name, arbiters: [own, ...others.map(factsOf)] }
}

export const causesOfHost = (host: Member, known: Known, shared: SharedContext): Cause[] =>
  hostCauses(hostFacts(host, known, shared))

/** For people: a mesh that fences nobody comes first, a spare that is lost comes last, and what was named while the
 *  incident lasted still counts. */
export function allCauses(
  host: Member,
  { known, shared, storeOkMs }: { known: Known; shared: SharedContext; storeOkMs: number | undefined },
): (Cause | NamedCause)[] {
  const incident = known.cluster.liveIncident(host.name)?.value
  const found = incident?.proof ? [] : causesOfHost(host, known, shared)
  const episode = known.cluster.troubles.get(host.name)?.value.episodes.at(-1)
  const kept = told(incident ? (incident.causes ?? []) : episode?.to === null ? episode.causes : [])
  const mesh = meshCauses(meshFacts(known, storeOkMs))
  const isStopped = mesh.some(({ code }) => code === 'mesh.no-quorum')
  // Only the leader asks BMCs: what it wrote down says more than what another arbiter sees.
  const isCurrent = known.lease !== undefined && found.some(({ code }) => code !== 'host.silent')
  const own = unique(isCurrent ? [...found, ...kept] : [...kept, ...found])
  return isStopped ? [...mesh, ...own] : [...own, ...mesh]
}

function unique<T extends { readonly code: string }>(causes: readonly T[]): T[] {
  const codes = new Map<string, T>()
  for (const one of causes) if (!codes.has(one.code)) codes.set(one.code, one)
  return [...codes.values()].filter(({ code }) => code !== 'host.silent' || codes.size === 1)
}
