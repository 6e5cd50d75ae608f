/** The EFI system partition of the Debian image, read back file by file. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { makeEsp } from '../../images/recipes/esp.ts'
import { runOk } from '../../kit/run.ts'

const UUID = '7a1c8b52-6f0d-4c3e-9b1a-52ac0d12deb1'
const FILES = {
  'usr/lib/shim/shimx64.efi.signed': 'shim',
  'usr/lib/shim/mmx64.efi.signed': 'MokManager',
  'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed': 'GRUB',
}

test('firmware finds shim, shim finds GRUB, and GRUB finds the root file system', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-esp-'))
  try {
    const tree = join(dir, 'tree')
    for (const [name, text] of Object.entries(FILES)) {
      await mkdir(dirname(join(tree, name)), { recursive: true })
      await writeFile(join(tree, name), text)
    }
    const esp = join(dir, 'esp')
    await writeFile(
      esp,
      await makeEsp({
        tree,
        architecture: 'x86_64',
        workDir: dir,
        rootUuid: UUID,
        sizeMib: 40,
        epochSeconds: 1_750_000_000,
      }),
    )
    const read = (path: string) => runOk(['mtype', '-i', esp, `::/EFI/${path}`], { timeoutMs: 30_000 })

    expect(await Promise.all(['BOOT/BOOTX64.EFI', 'BOOT/grubx64.efi', 'BOOT/mmx64.efi'].map(read))).toEqual([
      'shim',
      'GRUB',
      'MokManager',
    ])
    expect(await Promise.all(['debian/shimx64.efi', 'debian/grubx64.efi'].map(read))).toEqual(['shim', 'GRUB'])
    const config = await read('debian/grub.cfg')
    expect(config).toContain(`search.fs_uuid ${UUID} root`)
    expect(config).toContain('configfile ($root)/boot/grub/grub.cfg')
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

test('that of arm64 has the loaders of arm64', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-esp-'))
  try {
    const tree = join(dir, 'tree')
    const files = { 'shim/shimaa64': 'shim', 'shim/mmaa64': 'MokManager', 'grub/arm64-efi-signed/grubaa64': 'GRUB' }
    for (const [name, text] of Object.entries(files)) {
      const path = join(tree, 'usr/lib', `${name}.efi.signed`)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, text)
    }
    const esp = join(dir, 'esp')
    await writeFile(
      esp,
      await makeEsp({
        tree,
        architecture: 'aarch64',
        workDir: dir,
        rootUuid: UUID,
        sizeMib: 40,
        epochSeconds: 1_750_000_000,
      }),
    )
    const read = (path: string) => runOk(['mtype', '-i', esp, `::/EFI/${path}`], { timeoutMs: 30_000 })
    expect(await Promise.all(['BOOT/BOOTAA64.EFI', 'BOOT/grubaa64.efi', 'debian/shimaa64.efi'].map(read))).toEqual([
      'shim',
      'GRUB',
      'shim',
    ])
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
