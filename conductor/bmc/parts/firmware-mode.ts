/** How the firmware of a server starts it: UEFI or BIOS, and Secure Boot with its keys. Changes hold after the next
 *  start; only a read afterwards proves them. */

export interface FirmwareModeSeen {
  /** Null: the BMC does not say. */
  readonly bootMode: 'uefi' | 'bios' | null
  /** Null: the server has no Secure Boot that the BMC knows of. */
  readonly secureBoot: SecureBootSeen | null
}

export interface SecureBootSeen {
  /** Whether the present start was verified. */
  readonly active: boolean
  /** Whether the next one will be. */
  readonly wanted: boolean
  /** In setup mode there is no platform key, and nothing is verified. */
  readonly setupMode: boolean
}

export interface FirmwareMode {
  read(signal: AbortSignal): Promise<FirmwareModeSeen>
  setBootMode(mode: 'uefi' | 'bios', signal: AbortSignal): Promise<void>
  setSecureBoot(on: boolean, signal: AbortSignal): Promise<void>
  /** `clear` removes all keys, which leaves setup mode. */
  resetKeys(how: 'default' | 'clear', signal: AbortSignal): Promise<void>
  /** Adds a certificate (PEM) to the database `db`; one that is there already is left as it is. False: the BMC took it,
   *  and does not show it yet. */
  enroll(pem: string, signal: AbortSignal): Promise<boolean>
  /** Whether the database `db` holds a certificate. */
  isEnrolled(pem: string, signal: AbortSignal): Promise<boolean>
}
