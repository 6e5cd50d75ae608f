/** The storage of a server as its BMC shows it: RAID controllers, their drives, and volumes that can be made and
 *  removed. Part of the driver port. */

export interface DriveSeen {
  /** Its link. */
  readonly id: string
  readonly name: string
  readonly sizeBytes: number
  readonly medium: 'hdd' | 'ssd' | null
  /** Bus in lower case: sata, sas, nvme. */
  readonly protocol: string | null
  readonly model: string | null
  readonly serial: string | null
  readonly isHealthy: boolean
}

export interface VolumeSeen {
  readonly id: string
  readonly name: string | null
  /** Redfish's RAIDType: RAID0, RAID1, RAID10 and so on; null: the BMC does not say. */
  readonly raidType: string | null
  readonly sizeBytes: number | null
  /** Ids of its drives. */
  readonly drives: readonly string[]
  /** The name that the operating system sees, as root device hints have it. */
  readonly wwn: string | null
}

export interface StorageSeen {
  readonly id: string
  readonly name: string
  readonly drives: readonly DriveSeen[]
  readonly volumes: readonly VolumeSeen[]
  /** Null: it makes no volumes. */
  readonly volumesPath: string | null
  /** Whether volumes come without a restart of the server. */
  readonly isImmediate: boolean
}

export interface VolumeOrder {
  readonly name: string | null
  readonly raidType: string
  /** Null: all that the drives have. */
  readonly sizeBytes: number | null
  readonly drives: readonly string[]
  readonly volumesPath: string
  readonly isImmediate: boolean
}

export interface Volumes {
  read(signal: AbortSignal): Promise<readonly StorageSeen[]>
  /** Answers the task of the BMC, where it names one. */
  create(order: VolumeOrder, signal: AbortSignal): Promise<string | null>
  /** A volume that is gone already is removed. */
  remove(id: string, signal: AbortSignal): Promise<void>
}
