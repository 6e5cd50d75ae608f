/** Loaders of the boot ISO for UEFI: shim, MokManager and GRUB for CDs, as Debian signs them, so that firmware with
 *  Secure Boot on takes them. They are of the release whose kernel the ramdisk has. */
import { DRIVERS } from './drivers.ts'
import { SIGNED_PACKAGES } from './esp.ts'
import { packagedFiles, type PackagedFilesOptions } from './packaged-files.ts'

const { suite: SUITE } = DRIVERS.x86_64
const PACKAGES = SIGNED_PACKAGES.x86_64

/** Path in the packages -> name in EFI/BOOT of the image. shim loads GRUB from beside itself by this name. This GRUB
 *  reads /boot/grub/grub.cfg of the CD that it was started from. */
export const ISO_LOADER_FILES: Readonly<Record<string, string>> = {
  'usr/lib/shim/shimx64.efi.signed': 'BOOTX64.EFI',
  'usr/lib/shim/mmx64.efi.signed': 'mmx64.efi',
  'usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed': 'grubx64.efi',
}

/** Answers the directory that holds them. */
export const buildIsoLoaders = (opts: PackagedFilesOptions): Promise<string> =>
  packagedFiles({ name: 'iso-loaders', suite: SUITE, packages: PACKAGES, files: ISO_LOADER_FILES }, opts)
