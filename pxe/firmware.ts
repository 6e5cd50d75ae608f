/** Which first file a client gets over TFTP, by its architecture (option 93; IANA "Processor Architecture Types", RFC 4578 2.1). */

export interface FirmwareRow {
  readonly arch: number
  readonly name: string
  /** undefined: we have no loader for it, and say so in an event instead of sending something that hangs. */
  readonly file: string | undefined
}

export const BIOS_LOADER = 'undionly.kpxe'
/** snponly drives the card through the firmware that just booted from it: iPXE's own drivers hang on several 10/25 GbE cards. */
export const EFI_LOADER = 'snponly.efi'
/** Not in every distribution's package; for a site whose ramdisk is of that architecture. */
export const ARM64_LOADER = 'ipxe-arm64.efi'

export const FIRMWARE: readonly FirmwareRow[] = [
  { arch: 0, name: 'x86 BIOS', file: BIOS_LOADER },
  { arch: 6, name: 'x86 UEFI', file: undefined },
  { arch: 7, name: 'x64 UEFI', file: EFI_LOADER },
  // Type 9 was meant for EBC, but ROMs of Dell and HPE send it for x64.
  { arch: 9, name: 'x64 UEFI (as EBC)', file: EFI_LOADER },
  { arch: 10, name: 'ARM 32-bit UEFI', file: undefined },
  { arch: 11, name: 'ARM 64-bit UEFI', file: ARM64_LOADER },
  // UEFI HTTP boot: the file is named by its whole URL (UEFI 2.10, 24.7.2).
  { arch: 15, name: 'x86 UEFI HTTP', file: undefined },
  { arch: 16, name: 'x64 UEFI HTTP', file: EFI_LOADER },
  { arch: 18, name: 'ARM 32-bit UEFI HTTP', file: undefined },
  { arch: 19, name: 'ARM 64-bit UEFI HTTP', file: ARM64_LOADER },
  { arch: 20, name: 'x86 BIOS HTTP', file: undefined },
  { arch: 27, name: 'RISC-V 64-bit UEFI', file: undefined },
  { arch: 28, name: 'RISC-V 64-bit UEFI HTTP', file: undefined },
]

/** Raspberry Pis say that they are an x86 BIOS. */
const RASPBERRY_PI_OUIS: ReadonlySet<string> = new Set(['b8:27:eb', 'dc:a6:32', 'e4:5f:01', '28:cd:c1', 'd8:3a:dd'])
const RASPBERRY_PI: FirmwareRow = { arch: 0, name: 'Raspberry Pi', file: undefined }

/** The first architecture of the client that we have a loader for, else the first that has a name here. A client that names none is an old BIOS ROM (PXE 2.0). */
export function firmwareOf(archs: readonly number[], mac: string): FirmwareRow {
  const asked = archs.length > 0 ? archs : [0]
  const known = asked.flatMap((arch) => FIRMWARE.find((row) => row.arch === arch) ?? [])
  const row = known.find(({ file }) => file !== undefined) ??
    known[0] ?? { arch: asked[0] as number, name: `architecture ${asked[0]}`, file: undefined }
  return row.arch === 0 && RASPBERRY_PI_OUIS.has(mac.slice(0, 8)) ? RASPBERRY_PI : row
}

/** Loaders that must be there. */
export const LOADERS: readonly string[] = [BIOS_LOADER, EFI_LOADER]
/** Loaders that are served where they are there. */
export const OPTIONAL_LOADERS: readonly string[] = [ARM64_LOADER]

/** The script that iPXE looks for beside its loader. */
export const AUTOEXEC = 'autoexec.ipxe'

/** What loaders ask for beside themselves and do without: shim's revocation lists and certificate, iPXE's script, GRUB's module lists. */
export const isOptionalName = (name: string): boolean =>
  /^(?:.*\/)?(?:revocations_(?:sku|sbat)\.efi|shim_certificate_\d+\.efi|autoexec\.ipxe|(?:command|fs|crypto|terminal)\.lst)$/.test(
    name,
  )
