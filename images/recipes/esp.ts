/** The EFI system partition of an installed Debian: shim and GRUB as Debian signs them, so that it boots with Secure
 *  Boot on and off. */
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { earlyConfig } from './grub.ts'

const MIB = 1024 * 1024
const TIMEOUT_MS = 60_000

/** Packages whose files are taken; shim loads GRUB and MokManager from beside itself by these names. */
export const SIGNED_PACKAGES = ['shim-signed', 'grub-efi-amd64-signed'] as const
const SHIM = 'usr/lib/shim/shimx64.efi.signed'
const BESIDE_SHIM = {
  'grubx64.efi': 'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed',
  'mmx64.efi': 'usr/lib/shim/mmx64.efi.signed',
} as const

/** Where firmware looks when it has no boot entry, and where Debian's own tools expect it. */
const SHIM_PATHS = ['::/EFI/BOOT/BOOTX64.EFI', '::/EFI/debian/shimx64.efi'] as const

/** The FAT image, made of files of `tree`, where SIGNED_PACKAGES are unpacked. */
export async function makeEsp(opts: {
  tree: string
  workDir: string
  rootUuid: string
  sizeMib: number
}): Promise<Buffer> {
  const esp = join(opts.workDir, 'esp.img')
  const config = join(opts.workDir, 'esp-grub.cfg')
  const mtools = (...argv: string[]) => runOk(argv, { timeoutMs: TIMEOUT_MS })

  await writeFile(esp, '')
  await truncate(esp, opts.sizeMib * MIB)
  await mtools('mkfs.vfat', '-F', '32', '-n', 'ESP', esp)
  for (const dir of ['::/EFI', '::/EFI/BOOT', '::/EFI/debian']) await mtools('mmd', '-i', esp, dir)
  for (const shim of SHIM_PATHS) {
    await mtools('mcopy', '-i', esp, join(opts.tree, SHIM), shim)
    const dir = shim.slice(0, shim.lastIndexOf('/'))
    for (const [name, from] of Object.entries(BESIDE_SHIM))
      await mtools('mcopy', '-i', esp, join(opts.tree, from), `${dir}/${name}`)
  }

  // The directory is compiled into the GRUB that Debian signs.
  await writeFile(config, earlyConfig(opts.rootUuid))
  await mtools('mcopy', '-i', esp, config, '::/EFI/debian/grub.cfg')
  const bytes = await readFile(esp)
  await rm(esp)
  return bytes
}
