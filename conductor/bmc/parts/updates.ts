/** Firmware of a server and its BMC: versions, and updates from a file that the BMC fetches or is sent. */
import type { Readable } from 'node:stream'

export interface FirmwareSeen {
  /** `bios`, `bmc`, or `nic:` and the serial number of the adapter. */
  readonly component: string
  readonly version: string | null
  readonly vendor: string | null
  readonly model: string | null
  readonly serialNumber: string | null
  /** The member of the firmware inventory that an update targets; null: the BMC finds it by the file. */
  readonly target: string | null
}

/** By what a system is known again behind another key. */
export interface KnownIdentity {
  readonly uuid: string | null
  readonly serialNumber: string | null
}

/** A file that is sent: read as fast as the BMC takes it, and from its beginning for each try. */
export interface FirmwareFile {
  readonly name: string
  readonly sizeBytes: number
  readonly open: () => Readable
}

export interface UpdateOrder {
  /** Where the BMC can fetch the file. */
  readonly url: string
  /** The same file, for a BMC that fetches nothing. */
  readonly file: FirmwareFile
  readonly target: string | null
  /** The task of the update before, which is none of this order. */
  readonly former: string | null
}

export interface Updates {
  identity(signal: AbortSignal): Promise<KnownIdentity>
  /** Network adapters may be missing while the server is off. */
  inventory(signal: AbortSignal): Promise<readonly FirmwareSeen[]>
  /** Orders an update. Answers the task of the BMC, where it names one. */
  update(order: UpdateOrder, signal: AbortSignal): Promise<string | null>
  /** Opens connections anew, since the BMC was restarted. Answers its new key where that has changed and the system
   *  behind it is the known one; throws
   *  `bmc.identity` where it is another, and for `known` null, which allows no other key. */
  reconnect(known: KnownIdentity | null, signal: AbortSignal): Promise<string | null>
}
