/** Boot options and the GUID of IPMI (2.0, tables 28-14 and 22-16) as bytes. Pure. */
import type { BootChoice, BootDevice, BootNow } from './controller.ts'

/** Boot device selectors, bits 5-2 of byte 2. */
const DEVICES: Readonly<Record<BootDevice, number>> = { pxe: 1, disk: 2, safe: 3, cdrom: 5, bios: 6 }

/** The data of Set System Boot Options, parameter 5: byte 1 = valid 0x80, persistent 0x40, EFI 0x20; byte 2 = device in
 *  bits 5-2. */
export function bootFlagBytes(choice: BootChoice): number[] {
  const flags = 0x80 | (choice.once ? 0 : 0x40) | (choice.efi ? 0x20 : 0)
  return [0x05, flags, DEVICES[choice.device] << 2, 0x00, 0x00, 0x00]
}

/** The answer to Get System Boot Options, parameter 5: version, parameter, five bytes of data. */
export function readBootFlags(bytes: readonly number[]): BootNow {
  const [flags, selector] = [bytes[2], bytes[3]]
  if (flags === undefined || selector === undefined || Number.isNaN(flags)) return { device: null, persistent: null }
  // The bit "valid" is not looked at: BMCs (ipmi_sim) show a device without it.
  const device = (selector >> 2) & 0x0f
  const known = Object.entries(DEVICES).find(([, number]) => number === device)?.[0]
  return { device: (known as BootDevice | undefined) ?? null, persistent: (flags & 0x40) !== 0 }
}

/** Get System GUID answers the least significant byte first. Null: there is none; BMCs that were never given one answer
 *  all bits 0 or all bits 1. */
export function uuidOfGuid(bytes: readonly number[]): string | null {
  if (bytes.length !== 16 || [0, 0xff].some((empty) => bytes.every((byte) => byte === empty))) return null
  const hex = [...bytes]
    .reverse()
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
