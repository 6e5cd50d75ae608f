/** What a driver must be able to do, for whatever runs the instances. Everything may be asked again, except `start`,
 *  which is asked for once per attempt. */
import type {
  Death,
  Listing,
  MigrationRequest,
  MoveRequest,
  Started,
  Inventory,
  RestartRequest,
  Sought,
  StepTaken,
  Whereabouts,
} from '../../evacuate/instances.ts'

export interface Driver {
  readonly name: string
  /** Whether we choose the target, and say so in `MoveRequest.target`. */
  readonly choosesTarget: boolean
  /** How long after a start of unknown outcome its trace may still be missing. */
  readonly graceMs: number
  /** Most moves of one host at once; absent: those that do not burden its targets (evacuate/plan.ts). */
  readonly atOnce?: number
  survey(signal: AbortSignal): Promise<Inventory>
  list(host: string, signal: AbortSignal): Promise<Listing>
  /** Tells the manager that the host is down for good: after the proof, before the first start. */
  prepare(host: string, death: Death, signal: AbortSignal): Promise<void>
  locate(host: string, sought: Sought, signal: AbortSignal): Promise<ReadonlyMap<string, Whereabouts>>
  start(order: MoveRequest, signal: AbortSignal): Promise<Started>
  /** Live, off a host that is well. Answers when it was taken, or when it is done; may be asked again: the instance is
   *  moved, or it stays. */
  migrate(order: MigrationRequest, signal: AbortSignal): Promise<Started>
  /** One step of stopping or starting an instance of a host that lives, where it is. Asked again until it is done. */
  restart(request: RestartRequest, signal: AbortSignal): Promise<StepTaken>
  /** The host gets no new instances until a person says so. */
  disable(host: string, why: string, signal: AbortSignal): Promise<StepTaken>
  /** One try to take a returned host back; false: not yet, ask again. */
  readmit(host: string, step: 'clean' | 'enable', signal: AbortSignal): Promise<boolean>
}
