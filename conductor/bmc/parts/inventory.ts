/** What a BMC knows of the hardware of its server, without booting anything: part of the driver port. */

export type Health = 'OK' | 'Warning' | 'Critical'

/** Carries out one read of the BMC. The caller decides when: something more urgent may come first. */
export type Turn = <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>

export interface FoundDisk {
  readonly name: string
  readonly sizeBytes: number
  /** Null: the BMC does not say. */
  readonly rotational: boolean | null
  readonly model: string | null
  readonly vendor: string | null
  readonly serial: string | null
  readonly wwn: string | null
  readonly transport: string | null
  readonly health: Health | null
}

export interface FoundNic {
  readonly name: string
  readonly mac: string
  readonly speedMbps: number | null
  readonly linkUp: boolean
}

export interface FoundModule {
  readonly slot: string
  readonly sizeBytes: number
  readonly vendor: string | null
  readonly partNumber: string | null
  readonly serial: string | null
  readonly health: Health | null
}

export interface FoundController {
  readonly name: string
  readonly model: string | null
  readonly vendor: string | null
  readonly firmwareVersion: string | null
  readonly health: Health | null
}

export interface FoundHardware {
  readonly system: {
    readonly vendor: string | null
    readonly product: string | null
    readonly sku: string | null
    readonly serial: string | null
    readonly uuid: string | null
    readonly firmwareVersion: string | null
  }
  readonly bmc: { readonly model: string | null; readonly firmwareVersion: string | null }
  readonly poweredOn: boolean
  readonly health: Health | null
  readonly bootMode: 'uefi' | 'bios' | null
  readonly cpu: {
    /** Threads of all processors; null: the BMC does not say. */
    readonly count: number | null
    readonly sockets: number
    readonly model: string | null
    readonly architecture: string | null
    readonly frequencyMhz: number | null
  }
  readonly memoryBytes: number | null
  readonly modules: readonly FoundModule[]
  readonly disks: readonly FoundDisk[]
  readonly controllers: readonly FoundController[]
  readonly nics: readonly FoundNic[]
  /** Resources that are linked and could not be read, or were too many. */
  readonly unread: number
}

export interface BmcInventory {
  /** Throws bmc.* faults. A part that the BMC does not have is empty. */
  read(turn: Turn): Promise<FoundHardware>
}
