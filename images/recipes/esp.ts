/** The EFI system partition of an installed Debian: shim and GRUB as Debian signs them, so that it boots with Secure
 *  Boot on and off. */
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture } from '../../kit/architecture.ts'
import { runOk } from '../../kit/run.ts'
import { earlyConfig } from './grub.ts'
import { buildEnv } from './normalize.ts'

const MIB = 1024 * 1024
const TIMEOUT_MS = 60_000

/** UEFI's short name of an architecture, which the names of loaders end with, and GRUB's platform. */
const NAMES: Readonly<Record<Architecture, { readonly short: string; readonly grub: string }>> = {
  x86_64: { short: 'x64', grub: 'x86_64-efi' },
  aarch64: { short: 'aa64', grub: 'arm64-efi' },
}

/** Packages whose files are taken. */
export const SIGNED_PACKAGES: Readonly<Record<Architecture, readonly string[]>> = {
  x86_64: ['shim-signed', 'grub-efi-amd64-signed'],
  aarch64: ['shim-signed', 'grub-efi-arm64-signed'],
}

/** What firmware starts when it has no boot entry. */
export const efiLoader = (architecture: Architecture): string =>
  `\\EFI\\BOOT\\BOOT${NAMES[architecture].short.toUpperCase()}.EFI`

/** The FAT image, made of files of `tree`, where SIGNED_PACKAGES are unpacked. */
export async function makeEsp(opts: {
  tree: string
  architecture: Architecture
  workDir: string
  rootUuid: string
  sizeMib: number
  epochSeconds: number
}): Promise<Buffer> {
  const esp = join(opts.workDir, 'esp.img')
  const config = join(opts.workDir, 'esp-grub.cfg')
  const { short, grub } = NAMES[opts.architecture]
  // shim loads GRUB and MokManager from beside itself by these names.
  const besideShim = {
    [`grub${short}.efi`]: `usr/lib/grub/${grub}-signed/grub${short}.efi.signed`,
    [`mm${short}.efi`]: `usr/lib/shim/mm${short}.efi.signed`,
  }
  // Where firmware looks when it has no boot entry, and where Debian's own tools expect it.
  const shims = [`::${efiLoader(opts.architecture).replaceAll('\\', '/')}`, `::/EFI/debian/shim${short}.efi`]
  const env = buildEnv(opts.epochSeconds)
  const mtools = (...argv: string[]) => runOk(argv, { timeoutMs: TIMEOUT_MS, env })

  await writeFile(esp, '')
  await truncate(esp, opts.sizeMib * MIB)
  await mtools('mkfs.vfat', '--invariant', '-F', '32', '-n', 'ESP', esp)
  for (const dir of ['::/EFI', '::/EFI/BOOT', '::/EFI/debian']) await mtools('mmd', '-i', esp, dir)
  for (const shim of shims) {
    await mtools('mcopy', '-i', esp, join(opts.tree, `usr/lib/shim/shim${short}.efi.signed`), shim)
    const dir = shim.slice(0, shim.lastIndexOf('/'))
    for (const [name, from] of Object.entries(besideShim))
      await mtools('mcopy', '-i', esp, join(opts.tree, from), `${dir}/${name}`)
  }

  // The directory is compiled into the GRUB that Debian signs.
  await writeFile(config, earlyConfig(opts.rootUuid))
  await mtools('mcopy', '-i', esp, config, '::/EFI/debian/grub.cfg')
  const bytes = await readFile(esp)
  await rm(esp)
  return bytes
}
