/** Firmware of a server and its BMC: versions, and updates from a file that the BMC fetches. */

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

export interface Updates {
  /** Network adapters may be missing while the server is off. */
  inventory(signal: AbortSignal): Promise<readonly FirmwareSeen[]>
  /** Orders an update from a URL. Answers the task of the BMC, where it names one. */
  update(order: { readonly url: string; readonly target: string | null }, signal: AbortSignal): Promise<string | null>
  /** The BMC was restarted: connections are opened anew, and the key of its certificate may have changed. The new key is kept when system UUID and
   *  serial number behind it are the known ones; throws `bmc.identity` otherwise. */
  reconnect(signal: AbortSignal): Promise<void>
}
