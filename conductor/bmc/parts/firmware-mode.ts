/** How the firmware of a server starts it: UEFI or BIOS, and Secure Boot with its keys. */

export interface FirmwareModeSeen {
  /** Null: the BMC does not say. */
  readonly bootMode: 'uefi' | 'bios' | null
  readonly secureBoot: boolean | null
}

export interface FirmwareMode {
  read(signal: AbortSignal): Promise<FirmwareModeSeen>
  setBootMode(mode: 'uefi' | 'bios', signal: AbortSignal): Promise<void>
  setSecureBoot(on: boolean, signal: AbortSignal): Promise<void>
  /** `clear` removes all keys, which leaves setup mode. */
  resetKeys(how: 'default' | 'clear', signal: AbortSignal): Promise<void>
}
