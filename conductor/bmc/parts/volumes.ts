/** Volumes of a server's RAID controllers. */

export interface VolumeSeen {
  readonly id: string
  readonly controller: string
  readonly name: string | null
  readonly raidLevel: string | null
  readonly sizeBytes: number | null
  readonly drives: readonly string[]
}

export interface VolumeOrder {
  readonly controller: string
  readonly name: string | null
  readonly raidLevel: string
  /** Null: all that there is. */
  readonly sizeBytes: number | null
  readonly drives: readonly string[]
}

export interface Volumes {
  volumes(signal: AbortSignal): Promise<readonly VolumeSeen[]>
  /** Answers the task of the BMC, where it names one. */
  create(order: VolumeOrder, signal: AbortSignal): Promise<string | null>
  remove(id: string, signal: AbortSignal): Promise<string | null>
}
