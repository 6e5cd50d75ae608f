/** Loaders of the boot ISO for UEFI: shim, MokManager and GRUB for CDs, as Debian signs them, so that firmware with
 *  Secure Boot on takes them. They are of the release whose kernel the ramdisk has. */
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debootstrap, sourcesOf } from './apt.ts'
import { cached, cacheKey } from './cache.ts'
import { DRIVERS } from './drivers.ts'
import { SIGNED_PACKAGES } from './esp.ts'

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
export async function buildIsoLoaders(opts: {
  cacheDir: string
  say: (line: string) => void
  force?: boolean
}): Promise<string> {
  const key = cacheKey([SUITE, JSON.stringify([PACKAGES, ISO_LOADER_FILES])])
  const place = { root: opts.cacheDir, name: 'iso-loaders', key, ...(opts.force ? { force: true } : {}) }
  const { path } = await cached(place, async (scratch) => {
    const tree = join(scratch, 'tree')
    await debootstrap({
      suite: SUITE,
      variant: 'extract',
      packages: PACKAGES,
      architecture: 'amd64',
      sources: await sourcesOf(SUITE),
      target: tree,
      say: opts.say,
    })
    for (const [from, to] of Object.entries(ISO_LOADER_FILES)) await copyFile(join(tree, from), join(scratch, to))
    await rm(tree, { recursive: true })
  })
  return path
}
