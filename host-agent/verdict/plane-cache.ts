/** The planes of hosts that their observers reach, remembered for as long as nothing that the answer was made of can
 *  have changed. It answers exactly what
 *  `planeStates` would: most hosts of a large mesh are well in most ticks, and to look at all their observers each time
 *  is most of a tick. */
import type { Member } from '../protocol/heartbeat.ts'
import { planeStates } from './conditions.ts'
import type { PlaneStates } from './planes.ts'
import type { View } from './view.ts'

interface KnownPlanes {
  readonly states: PlaneStates
  /** An observer that the host answers on every plane; while its report is fresh, the reports of others change
   *  nothing. */
  readonly witness: string
  /** Until when that report is fresh. */
  readonly untilMs: number
  /** Of the sightings of the host. */
  readonly revision: number
  readonly host: Member
  readonly observers: readonly string[]
  readonly gone: View['gone']
  readonly limits: View['limits']
}

export class PlaneCache {
  private readonly entries = new Map<string, KnownPlanes>()

  statesOf(host: Member, view: View): PlaneStates {
    const held = this.entries.get(host.name)
    if (held && isUnchanged(held, host, view) && this.isFresh(held, view)) return held.states

    const states = planeStates(host, view)
    const revision = view.evidence.sightRevision(host.name)
    const witness = witnessOf(host, view)
    if (revision === undefined || witness === undefined) this.entries.delete(host.name)
    else {
      const { gone, limits } = view
      const observers = view.observersOf(host)
      this.entries.set(host.name, { states, witness, untilMs: 0, revision, host, observers, gone, limits })
    }
    return states
  }

  private isFresh(entry: KnownPlanes, { evidence, limits, nowMs }: View): boolean {
    if (nowMs <= entry.untilMs) return true
    const untilMs = (evidence.newest(entry.witness)?.atMs ?? Number.NEGATIVE_INFINITY) + limits.reportMs
    this.entries.set(entry.host.name, { ...entry, untilMs })
    return nowMs <= untilMs
  }
}

const isUnchanged = (entry: KnownPlanes, host: Member, view: View): boolean =>
  entry.revision === view.evidence.sightRevision(host.name) &&
  entry.host === host &&
  entry.observers === view.observersOf(host) &&
  entry.gone === view.gone &&
  entry.limits === view.limits

/** Undefined: no observer has lately reached it on all its planes, or one finds a plane silent, believable or not. */
function witnessOf(host: Member, { evidence, gone, limits, nowMs, observersOf }: View): string | undefined {
  let witness: string | undefined
  for (const observer of observersOf(host)) {
    const held = evidence.newest(observer)
    const sights = held?.heartbeat.peers[host.name]?.planes
    if (!held || !sights) continue
    let answered = 0
    for (const plane of host.planes) {
      const misses = sights[plane]?.misses
      if (misses === undefined) continue
      if (misses >= limits.misses) return undefined
      answered += 1
    }
    const isFresh = nowMs - held.atMs <= limits.reportMs
    if (isFresh && answered === host.planes.length && !gone.has(observer)) witness ??= observer
  }
  return witness
}
