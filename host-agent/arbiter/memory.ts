/** What a leader remembers from one tick to the next; lost with it, and found out again by the next. `observe.ts`
 *  writes what follows from the evidence, `commit.ts` what was asked and answered; everything else reads. */
import { NOTHING_STANDS, type Standing } from '../causes/named.ts'
import type { Errands } from '../evacuate/errands.ts'
import type { Inventory } from '../evacuate/instances.ts'
import { NOTHING_ASKED, NOT_DRAINING, type DrainKnowledge, type EvacuationKnowledge } from '../evacuate/knowledge.ts'
import { NOTHING_FOUND, type FenceKnowledge } from '../fence/knowledge.ts'
import { NONE_LIFTED, type LiftKnowledge } from '../fence/lift.ts'
import type { Limits } from '../protocol/limits.ts'
import type { UnfitAction } from '../verdict/planes.ts'

export interface HostMemory {
  /** Since when it is silent at this arbiter; undefined: it is heard. */
  quietSinceMs: number | undefined
  /** Moments when a sign of life ended a suspicion. */
  flaps: readonly number[]
  /** Since when only forgeable signs of life have held up the fence. */
  softSinceMs: number | undefined
  /** Since when the planes that it has lost make its guests useless where they are, although it lives. */
  unfit: { readonly action: UnfitAction; readonly sinceMs: number } | undefined
  /** When somebody outside the mesh last had it look at this host. */
  hintedMs: number | undefined
  /** The incident that `fence` and `evacuation` were found out for. */
  incident: string | undefined
  /** Its BMC, its fence devices, its poison pill. */
  fence: FenceKnowledge
  /** Its instances, once it is dead. */
  evacuation: EvacuationKnowledge
  /** Its instances, while it is emptied. */
  drain: DrainKnowledge
  /** The likeliest cause of what is wrong with it. */
  standing: Standing
  /** Alerts about it, and when each was sent. */
  readonly alerts: Map<string, number>
}

const newHost = (): HostMemory => ({
  quietSinceMs: undefined,
  flaps: [],
  softSinceMs: undefined,
  unfit: undefined,
  hintedMs: undefined,
  incident: undefined,
  fence: NOTHING_FOUND,
  evacuation: NOTHING_ASKED,
  drain: NOT_DRAINING,
  standing: NOTHING_STANDS,
  alerts: new Map(),
})

const NOTHING_REMEMBERED: Readonly<HostMemory> = Object.freeze(newHost())
const MOST_PATIENT = 8

/** As whoever decides, or answers a question, sees it. */
export interface Remembered {
  readonly cutAtMs: number | undefined
  readonly lifts: LiftKnowledge
  readonly inventory: Readonly<InventoryMemory>
  readonly errands: Errands
  of(host: string): Readonly<HostMemory>
}

export interface InventoryMemory {
  /** What is known of all hosts before any fails. */
  value: Inventory | undefined
  /** When it was last asked for. */
  askedMs: number
  /** A request is under way. */
  busy: boolean
}

export class ArbiterMemory implements Remembered {
  /** When hosts were last seen to fall silent together. */
  cutAtMs: number | undefined
  /** Poison pills of incidents that are over. */
  lifts: LiftKnowledge = NONE_LIFTED
  readonly inventory: InventoryMemory = { value: undefined, askedMs: Number.NEGATIVE_INFINITY, busy: false }
  /** What others asked for on hosts that live, by its token. */
  errands: Errands = new Map()
  readonly hosts = new Map<string, HostMemory>()

  of(host: string): Readonly<HostMemory> {
    return this.hosts.get(host) ?? NOTHING_REMEMBERED
  }

  /** To be written to. */
  open(host: string): HostMemory {
    let memory = this.hosts.get(host)
    if (!memory) this.hosts.set(host, (memory = newHost()))
    return memory
  }
}

/** How many times longer a host that flaps must be silent. */
export function patienceFor({ flaps }: Pick<HostMemory, 'flaps'>, limits: Limits, nowMs: number): number {
  const recent = flaps.filter((atMs) => nowMs - atMs <= limits.flapWindowMs).length
  return Math.min(MOST_PATIENT, 2 ** Math.floor(recent / limits.flaps))
}
