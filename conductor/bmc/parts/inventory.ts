/** Hardware of a server as its BMC knows it, without booting anything. */

export interface InventorySeen {
  readonly manufacturer: string | null
  readonly model: string | null
  readonly serialNumber: string | null
  readonly cpus: readonly { readonly model: string | null; readonly cores: number; readonly threads: number }[]
  readonly cpuArch: string | null
  readonly memoryMb: number | null
  readonly disks: readonly {
    readonly name: string
    readonly sizeBytes: number | null
    readonly model: string | null
    readonly serialNumber: string | null
  }[]
  readonly nics: readonly { readonly name: string; readonly mac: string; readonly linkUp: boolean | null }[]
}

export interface HardwareInventory {
  inventory(signal: AbortSignal): Promise<InventorySeen>
}
