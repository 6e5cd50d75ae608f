/** The kernel and the initramfs that a disk image boots, for a start without firmware (kexec): where their bytes lie,
 *  their hashes, and the arguments of the kernel. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { findExt4File, readFound, type FoundFile } from './ext4.ts'
import type { ReadAt } from './fat.ts'
import { firstEntry } from './grub-menu.ts'
import type { BootFile, BootKernel } from './index.ts'
import { partitionsOf } from './partitions.ts'
import { readerOf } from './signed-loader.ts'

/** The directory of GRUB's menu, and what its paths are relative to: /boot may be a file system of its own. */
const MENUS = ['/boot/grub/grub.cfg', '/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub2/grub.cfg']
const MAX_MENU_BYTES = 256 * 1024
const MAX_EXTENTS = 1024
const MAX_KERNEL_BYTES = 64 * 1024 * 1024
const MAX_INITRD_BYTES = 256 * 1024 * 1024

/** Undefined: there is none that can be told for certain. Throws what keeps the file from being read. */
export async function diskKernel(diskPath: string): Promise<BootKernel | undefined> {
  const file = await open(diskPath, 'r')
  try {
    return await kernelOf(readerOf(file))
  } finally {
    await file.close()
  }
}

async function kernelOf(read: ReadAt): Promise<BootKernel | undefined> {
  for (const at of await partitionsOf(read))
    for (const path of MENUS) {
      const menu = await findExt4File(read, at, path)
      if (!menu || menu.sizeBytes > MAX_MENU_BYTES) continue
      const text = (await readFound(read, menu))?.toString('utf8')
      const entry = text === undefined ? undefined : firstEntry(text)
      // The first menu is the one that would be used: another one may be of a system that is not started.
      if (!entry) return undefined
      const [kernel, ...initrds] = await Promise.all(
        [entry.kernel, ...entry.initrds].map((name) => findExt4File(read, at, name)),
      )
      return describe(read, { kernel, initrds, args: entry.args })
    }
  return undefined
}

async function describe(
  read: ReadAt,
  found: { kernel: FoundFile | undefined; initrds: (FoundFile | undefined)[]; args: string },
): Promise<BootKernel | undefined> {
  const { kernel, initrds, args } = found
  const whole = initrds.filter((one) => one !== undefined)
  if (!kernel || whole.length !== initrds.length || kernel.sizeBytes > MAX_KERNEL_BYTES) return undefined
  // The kernel unpacks archives one after the other, as GRUB hands them over.
  const initrd = { sizeBytes: sum(whole), extents: whole.flatMap(({ extents }) => extents) }
  if (initrd.sizeBytes > MAX_INITRD_BYTES) return undefined
  const [kernelFile, initrdFile] = [await hashed(read, kernel), await hashed(read, initrd)]
  return kernelFile && initrdFile && { kernel: kernelFile, initrd: initrdFile, args }
}

const sum = (files: readonly FoundFile[]): number => files.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0)

async function hashed(read: ReadAt, file: FoundFile): Promise<BootFile | undefined> {
  const bytes = await readFound(read, file)
  if (!bytes || bytes.length === 0 || file.extents.length > MAX_EXTENTS) return undefined
  return { ...file, extents: [...file.extents], sha256: createHash('sha256').update(bytes).digest('hex') }
}
