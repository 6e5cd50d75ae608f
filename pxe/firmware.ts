/** Which loaders a client may get first, by its architecture (option 93; IANA "Processor Architecture Types", RFC 4578
 *  2.1). */

import type { Architecture } from '../kit/architecture.ts'

export interface FirmwareRow {
  readonly arch: number
  readonly name: string
  /** Of the kernels that it starts; absent: none that is known here. */
  readonly architecture?: Architecture
  /** File names, the best one first; the next one is tried when a loader starts and is not heard of again. None: no
   *  loader is sent, and an event says so. */
  readonly files: readonly string[]
  /** It asks by HTTP, and takes a URL for the name of its file. */
  readonly http?: true
}

export interface Loader {
  readonly file: string
  /** For people. */
  readonly what: string
  /** False: served where it is there. */
  readonly required: boolean
}

export const BIOS_LOADER = 'undionly.kpxe'
/** snponly drives the card through the firmware that just booted from it: iPXE's own drivers hang on several 10/25 GbE
 *  cards. */
export const EFI_LOADER = 'snponly.efi'
/** For firmware whose own driver is broken. */
export const EFI_DRIVER_LOADER = 'ipxe.efi'
export const BIOS_DRIVER_LOADER = 'ipxe.pxe'
/** Not in every distribution's package; for a site whose ramdisk is of that architecture. */
export const ARM64_LOADER = 'ipxe-arm64.efi'

/** shim, which firmware with Secure Boot takes. It loads GRUB from beside itself, and MokManager when keys are to be
 *  enrolled. */
export const SHIM_LOADER = 'bootx64.efi'
export const GRUB_LOADER = 'grubx64.efi'
const MOK_MANAGER = 'mmx64.efi'

/** The deploy ramdisk as one signed program, for x64 firmware that has the certificate of the site. Not one of the
 *  directory of loaders. */
export const UKI_LOADER = 'rackward-x64.efi'

export const LOADER_TABLE: readonly Loader[] = [
  { file: BIOS_LOADER, what: "iPXE with the card's UNDI", required: true },
  { file: BIOS_DRIVER_LOADER, what: 'iPXE with its own drivers, for BIOS', required: false },
  { file: EFI_LOADER, what: "iPXE with the firmware's driver", required: true },
  { file: EFI_DRIVER_LOADER, what: 'iPXE with its own drivers', required: false },
  { file: ARM64_LOADER, what: 'iPXE for arm64', required: false },
  { file: SHIM_LOADER, what: 'shim, for Secure Boot', required: false },
  { file: GRUB_LOADER, what: 'signed GRUB, which shim loads', required: false },
  { file: MOK_MANAGER, what: 'MokManager, which shim loads to enroll keys', required: false },
]

const BIOS = [BIOS_LOADER, BIOS_DRIVER_LOADER]
/** Where nobody said that Secure Boot is on, it is the usual reason for a loader that falls silent. */
const X64 = [EFI_LOADER, SHIM_LOADER, EFI_DRIVER_LOADER]
const ARM64 = [ARM64_LOADER]
const NONE: readonly string[] = []

export const FIRMWARE: readonly FirmwareRow[] = [
  { arch: 0, name: 'x86 BIOS', architecture: 'x86_64', files: BIOS },
  { arch: 6, name: 'x86 UEFI', files: NONE },
  { arch: 7, name: 'x64 UEFI', architecture: 'x86_64', files: X64 },
  // Type 9 was meant for EBC, but ROMs of Dell and HPE send it for x64.
  { arch: 9, name: 'x64 UEFI (as EBC)', architecture: 'x86_64', files: X64 },
  { arch: 10, name: 'ARM 32-bit UEFI', files: NONE },
  { arch: 11, name: 'ARM 64-bit UEFI', architecture: 'aarch64', files: ARM64 },
  // UEFI HTTP boot: the file is named by its whole URL (UEFI 2.10, 24.7.2).
  { arch: 15, name: 'x86 UEFI HTTP', files: NONE, http: true },
  { arch: 16, name: 'x64 UEFI HTTP', architecture: 'x86_64', files: X64, http: true },
  { arch: 18, name: 'ARM 32-bit UEFI HTTP', files: NONE, http: true },
  { arch: 19, name: 'ARM 64-bit UEFI HTTP', architecture: 'aarch64', files: ARM64, http: true },
  { arch: 20, name: 'x86 BIOS HTTP', architecture: 'x86_64', files: NONE, http: true },
  { arch: 27, name: 'RISC-V 64-bit UEFI', files: NONE },
  { arch: 28, name: 'RISC-V 64-bit UEFI HTTP', files: NONE, http: true },
]

/** Raspberry Pis say that they are an x86 BIOS. */
const RASPBERRY_PI_OUIS: ReadonlySet<string> = new Set(['b8:27:eb', 'dc:a6:32', 'e4:5f:01', '28:cd:c1', 'd8:3a:dd'])
const RASPBERRY_PI: FirmwareRow = { arch: 0, name: 'Raspberry Pi', files: NONE }

const BY_ARCH: ReadonlyMap<number, FirmwareRow> = new Map(FIRMWARE.map((row) => [row.arch, row]))

/** The first architecture of the client that we have a loader for, else the first that has a name here. A client that
 *  names none is an old BIOS ROM (PXE 2.0). */
export function firmwareOf(archs: readonly number[], mac: string): FirmwareRow {
  const plain = archs.length === 1 ? BY_ARCH.get(archs[0] as number) : undefined
  if (plain && plain.arch !== 0) return plain
  const asked = archs.length > 0 ? archs : [0]
  const known = asked.flatMap((arch) => BY_ARCH.get(arch) ?? [])
  const row = known.find(({ files }) => files.length > 0) ??
    known[0] ?? { arch: asked[0] as number, name: `architecture ${asked[0]}`, files: NONE }
  return row.arch === 0 && RASPBERRY_PI_OUIS.has(mac.slice(0, 8)) ? RASPBERRY_PI : row
}

/** What the firmware says that it is; undefined where it says nothing (option 93 is missing), or is none of ours. */
export const architectureOfFirmware = (archs: readonly number[], mac: string): Architecture | undefined =>
  archs.length === 0 ? undefined : firmwareOf(archs, mac).architecture

/** Whether the client starts the signed ramdisk. */
const takesUki = ({ files }: FirmwareRow): boolean => files.includes(SHIM_LOADER)

/** The files for a client, best first. `signed`: its firmware is known to want a signature; the others stand behind
 *  what is signed, for what is known of the firmware may be wrong. The same array for the same question: others know
 *  it again. */
export function filesFor(row: FirmwareRow, { signed, uki }: { signed: boolean; uki: boolean }): readonly string[] {
  const known = chosen.get(row) ?? new Map<number, readonly string[]>()
  chosen.set(row, known)
  const key = Number(signed) + 2 * Number(uki)
  const before = known.get(key)
  if (before) return before
  const others = signed
    ? row.files.toSorted((a, b) => Number(b === SHIM_LOADER) - Number(a === SHIM_LOADER))
    : row.files
  const files = uki && takesUki(row) ? [UKI_LOADER, ...others] : others
  known.set(key, files)
  return files
}
const chosen = new WeakMap<FirmwareRow, Map<number, readonly string[]>>()

const filesOf = (required: boolean) => LOADER_TABLE.filter((loader) => loader.required === required)
/** Loaders that must be there. */
export const LOADERS: readonly string[] = filesOf(true).map(({ file }) => file)
/** Loaders that are served where they are there. */
export const OPTIONAL_LOADERS: readonly string[] = filesOf(false).map(({ file }) => file)

/** The script that iPXE looks for beside its loader. */
export const AUTOEXEC = 'autoexec.ipxe'

/** The configuration that GRUB looks for from the root of the server: in its directory or in that of its modules, also
 *  by the address of the card. */
export const isGrubConfig = (name: string): boolean =>
  /^grub\/(?:x86_64-efi\/)?grub\.cfg(?:-[0-9A-Fa-f-]+)?$/.test(name)

/** What loaders ask for beside themselves and do without: shim's revocation lists and certificate, iPXE's script,
 *  GRUB's module lists. */
export const isOptionalName = (name: string): boolean =>
  /^(?:.*\/)?(?:revocations_(?:sku|sbat)\.efi|shim_certificate_\d+\.efi|autoexec\.ipxe|(?:command|fs|crypto|terminal)\.lst)$/.test(
    name,
  )
