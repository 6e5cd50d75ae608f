/** Which first file a client gets over TFTP, by its architecture (option 93; IANA "Processor Architecture Types", RFC 4578 2.1). */

export interface FirmwareRow {
  readonly arch: number
  readonly name: string
  /** undefined: we have no loader for it, and say so in an event instead of sending something that hangs. */
  readonly file: string | undefined
  /** UEFI HTTP boot: the file is named by its whole URL (UEFI 2.10, 24.7.2). */
  readonly byHttp?: true
}

export const BIOS_LOADER = 'undionly.kpxe'
/** snponly drives the card through the firmware that just booted from it: iPXE's own drivers hang on several 10/25 GbE cards. */
export const EFI_LOADER = 'snponly.efi'

export const FIRMWARE: readonly FirmwareRow[] = [
  { arch: 0, name: 'x86 BIOS', file: BIOS_LOADER },
  { arch: 6, name: 'x86 UEFI', file: undefined },
  { arch: 7, name: 'x64 UEFI', file: EFI_LOADER },
  // Type 9 was meant for EBC, but ROMs of Dell and HPE send it for x64.
  { arch: 9, name: 'x64 UEFI (as EBC)', file: EFI_LOADER },
  { arch: 16, name: 'x64 UEFI HTTP', file: EFI_LOADER, byHttp: true },
  { arch: 10, name: 'ARM 32-bit UEFI', file: undefined },
  { arch: 11, name: 'ARM 64-bit UEFI', file: undefined },
]

/** A client without option 93 is an old BIOS ROM (PXE 2.0). */
export const firmwareOf = (arch: number | undefined): FirmwareRow =>
  FIRMWARE.find((row) => row.arch === (arch ?? 0)) ?? { arch: arch ?? 0, name: `architecture ${arch}`, file: undefined }

/** Every file that an offer can name; the TFTP side must serve each. */
export const LOADERS: readonly string[] = [...new Set(FIRMWARE.flatMap((row) => (row.file ? [row.file] : [])))]
