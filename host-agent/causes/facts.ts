/** What the causes of a failure are found from: the evidence on one host, and on the arbiters, as values. */
import type { FenceKnowledge, BmcIdentity } from '../fence/knowledge.ts'
import type { Incident } from '../protocol/records.ts'
import type { PlaneFinding } from '../verdict/conditions.ts'
import type { PlaneAction, PlaneStates } from '../verdict/planes.ts'

export interface SilentTogether {
  readonly count: number
  /** The first of them. */
  readonly hosts: readonly string[]
  /** Null: of several. */
  readonly rack: string | null
}

export interface HostFacts {
  readonly host: string
  readonly nowMs: number
  /** The arbiter whose evidence this is. */
  readonly arbiter: string
  /** Its heartbeat is missed here for longer than `suspectMs`. */
  readonly isSilent: boolean
  /** Since its newest heartbeat; undefined: it was never heard here. */
  readonly heardAgeMs: number | undefined
  readonly planes: PlaneStates
  readonly action: PlaneAction
  /** What those who observe it say of each plane; asked only where it is told. */
  readonly findings: () => readonly PlaneFinding[]
  /** A sign of life that is fresh: `hard`, its agent gave it; `soft`, its machine did. */
  readonly life: { readonly kind: 'hard' | 'soft'; readonly says: string; readonly ageMs: number } | undefined
  /** It says itself that its guests cannot reach their storage. */
  readonly storageLost: boolean
  /** The storage fails for more hosts than deaths explain. */
  readonly isStorageSick: boolean
  readonly isDumping: boolean
  /** It said that it leaves. */
  readonly hasLeft: boolean
  /** Others that fell silent with it, and the rack that all of them are in; undefined: it is alone. */
  readonly together: SilentTogether | undefined
  readonly bmc: FenceKnowledge
  readonly identity: BmcIdentity
  /** Why its BMC is to be left alone. */
  readonly updating: string | undefined
  /** The one that is not over. */
  readonly incident: Incident | undefined
}

export interface ArbiterFacts {
  readonly name: string
  /** Since its newest word got here; 0: this arbiter itself; undefined: never. */
  readonly heardAgeMs: number | undefined
  /** Since the store last took something from it, by its own word; undefined: it does not say. */
  readonly storeAgeMs: number | undefined
}

export interface MeshFacts {
  readonly arbiter: string
  readonly arbiters: readonly ArbiterFacts[]
}
