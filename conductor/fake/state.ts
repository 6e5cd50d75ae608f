/** What a server of fake hardware has beside its power: firmware settings, firmware, disks, lamps, media. Part of its
 *  record, so that it outlives a restart. */

export interface BiosSetting {
  readonly name: string
  readonly value: string
  readonly updatedAtMs: number | null
}

export interface FirmwareComponent {
  readonly component: string
  readonly initialVersion: string
  readonly currentVersion: string
  readonly lastVersionFlashed: string | null
  readonly updatedAtMs: number | null
}

export interface FakeHardware {
  readonly createdAtMs: number
  readonly bios: readonly BiosSetting[]
  readonly firmware: readonly FirmwareComponent[]
  /** Lamps by `name@component`; those that nobody switched are off. */
  readonly indicators: Readonly<Record<string, string>>
  /** Inserted images by kind of device. */
  readonly media: Readonly<Record<string, string>>
  /** The last call of each vendor method. */
  readonly vendor: Readonly<Record<string, { readonly calls: number; readonly result: boolean | null }>>
}

const FIRMWARE = [
  ['bios', '1.0.0'],
  ['bmc', '1.0.0'],
  ['nic:NIC.1', '1.0.0'],
] as const

export const freshHardware = (nowMs: number, bios: readonly BiosSetting[]): FakeHardware => ({
  createdAtMs: nowMs,
  bios,
  firmware: FIRMWARE.map(([component, version]) => ({
    component,
    initialVersion: version,
    currentVersion: version,
    lastVersionFlashed: null,
    updatedAtMs: null,
  })),
  indicators: {},
  media: {},
  vendor: {},
})
