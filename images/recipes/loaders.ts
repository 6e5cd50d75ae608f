/** Loaders for network boots, as new as Debian has them: iPXE, because that of Debian 12 is of 2019 and waits 17 s for
 *  an IPv6 router in each boot; shim and GRUB for Secure Boot, because the signed GRUB of Debian 12 cannot read over
 *  HTTP. */
import { packagedFiles, type PackagedFilesOptions } from './packaged-files.ts'

/** The release whose loaders are taken. They run on servers alone, so the release of this machine does not matter. */
const SUITE = 'trixie'
const PACKAGES = ['ipxe', 'shim-signed', 'grub-efi-amd64-signed'] as const
/** Path in the packages -> name that is served (pxe/firmware.ts). */
export const LOADER_FILES: Readonly<Record<string, string>> = {
  'usr/lib/ipxe/undionly.kpxe': 'undionly.kpxe',
  'usr/lib/ipxe/ipxe.pxe': 'ipxe.pxe',
  'usr/lib/ipxe/snponly.efi': 'snponly.efi',
  'usr/lib/ipxe/ipxe.efi': 'ipxe.efi',
  'usr/lib/ipxe/ipxe-arm64.efi': 'ipxe-arm64.efi',
  'usr/lib/shim/shimx64.efi.signed': 'bootx64.efi',
  'usr/lib/shim/mmx64.efi.signed': 'mmx64.efi',
  'usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed': 'grubx64.efi',
}

/** Answers the directory that holds them. Throws when the package cannot be fetched. */
export const buildLoaders = (opts: PackagedFilesOptions): Promise<string> =>
  packagedFiles({ name: 'loaders', suite: SUITE, packages: PACKAGES, files: LOADER_FILES }, opts)
