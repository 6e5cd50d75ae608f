/** The verdicts on all hosts, once in a tick: whoever asks until the next one is answered from these. Pure. */
import { assess, heardFrom, isQuiet, type Verdict } from '../verdict/assess.ts'
import type { PlaneCache } from '../verdict/plane-cache.ts'
import { isProvenOff } from '../fence/knowledge.ts'
import type { Known } from './known.ts'
import { contextOf, type SharedContext } from './leader-context.ts'

export function assessAll(known: Known, shared: SharedContext, planes: PlaneCache): ReadonlyMap<string, Verdict> {
  const { cluster, view, memory, nowMs } = known
  const verdicts = new Map<string, Verdict>()
  for (const host of cluster.hosts) {
    const { name } = host
    // A host that is proven down needs no verdict, one that is heard a cheap one.
    const isDown = Boolean(cluster.liveIncident(name)?.value.proof)
    const isCalm = isDown || (!isQuiet(host, view) && !isProvenOff(memory.of(name).fence, nowMs))
    verdicts.set(
      name,
      isCalm ? heardFrom(host, planes.statesOf(host, view)) : assess(host, view, contextOf(host, known, shared)),
    )
  }
  return verdicts
}
